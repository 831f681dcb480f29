/* `reveille jobs`: the registry of jobs: what there is, how it was rung last, and what an operator
 * sets. A schedule that is set is told to pg_cron in the same transaction (reveille_cron.set_job).
 */
#include "link.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_SQL                                                          \
    "case when j.enabled_on is distinct from reveille.here() then 'copy' " \
    "when j.paused_at is not null then 'paused' else 'on' end state"

/* The slot's request: unique (job, slot). The last firing: cron's log has a few rows a day. */
static const char list_sql[] =
    "select j.job_name job, j.schedule schedule_utc, j.cron_name cron_row, j.engine, " STATE_SQL
    ", "
    "to_char(s.slot at time zone 'UTC', 'YYYY-MM-DD HH24:MI') latest_slot_utc, "
    "coalesce(r.state, t.state) became "
    "from reveille.job j "
    "cross join lateral (select reveille.slot_of(j.schedule, clock_timestamp()) slot) s "
    "left join reveille.trigger_request t on t.job_name = j.job_name and t.slot = s.slot "
    "left join reveille.run r on r.run_id = t.run_id "
    "where $1::text is null or j.job_name = $1 order by 1";

static const char show_sql[] =
    "select j.job_name, " STATE_SQL ", j.paused_at, j.paused_reason, j.schedule schedule_utc, "
    "j.cron_name, (select string_agg(d, '; ') from reveille_cron.drift() d "
    "where d like replace(j.cron_name, '_', '\\_') || ' %') cron_differs, "
    "reveille.slot_of(j.schedule, clock_timestamp()) latest_slot, f.fired_at last_fired_at, "
    "f.stage last_stage, f.doorbell last_doorbell, f.http_status last_http_status, "
    "f.error_message last_error, f.run_id last_run_id, j.engine, "
    "array_to_string(j.scenario_types, ',') scenario_types, j.time_zone, j.page_size, "
    "j.deadline::text, j.alert_after::text, j.catchup_window::text, j.component, j.source, "
    "j.lookup, j.judge, j.enabled_since "
    "from reveille.job j left join lateral (select * from reveille.firing x "
    "where x.job_name = j.job_name order by x.firing desc limit 1) f on true "
    "where j.job_name = $1";

static const char known_sql[] = "select 1 from reveille.job where job_name = $1";

static int list(struct cli *cli, const char *job)
{
    const char *params[] = {job};
    int code = job != NULL ? link_find(cli, "job", known_sql, job) : CLI_YES;
    return code == CLI_YES ? link_show(cli, list_sql, 1, params, "there is no job") : code;
}

/* One job, a line a column. */
static int show(struct cli *cli, const char *job)
{
    int code = link_find(cli, "job", known_sql, job);
    if (code != CLI_YES)
        return code;
    char sql[sizeof(show_sql) + 64];
    snprintf(sql, sizeof(sql), cli->json ? "select to_json(x)::text from (%s) x" : "%s", show_sql);
    const char *params[] = {job};
    PGresult *row = link_query(cli, sql, 1, params, &code);
    if (row == NULL)
        return code;
    if (cli->json)
        print_json_text(PQgetvalue(row, 0, 0));
    for (int i = 0; !cli->json && i < PQnfields(row); i++)
        if (!PQgetisnull(row, 0, i))
            printf("%-16s %s\n", PQfname(row, i), PQgetvalue(row, 0, i));
    PQclear(row);
    return CLI_YES;
}

/* Resumes it when `reason` is NULL. */
static int pause_job(struct cli *cli, const char *job, const char *reason)
{
    const char *params[] = {job, reason};
    int code = CLI_YES;
    PGresult *row = link_query(cli, "select reveille.pause_job($1, $2)", 2, params, &code);
    if (row == NULL)
        return code;
    bool known = PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    if (!known) {
        say("there is no job %s", job);
        return CLI_NONE;
    }
    return list(cli, job);
}

/* ---- set --------------------------------------------------------------------------------- */

/* KEY=VALUE… as an object, returned owned as text; NULL: said what is wrong with one. Which keys
 * there are, the database says. */
static char *settings_of(const struct args *args)
{
    json_t *settings = json_object();
    for (int i = 2; i < args->words; i++) {
        const char *word = args->word[i], *equals = strchr(word, '=');
        char key[64];
        size_t len = equals != NULL ? (size_t)(equals - word) : 0;
        if (len == 0 || len >= sizeof(key)) {
            say("%s: KEY=VALUE is needed, as in schedule='30 5 * * *'", word);
            json_decref(settings);
            return NULL;
        }
        memcpy(key, word, len);
        key[len] = '\0';
        if (json_object_set_new(settings, key, json_string(equals + 1)) != 0) {
            say("%.*s: its value is not UTF-8", (int)len, word);
            json_decref(settings);
            return NULL;
        }
    }
    char *text = json_dumps(settings, JSON_COMPACT);
    json_decref(settings);
    return text;
}

/* For an operator whose role may not: what one that may can run. */
static void say_statement(struct cli *cli, const char *job, const char *settings)
{
    char *name = PQescapeLiteral(cli->db, job, strlen(job));
    char *value = PQescapeLiteral(cli->db, settings, strlen(settings));
    if (name != NULL && value != NULL)
        say("nothing was changed; as the migrating role: "
            "select * from reveille_cron.set_job(%s, %s);",
            name, value);
    PQfreemem(value);
    PQfreemem(name);
}

static int set(struct cli *cli, const struct args *args)
{
    char *settings = settings_of(args);
    if (settings == NULL)
        return CLI_USAGE;
    const char *job = args->word[1], *params[] = {job, settings};
    int code = CLI_YES;
    PGresult *row = link_query(
        cli, "select known, problem from reveille_cron.set_job($1, $2::jsonb)", 2, params, &code);
    if (row == NULL) {
        if (code == CLI_USAGE)
            say_statement(cli, job, settings);
    } else if (PQgetvalue(row, 0, 0)[0] != 't') {
        say("there is no job %s", job);
        code = CLI_NONE;
    } else if (!PQgetisnull(row, 0, 1)) {
        say("%s: %s", job, PQgetvalue(row, 0, 1));
        code = CLI_USAGE;
    }
    PQclear(row);
    free(settings);
    if (code != CLI_YES)
        return code;
    bool a_job = false; /* or a cron row's name: then all are listed */
    row = link_query(cli, known_sql, 1, params, &code);
    a_job = row != NULL && PQntuples(row) > 0;
    PQclear(row);
    return code == CLI_YES ? list(cli, a_job ? job : NULL) : code;
}

static int refuse(void)
{
    say("jobs [list [JOB] | show JOB | pause JOB [reason=TEXT] | resume JOB | set JOB KEY=VALUE…]");
    return CLI_USAGE;
}

int verb_jobs(struct cli *cli, const struct args *args)
{
    const char *what = args->words > 0 ? args->word[0] : "list";
    const char *job = args->words > 1 ? args->word[1] : NULL;
    const char *third = args->words > 2 ? args->word[2] : NULL;
    if (strcmp(what, "list") == 0 && third == NULL)
        return list(cli, job);
    if (job == NULL)
        return refuse();
    if (strcmp(what, "set") == 0 && third != NULL)
        return set(cli, args);
    bool reason = third != NULL && strncmp(third, "reason=", 7) == 0 && third[7] != '\0';
    if (strcmp(what, "pause") == 0 && (third == NULL || (reason && args->words == 3)))
        return pause_job(cli, job, reason ? third + 7 : "by hand");
    if (third != NULL)
        return refuse();
    if (strcmp(what, "show") == 0)
        return show(cli, job);
    return strcmp(what, "resume") == 0 ? pause_job(cli, job, NULL) : refuse();
}
