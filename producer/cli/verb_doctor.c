/* `reveille doctor`: every check that an installation needs, each with its mend. The database's own
 * are reveille.doctor()'s, Kafka's doctor_kafka.c's; here is what only this end sees. Writes
 * nothing anywhere. */
#include "doctor.h"
#include "link.h"
#include "migration.h"
#include "print.h"
#include "schema_gate.h"
#include "scrub.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- the database ------------------------------------------------------------------------ */

/* A question that may be refused: its rows, owned, or NULL and a line `name` that says why. */
static PGresult *ask(struct cli *cli, json_t *checks, const char *name, const char *sql)
{
    PGresult *rows = PQexec(cli->db, sql);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK)
        return rows;
    char text[ERR_TEXT_MAX];
    const char *message = PQerrorMessage(cli->db);
    scrub_text(message, strlen(message), text, sizeof(text));
    doctor_add(
        checks, name, DOCTOR_WRONG,
        "reveille migrate, as the migrating role; then give this role one of reveille_reader, "
        "reveille_producer, reveille_worker",
        "%s", text);
    PQclear(rows);
    return NULL;
}

/* False: there is nothing of ours to ask. */
static bool check_schema(struct cli *cli, json_t *checks)
{
    PGresult *row = ask(cli, checks, "schema",
                        "select version, oldest_program from reveille.schema_version "
                        "order by version desc limit 1");
    if (row == NULL)
        return false;
    int version = PQntuples(row) > 0 ? atoi(PQgetvalue(row, 0, 0)) : 0;
    int oldest = PQntuples(row) > 0 ? atoi(PQgetvalue(row, 0, 1)) : 0;
    PQclear(row);
    bool fits = version >= SCHEMA_VERSION && oldest <= SCHEMA_VERSION;
    doctor_add(checks, "schema", fits ? DOCTOR_OK : DOCTOR_WRONG,
               version < SCHEMA_VERSION ? "reveille migrate" : "install a newer Reveille",
               "version %d, this program works with %d", version, SCHEMA_VERSION);
    return true;
}

static bool is_applied(const PGresult *applied, const char *version)
{
    for (int r = 0; r < PQntuples(applied); r++)
        if (strcmp(PQgetvalue(applied, r, 0), version) == 0)
            return true;
    return false;
}

/* The folder's migrations against the history; a database brought up by other means has none. */
static void check_migrations(struct cli *cli, json_t *checks)
{
    struct err err = ERR_INIT;
    struct migration *list = NULL;
    size_t n = 0, missing = 0;
    const char *first = "";
    PGresult *applied =
        ask(cli, checks, "migrations", "select version from reveille.applied_migrations() version");
    if (applied == NULL)
        return;
    const char *dir = access(REVEILLE_MIGRATIONS, R_OK) == 0 ? REVEILLE_MIGRATIONS : "migrations";
    if (migrations_read(dir, &list, &n, &err)) {
        doctor_add(checks, "migrations", DOCTOR_UNKNOWN,
                   "run doctor where Reveille is installed, or in its source tree", "%s", err.text);
        goto out;
    }
    for (size_t i = n; i-- > 0;)
        if (!is_applied(applied, list[i].version)) {
            missing++;
            first = list[i].version;
        }
    if (PQntuples(applied) == 0)
        doctor_add(checks, "migrations", DOCTOR_UNKNOWN,
                   "reveille migrate applies and records all of them; they do no harm twice",
                   "no history here: they were applied by other means");
    else if (missing > 0)
        doctor_add(checks, "migrations", DOCTOR_WRONG, "reveille migrate",
                   "%zu of %zu are not applied, the first is %s", missing, n, first);
    else
        doctor_add(checks, "migrations", DOCTOR_OK, "", "all %zu are applied", n);
out:
    migrations_free(list, n);
    PQclear(applied);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check_clock(struct cli *cli, json_t *checks)
{
    double before = now();
    PGresult *row = ask(cli, checks, "clock", "select extract(epoch from clock_timestamp())");
    double after = now();
    if (row == NULL)
        return;
    double apart = fabs(strtod(PQgetvalue(row, 0, 0), NULL) - (before + after) / 2);
    bool near = apart - (after - before) / 2 <= CLI_CLOCK_S;
    PQclear(row);
    doctor_add(checks, "clock", near ? DOCTOR_OK : DOCTOR_WRONG,
               "keep both machines' time by NTP; runs go by the database's clock, logs by this one",
               "this machine and the database are %.1f s apart", apart);
}

static void check_inside(struct cli *cli, json_t *checks)
{
    PGresult *rows = ask(cli, checks, "doctor",
                         "select name, ok, found, coalesce(mend, '') from reveille.doctor()");
    for (int r = 0; rows != NULL && r < PQntuples(rows); r++)
        doctor_add(checks, PQgetvalue(rows, r, 0),
                   PQgetisnull(rows, r, 1)            ? DOCTOR_UNKNOWN
                   : PQgetvalue(rows, r, 1)[0] == 't' ? DOCTOR_OK
                                                      : DOCTOR_WRONG,
                   PQgetvalue(rows, r, 3), "%s", PQgetvalue(rows, r, 2));
    PQclear(rows);
}

static int check_database(struct cli *cli, json_t *checks)
{
    int code = link_open(cli);
    doctor_add(checks, "database", code == CLI_YES ? DOCTOR_OK : DOCTOR_WRONG,
               code == CLI_USAGE ? "set DATABASE_URL, or DATABASE_URL_FILE"
                                 : "does the server run, and is DATABASE_URL right?",
               "%s",
               code == CLI_YES     ? "it answers"
               : code == CLI_USAGE ? "DATABASE_URL is not set"
                                   : "it cannot be reached");
    if (code == CLI_YES && check_schema(cli, checks)) {
        check_migrations(cli, checks);
        check_clock(cli, checks);
        check_inside(cli, checks);
    }
    return code;
}

/* ---- this machine ------------------------------------------------------------------------ */

/* What is set here, as the programs would read it; returns owned the producer's, or NULL. */
static struct config *check_environment(json_t *checks)
{
    struct err err = ERR_INIT;
    struct config *producer = config_new(FOR_PRODUCER, (const char *const *)environ, &err);
    struct config *worker =
        producer != NULL ? config_new(FOR_WORKER, (const char *const *)environ, &err) : NULL;
    if (producer == NULL || worker == NULL)
        doctor_add(checks, "environment", DOCTOR_WRONG,
                   "set it right; reveille-producer --check-config shows every variable", "%s",
                   err.text);
    else
        doctor_add(checks, "environment", DOCTOR_OK, "", "what is set here is well-formed%s",
                   config_has(producer, CFG_SCHEDULER_SECRET) ? ", SCHEDULER_SECRET too" : "");
    config_free(worker);
    return producer;
}

/* ---- the whole --------------------------------------------------------------------------- */

static void print_checks(const json_t *checks)
{
    size_t i;
    const json_t *line;
    json_array_foreach(checks, i, line)
    {
        const json_t *ok = json_object_get(line, "ok");
        if (json_is_null(ok))
            printf("?       ");
        else
            print_verdict(json_is_true(ok), json_is_true(ok) ? "ok      " : "NOT OK  ");
        printf("%-16s %s\n", json_string_value(json_object_get(line, "name")),
               json_string_value(json_object_get(line, "found")));
        if (!json_is_true(ok))
            printf("%25smend: %s\n", "", json_string_value(json_object_get(line, "mend")));
    }
}

static bool all_well(const json_t *checks)
{
    size_t i;
    const json_t *line;
    json_array_foreach(checks, i, line)
    {
        if (json_is_false(json_object_get(line, "ok")))
            return false;
    }
    return true;
}

int verb_doctor(struct cli *cli, const struct args *args UNUSED)
{
    json_t *checks = json_array();
    int code = check_database(cli, checks);
    struct config *config = check_environment(checks);
    PGresult *engines =
        code == CLI_YES ? PQexec(cli->db, "select * from reveille.doctor_engines()") : NULL;
    bool asked = PQresultStatus(engines) == PGRES_TUPLES_OK; /* else a line above says why not */
    if (!doctor_kafka(checks, config, asked ? engines : NULL) && code == CLI_YES)
        code = CLI_AWAY;
    PQclear(engines);
    config_free(config);
    if (code == CLI_YES && !all_well(checks))
        code = CLI_NO;
    if (cli->json) {
        json_t *answer = json_pack("{s:O}", "checks", checks);
        print_json(answer);
        json_decref(answer);
    } else {
        print_checks(checks);
    }
    json_decref(checks);
    return code;
}
