#include "link.h"

#include "buf.h"
#include "print.h"
#include "scrub.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Notices of our own functions are warnings for the operator; the rest is not for a terminal. */
static void on_notice(void *arg UNUSED, const PGresult *notice)
{
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity != NULL && strcmp(severity, "WARNING") == 0)
        say("warning: %s", PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
}

int link_open(struct cli *cli)
{
    if (!config_has(cli->config, CFG_DATABASE_URL)) {
        say("DATABASE_URL is not set: postgresql://USER@HOST/DATABASE, or a file named by "
            "DATABASE_URL_FILE");
        return CLI_USAGE;
    }
    const char *const keys[] = {"dbname", "application_name", "connect_timeout", "client_encoding",
                                NULL};
    const char *const values[] = {config_secret(cli->config, CFG_DATABASE_URL)->text, "reveille",
                                  "10", "UTF8", NULL};
    cli->db = PQconnectdbParams(keys, values, 1);
    if (PQstatus(cli->db) != CONNECTION_OK) {
        char text[ERR_TEXT_MAX];
        const char *message = PQerrorMessage(cli->db);
        scrub_text(message, strlen(message), text, sizeof(text));
        say("the database cannot be reached: %s", text);
        return CLI_AWAY;
    }
    PQsetNoticeReceiver(cli->db, on_notice, NULL);
    return CLI_YES;
}

/* What an operator can do about a statement that was refused. */
static int explain(const struct cli *cli, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    char text[ERR_TEXT_MAX];
    if (primary == NULL)
        primary = PQerrorMessage(cli->db);
    scrub_text(primary, strlen(primary), text, sizeof(text));
    if (PQstatus(cli->db) != CONNECTION_OK) {
        say("the database went away: %s", text);
        return CLI_AWAY;
    }
    if (state != NULL && (!strcmp(state, "3F000") || !strcmp(state, "42P01") ||
                          !strcmp(state, "42883") || !strcmp(state, "42703"))) {
        say("this database has no Reveille, or an older one (%s); run: reveille migrate", text);
        return CLI_USAGE;
    }
    if (state != NULL && !strcmp(state, "42501")) {
        say("%s: this verb needs another database role (see `reveille help VERB`)", text);
        return CLI_USAGE;
    }
    if (state != NULL && !strncmp(state, "22", 2)) { /* a value that cannot be read as what it is */
        say("%s", text);
        return CLI_USAGE;
    }
    if (state != NULL && !strcmp(state, "57014")) {
        say("the database broke it off: %s", text);
        return CLI_AWAY;
    }
    say("the database refused: %s%s%s%s", text, state ? " [" : "", state ? state : "",
        state ? "]" : "");
    return CLI_NO;
}

PGresult *link_query(struct cli *cli, const char *sql, int n, const char *const *params,
                     int *ret_exit)
{
    PGresult *result = PQexecParams(cli->db, sql, n, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    *ret_exit = explain(cli, result);
    PQclear(result);
    return NULL;
}

/* Waits for the statement under way to be answered, and says now and then that it is. */
static void wait_answer(struct cli *cli, const char *what)
{
    char text[PRINT_SIZE];
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int lines = 1; PQconsumeInput(cli->db) && PQisBusy(cli->db);) {
        struct pollfd fd = {.fd = PQsocket(cli->db), .events = POLLIN};
        (void)poll(&fd, 1, CLI_LOOK_MS); /* an error of the socket shows in PQconsumeInput */
        clock_gettime(CLOCK_MONOTONIC, &now);
        double seconds =
            (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
        if (seconds < (double)lines * CLI_LINES_S)
            continue;
        lines++;
        if (on_terminal())
            fputs("\r\033[K", stderr);
        fprintf(stderr, "reveille: %s, %s so far%s", what, print_duration(seconds, text),
                on_terminal() ? "" : "\n");
    }
    print_bar_end();
}

/* The answer to a statement that may take long; its rows, or NULL and *ret_exit. */
static PGresult *ask_and_wait(struct cli *cli, const char *what, const char *sql, int n,
                              const char *const *params, int *ret_exit)
{
    PGresult *result = NULL;
    if (PQsendQueryParams(cli->db, sql, n, NULL, params, NULL, NULL, 0)) {
        wait_answer(cli, what);
        result = PQgetResult(cli->db);
        for (PGresult *more; (more = PQgetResult(cli->db)) != NULL;)
            PQclear(more);
    }
    ExecStatusType status = PQresultStatus(result); /* of NULL: an error */
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    *ret_exit = explain(cli, result);
    PQclear(result);
    return NULL;
}

PGresult *link_query_patiently(struct cli *cli, const char *what, int seconds, const char *sql,
                               int n, const char *const *params, int *ret_exit)
{
    char bound[PRINT_SIZE];
    snprintf(bound, sizeof(bound), "%ds", seconds);
    const char *const bounds[] = {bound};
    PGresult *begun = link_query(cli, "begin transaction read only", 0, NULL, ret_exit);
    PGresult *set = begun == NULL
                        ? NULL
                        : link_query(cli,
                                     "select set_config('statement_timeout', $1, true), "
                                     "set_config('client_connection_check_interval', '2s', true)",
                                     1, bounds, ret_exit);
    PQclear(begun);
    PQclear(set);
    if (set == NULL)
        return NULL;
    PGresult *result = ask_and_wait(cli, what, sql, n, params, ret_exit);
    PQclear(PQexec(cli->db, "rollback")); /* a link that broke says so at the next statement */
    return result;
}

int link_find_run(struct cli *cli, const char *word, char ret_id[UUID_TEXT_SIZE])
{
    int code = CLI_YES;
    const char *params[] = {word != NULL ? word : "latest"};
    PGresult *found = link_query(cli, "select id from reveille.find_run($1) id", 1, params, &code);
    if (found == NULL)
        return code;
    int rows = PQntuples(found);
    if (rows == 1) {
        memcpy(ret_id, PQgetvalue(found, 0, 0), UUID_TEXT_SIZE - 1);
        ret_id[UUID_TEXT_SIZE - 1] = '\0';
    } else if (rows == 0) {
        say("there is no run %s; `reveille runs` lists them", params[0]);
        code = CLI_NONE;
    } else {
        say("%s is the beginning of more than one run's id: give more of it", params[0]);
        code = CLI_USAGE;
    }
    PQclear(found);
    return code;
}

int link_find(struct cli *cli, const char *what, const char *sql, const char *name)
{
    int code = CLI_YES;
    const char *params[] = {name};
    PGresult *found = link_query(cli, sql, 1, params, &code);
    if (found != NULL && PQntuples(found) == 0) {
        say("there is no %s %s", what, name);
        code = CLI_NONE;
    }
    PQclear(found);
    return code;
}

int link_show(struct cli *cli, const char *sql, int n, const char *const *params, const char *none)
{
    int code = CLI_YES;
    struct err err = ERR_INIT;
    struct buf text;
    buf_init(&text, 64 * 1024);
    if (cli->json
            ? buf_printf(&text, &err, "select coalesce(json_agg(t), '[]')::text from (%s) t", sql)
            : buf_str(&text, sql, &err)) {
        say("%s", err.text);
        return CLI_USAGE;
    }
    PGresult *rows = link_query(cli, text.data, n, params, &code);
    buf_release(&text);
    if (rows == NULL)
        return code;
    if (cli->json)
        print_json_text(PQgetvalue(rows, 0, 0));
    else if (PQntuples(rows) > 0)
        print_table(rows);
    else if (none != NULL)
        say("%s", none);
    PQclear(rows);
    return code;
}
