/* `reveille migrate`: applies what is not applied yet, in order, each file in one transaction, and
 * records it where the Supabase CLI looks too. Several may run at once: each file is applied once.
 * Then what the environment seeds, and pg_cron's rows. */
#include "link.h"
#include "migration.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Any number that is ours: "reveille" in ASCII. Transaction-level, so it goes with COMMIT. */
#define LOCK_SQL "select pg_advisory_xact_lock(8243104242604827749)"

static const char history_schema_sql[] = "create schema if not exists supabase_migrations";
static const char history_table_sql[] =
    "create table if not exists supabase_migrations.schema_migrations("
    "version text primary key, statements text[], name text)";

/* One statement without an answer. False: said why. */
static bool done(struct cli *cli, const char *sql)
{
    int code;
    PGresult *result = link_query(cli, sql, 0, NULL, &code);
    PQclear(result);
    return result != NULL;
}

/* Where in the file: the line that an error's character position falls on. */
static int line_of(const char *text, const char *position)
{
    int line = 1;
    long at = position != NULL ? strtol(position, NULL, 10) : 0;
    for (; *text != '\0' && at > 1; text++) {
        if (((unsigned char)*text & 0xC0) != 0x80)
            at--; /* positions count characters, not bytes */
        line += *text == '\n';
    }
    return line;
}

static int say_refused(const struct migration *m, const PGresult *result)
{
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    say("%s_%s.sql, line %d: %s%s%s", m->version, m->name, line_of(m->text, position),
        primary != NULL ? primary : "the connection was lost", hint != NULL ? "; " : "",
        hint != NULL ? hint : "");
    return primary != NULL ? CLI_NO : CLI_AWAY;
}

/* The file's own statements, within our transaction. */
static int run_text(struct cli *cli, const struct migration *m)
{
    PGresult *result = PQexec(cli->db, m->text);
    ExecStatusType status = PQresultStatus(result);
    int code = CLI_YES;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
        code = say_refused(m, result);
    } else if (PQtransactionStatus(cli->db) != PQTRANS_INTRANS) {
        say("%s_%s.sql ends the transaction: a migration has no COMMIT of its own", m->version,
            m->name);
        code = CLI_NO;
    }
    PQclear(result);
    return code;
}

/* CLI_YES and *ret_applied: whether the history knows it; warns when its text was another one. */
static int known(struct cli *cli, const struct migration *m, bool *ret_applied)
{
    int code = CLI_YES;
    const char *params[] = {m->version, m->text};
    PGresult *row = link_query(cli,
                               "select statements is null or statements[1] = $2 from "
                               "supabase_migrations.schema_migrations "
                               "where version = $1",
                               2, params, &code);
    if (row == NULL)
        return code;
    *ret_applied = PQntuples(row) > 0;
    if (*ret_applied && PQgetvalue(row, 0, 0)[0] == 'f')
        say("warning: %s_%s.sql was applied with another text; it is not applied again", m->version,
            m->name);
    PQclear(row);
    return code;
}

static int record(struct cli *cli, const struct migration *m)
{
    int code = CLI_YES;
    const char *params[] = {m->version, m->text, m->name};
    PGresult *result = link_query(cli,
                                  "insert into supabase_migrations.schema_migrations(version, "
                                  "statements, name) values ($1, array[$2], $3)",
                                  3, params, &code);
    PQclear(result);
    return code;
}

/* One file, or nothing if somebody was first. */
static int apply(struct cli *cli, const struct migration *m, json_t *applied)
{
    bool was_applied = false;
    if (!done(cli, "begin") || !done(cli, LOCK_SQL))
        return CLI_AWAY;
    int code = known(cli, m, &was_applied);
    if (code == CLI_YES && !was_applied)
        code = run_text(cli, m);
    /* what a file has set for its own use must not outlive it */
    if (code == CLI_YES && !was_applied &&
        !(done(cli, "reset role") && done(cli, "reset search_path")))
        code = CLI_NO;
    if (code == CLI_YES && !was_applied)
        code = record(cli, m);
    if (!done(cli, code == CLI_YES ? "commit" : "rollback") && code == CLI_YES)
        code = CLI_AWAY;
    if (code == CLI_YES && !was_applied) {
        json_array_append_new(applied, json_string(m->version));
        if (!cli->json)
            printf("applied %s_%s\n", m->version, m->name);
    }
    return code;
}

static int list_missing(struct cli *cli, const struct migration *m, bool history, json_t *missing)
{
    bool was_applied = false;
    int code = history ? known(cli, m, &was_applied) : CLI_YES;
    if (code == CLI_YES && !was_applied) {
        json_array_append_new(missing, json_string(m->version));
        if (!cli->json)
            printf("to apply %s_%s\n", m->version, m->name);
    }
    return code;
}

/* ---- after the files ---------------------------------------------------------------------- */

/* Says each row of a statement that returns sentences. */
static int say_rows(struct cli *cli, const char *sql, int n, const char *const *params)
{
    int code = CLI_YES;
    PGresult *rows = link_query(cli, sql, n, params, &code);
    for (int i = 0; rows != NULL && i < PQntuples(rows); i++)
        say("warning: %s", PQgetvalue(rows, i, 0));
    PQclear(rows);
    return code;
}

/* What a file cannot do: the environment's seed, once, and pg_cron's rows for the jobs that later
 * files have added. A folder without the functions (another one than ours) is left alone. */
static int seed_and_register(struct cli *cli)
{
    static const char there_sql[] =
        "select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname = 'reveille_cron' and p.proname = 'register_all'";
    const char *params[] = {config_text(cli->config, CFG_REMINDER_CRON_EXPRESSION),
                            config_text(cli->config, CFG_REMINDER_FUNCTION_URL)};
    int code = CLI_YES;
    PGresult *there = link_query(cli, there_sql, 0, NULL, &code);
    bool ours = there != NULL && PQntuples(there) > 0;
    PQclear(there);
    if (!ours)
        return code;
    if (!done(cli, "begin") || !done(cli, LOCK_SQL))
        return CLI_AWAY;
    code = say_rows(cli, "select * from reveille_cron.seed($1, $2)", 2, params);
    if (code == CLI_NO) /* a schedule or URL that is none: the environment's */
        code = CLI_USAGE;
    if (code == CLI_YES)
        code = say_rows(cli, "select * from reveille_cron.register_all()", 0, NULL);
    if (!done(cli, code == CLI_YES ? "commit" : "rollback") && code == CLI_YES)
        code = CLI_AWAY;
    return code;
}

/* The folder that was named, the installed one, or the one of the source tree we stand in. */
static const char *folder(const struct args *args)
{
    if (args_has(args, "dir"))
        return args_value(args, "dir", 0);
    return access(REVEILLE_MIGRATIONS, R_OK) == 0 ? REVEILLE_MIGRATIONS : "migrations";
}

/* The history's table: made when it is missing, but not by a look that changes nothing. */
static int history(struct cli *cli, bool dry, bool *ret_there)
{
    int code = CLI_YES;
    PGresult *row =
        link_query(cli, "select to_regclass('supabase_migrations.schema_migrations') is not null",
                   0, NULL, &code);
    if (row == NULL)
        return code;
    *ret_there = PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    if (*ret_there || dry)
        return CLI_YES;
    bool made = done(cli, "begin") && done(cli, LOCK_SQL) && done(cli, history_schema_sql) &&
                done(cli, history_table_sql) && done(cli, "commit");
    *ret_there = made;
    return made ? CLI_YES : CLI_NO;
}

int verb_migrate(struct cli *cli, const struct args *args)
{
    struct err err = ERR_INIT;
    struct migration *list;
    size_t n;
    bool dry = args_has(args, "dry-run");
    if (migrations_read(folder(args), &list, &n, &err)) {
        say("%s", err.text);
        return CLI_USAGE;
    }
    json_t *names = json_array();
    bool there = false;
    int code = history(cli, dry, &there);
    for (size_t i = 0; i < n && code == CLI_YES; i++)
        code = dry ? list_missing(cli, &list[i], there, names) : apply(cli, &list[i], names);
    if (code == CLI_YES && !dry)
        code = seed_and_register(cli);
    if (code == CLI_YES && cli->json) {
        json_t *answer = json_pack("{s:O}", dry ? "to_apply" : "applied", names);
        print_json(answer);
        json_decref(answer);
    } else if (code == CLI_YES && json_array_size(names) == 0) {
        puts("nothing to apply: the database is up to date");
    }
    json_decref(names);
    migrations_free(list, n);
    return code;
}
