/* `reveille run`: asks for a job through the database, so it works where there is no HTTP. The
 * request is durable; a producer opens it. */
#include "limits.h"
#include "link.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOR_EVER (-1) /* as status_follow has it */
#define NOT_WAITING (-2)

static int add_all(json_t *params, const char *member, const struct args *args, const char *option)
{
    json_t *list = json_array();
    for (int i = 0; args_value(args, option, i) != NULL; i++)
        if (json_array_append_new(list, json_string(args_value(args, option, i))) != 0) {
            json_decref(list);
            say("--%s: not UTF-8", option);
            return -1;
        }
    return json_object_set_new(params, member, list);
}

/* Returns owned: the request's parameters as JSON text, or NULL. */
static char *request_params(const struct args *args)
{
    json_t *params = json_object();
    int bad = 0;
    if (args_has(args, "date"))
        bad |= json_object_set_new(params, "evaluation_date",
                                   json_string(args_value(args, "date", 0)));
    if (args_has(args, "scenario"))
        bad |= add_all(params, "scenario_types", args, "scenario");
    if (args_has(args, "subject"))
        bad |= add_all(params, "subjects", args, "subject");
    if (args_has(args, "shadow"))
        bad |= json_object_set_new(params, "shadow", json_true());
    char *text = bad ? NULL : json_dumps(params, JSON_COMPACT);
    json_decref(params);
    return text;
}

/* The request's answer when nothing will come of it: paused, a date in the future, no such job. */
static int not_opened(const char *state, const char *reason, const char *job)
{
    if (strcmp(state, "unknown") == 0) {
        say("there is no job %s", job);
        return CLI_NONE;
    }
    say("the request was %s: %s", state, reason[0] ? reason : "no reason given");
    bool closed = strstr(reason, "paused") != NULL || strstr(reason, "copy") != NULL;
    return strcmp(state, "refused") == 0 && !closed ? CLI_USAGE : CLI_NO;
}

/* One look at the request: CLI_RUNNING while it waits; CLI_YES with its run; else why not. */
static int look(struct cli *cli, const char *id, const char *job, char ret_run[UUID_TEXT_SIZE],
                char ret_behind[UUID_TEXT_SIZE])
{
    static const char sql[] = "select state, coalesce(reason, ''), coalesce(run_id::text, ''), "
                              "coalesce(behind::text, '') from reveille.request_status($1::bigint)";
    int code = CLI_YES;
    const char *params[] = {id};
    PGresult *row = link_query(cli, sql, 1, params, &code);
    if (row == NULL)
        return code;
    const char *state = PQgetvalue(row, 0, 0);
    snprintf(ret_run, UUID_TEXT_SIZE, "%s", PQgetvalue(row, 0, 2));
    snprintf(ret_behind, UUID_TEXT_SIZE, "%s", PQgetvalue(row, 0, 3));
    if (strcmp(state, "pending") == 0)
        code = CLI_RUNNING;
    else if (strcmp(state, "opened") != 0)
        code = not_opened(state, PQgetvalue(row, 0, 1), job);
    PQclear(row);
    return code;
}

/* Waits until a producer has opened the request's run, up to *wait_s seconds (-1: for ever), which
 * are counted down. NOT_WAITING: not longer than it is known to wait behind another run, or for a
 * producer that does not come. ret_behind: the run that it waits behind, or "". */
static int wait_opened(struct cli *cli, const char *id, const char *job, int *wait_s,
                       char ret_run[UUID_TEXT_SIZE], char ret_behind[UUID_TEXT_SIZE])
{
    const int limit_ms = (*wait_s == NOT_WAITING ? CLI_OPEN_WAIT_S : *wait_s) * 1000;
    for (int waited = 0;; waited += CLI_LOOK_MS) {
        int code = look(cli, id, job, ret_run, ret_behind);
        if (code != CLI_RUNNING) {
            *wait_s -= *wait_s > 0 ? waited / 1000 : 0;
            return code;
        }
        bool behind = ret_behind[0] != '\0';
        bool time_is_up = *wait_s != FOR_EVER && waited >= limit_ms;
        if (behind && (time_is_up || *wait_s == NOT_WAITING)) {
            say("request %s waits behind run %s", id, ret_behind);
            return CLI_RUNNING;
        }
        if (time_is_up) {
            say("no producer has taken request %s yet; it is kept, and opened when one runs", id);
            return CLI_RUNNING;
        }
        usleep(CLI_LOOK_MS * 1000);
    }
}

/* The request is kept and has no run yet: the same document as over HTTP. */
static void report_queued(const struct cli *cli, const char *job, const char *behind)
{
    if (!cli->json)
        return; /* stderr has said so */
    json_t *answer =
        json_pack("{s:n,s:s,s:s,s:s?,s:b,s:b}", "run_id", "job_name", job, "status", "queued",
                  "behind", behind[0] != '\0' ? behind : NULL, "completed", 0, "partial", 0);
    print_json(answer);
    json_decref(answer);
}

static int report(struct cli *cli, const char *run_id)
{
    if (cli->json) {
        json_t *answer = json_pack("{s:s}", "run_id", run_id);
        print_json(answer);
        json_decref(answer);
    } else {
        puts(run_id);
    }
    return CLI_YES;
}

int verb_run(struct cli *cli, const struct args *args)
{
    const char *job = args->word[0];
    struct err err = ERR_INIT;
    bool wait = args_has(args, "wait");
    int seconds = wait ? FOR_EVER : NOT_WAITING, code = CLI_YES;
    if (wait && args_value(args, "wait", 0) != NULL &&
        args_int(args, "wait", 0, 86400, 0, &seconds, &err)) {
        say("%s", err.text);
        return CLI_USAGE;
    }
    char *json = request_params(args);
    if (json == NULL)
        return CLI_USAGE;
    const char *params[] = {job, json};
    static const char sql[] = "select coalesce(id::text, ''), state from "
                              "reveille.request($1, 'manual', $2::jsonb)";
    PGresult *row = link_query(cli, sql, 2, params, &code);
    free(json);
    if (row == NULL)
        return code;
    char id[UUID_TEXT_SIZE], run_id[UUID_TEXT_SIZE] = "", behind[UUID_TEXT_SIZE] = "";
    snprintf(id, sizeof(id), "%s", PQgetvalue(row, 0, 0));
    bool known = strcmp(PQgetvalue(row, 0, 1), "unknown") != 0;
    PQclear(row);
    if (!known)
        return not_opened("unknown", "", job);
    code = wait_opened(cli, id, job, &seconds, run_id, behind);
    if (code == CLI_RUNNING)
        report_queued(cli, job, behind);
    if (code != CLI_YES)
        return code == CLI_RUNNING && !wait ? CLI_YES : code;
    return wait ? status_follow(cli, run_id, seconds) : report(cli, run_id);
}
