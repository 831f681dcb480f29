/* `reveille runs` and `reveille status`: what the runs' rows say, once or until the run has ended.
 */
#include "limits.h"
#include "link.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int verb_runs(struct cli *cli, const struct args *args)
{
    struct err err = ERR_INIT;
    int last;
    if (args_int(args, "last", 1, 1000, 20, &last, &err)) {
        say("%s", err.text);
        return CLI_USAGE;
    }
    char limit[16];
    snprintf(limit, sizeof(limit), "%d", last);
    const char *params[] = {args->words > 0 ? args->word[0] : NULL, limit};
    int code = CLI_YES;
    if (params[0] != NULL)
        code = link_find(cli, "job", "select 1 from reveille.job where job_name = $1", params[0]);
    if (code != CLI_YES)
        return code;
    if (cli->json) {
        PGresult *rows = link_query(cli,
                                    "select coalesce(jsonb_agg(s), '[]')::text from "
                                    "reveille.summaries($1, $2::int, null) s",
                                    2, params, &code);
        if (rows != NULL)
            print_json_text(PQgetvalue(rows, 0, 0));
        PQclear(rows);
        return code;
    }
    return link_show(cli,
                     "select left(s->>'run_id', 8) run, s->>'job_name' job, s->>'status' status, "
                     "s->>'evaluation_date' date, s->>'triggered_by' by, "
                     "left(s->>'replay_of', 8) replay_of, "
                     "(s->>'total_active_mentors')::bigint subjects, "
                     "(s->>'total_evaluated')::bigint evaluated, "
                     "(s->>'total_dispatched')::bigint dispatched, "
                     "(s->>'total_errors')::bigint errors, "
                     "(s->>'remaining_unprocessed_count')::bigint remaining, "
                     "(s->>'duration_ms')::bigint ms from reveille.summaries($1, $2::int, null) s",
                     2, params, "there is no run yet");
}

/* ---- one run ----------------------------------------------------------------------------- */

#define SUMMARY_SQL "select reveille.summary($1::uuid)::text"
/* Beside the summary what status alone tells: the replays, and what they have left. */
#define STATUS_SQL                                                         \
    "select (reveille.summary($1::uuid) || jsonb_build_object('replays', " \
    "reveille.replays_of($1::uuid)))::text"

static json_t *fetch(struct cli *cli, const char *sql, const char *run_id, int *ret_exit)
{
    const char *params[] = {run_id};
    PGresult *row = link_query(cli, sql, 1, params, ret_exit);
    if (row == NULL)
        return NULL;
    json_t *summary = json_loads(PQgetvalue(row, 0, 0), 0, NULL);
    PQclear(row);
    if (summary == NULL) {
        say("run %s is gone", run_id);
        *ret_exit = CLI_NONE;
    }
    return summary;
}

static long long number(const json_t *summary, const char *member)
{
    return json_integer_value(json_object_get(summary, member));
}

static const char *word(const json_t *summary, const char *member)
{
    const char *text = json_string_value(json_object_get(summary, member));
    return text != NULL ? text : "-";
}

static bool ended(const json_t *summary)
{
    const char *status = word(summary, "status");
    return strcmp(status, "planning") != 0 && strcmp(status, "running") != 0;
}

static long long settled(const json_t *summary)
{
    return number(summary, "total_evaluated") + number(summary, "total_skipped") +
           number(summary, "total_errors");
}

static void print_total(const json_t *summary, const char *name, const char *member)
{
    char text[PRINT_SIZE];
    printf("  %-14s %12s\n", name, print_number(number(summary, member), text));
}

static void print_summary(const json_t *summary)
{
    char duration[PRINT_SIZE];
    printf("%s  run %s  ", word(summary, "job_name"), word(summary, "run_id"));
    print_verdict(json_is_true(json_object_get(summary, "completed")) || !ended(summary),
                  word(summary, "status"));
    printf("\n  evaluation date %s, triggered by %s, %s\n", word(summary, "evaluation_date"),
           word(summary, "triggered_by"),
           print_duration((double)number(summary, "duration_ms") / 1000, duration));
    if (json_is_string(json_object_get(summary, "replay_of")))
        printf("  of run %s\n", word(summary, "replay_of"));
    if (!json_is_null(json_object_get(summary, "total_active_mentors")))
        print_total(summary, "subjects", "total_active_mentors");
    print_total(summary, "evaluated", "total_evaluated");
    print_total(summary, "skipped", "total_skipped");
    print_total(summary, "errors", "total_errors");
    print_total(summary, "remaining", "remaining_unprocessed_count");
    print_total(summary, "dispatched", "total_dispatched");
    print_total(summary, "suppressed", "total_suppressed");
    print_scenarios(json_object_get(summary, "by_scenario"));
}

static double rate_of(const json_t *summary)
{
    long long ms = number(summary, "duration_ms");
    return ms > 0 ? (double)settled(summary) * 1000 / (double)ms : 0;
}

static int print_progress(struct cli *cli, const json_t *summary)
{
    char left[PRINT_SIZE];
    const char *params[] = {word(summary, "run_id")};
    double rate = rate_of(summary);
    if (!ended(summary) && rate > 0)
        printf("  %.0f a second, about %s left\n", rate,
               print_duration((double)number(summary, "remaining_unprocessed_count") / rate, left));
    return link_show(
        cli,
        "select partition, count(*) slices, count(*) filter (where state = 'done') done, "
        "count(*) filter (where state = 'pending') pending, "
        "count(*) filter (where state = 'unreached') unreached, "
        "count(*) filter (where state = 'pending' and claimed_by is not null) claimed "
        "from reveille.slice where run_id = $1::uuid group by 1 order by 1",
        1, params, NULL);
}

/* How the run came to be: fired, sent, accepted, opened, closed, a line a firing. "cron says it
 * succeeded" is never taken for "the work was done". Nothing where no doorbell has rung for it, or
 * the database has no such view. */
static int print_firing(struct cli *cli, const char *run_id)
{
    static const char there_sql[] =
        "select 1 from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid "
        "where c.relname = 'firing' and c.relnamespace = to_regnamespace('reveille') "
        "and a.attname = 'run_id' and has_table_privilege(c.oid, 'select')";
    const char *params[] = {run_id};
    int code = CLI_YES;
    PGresult *there = link_query(cli, there_sql, 0, NULL, &code);
    PGresult *rows = there != NULL && PQntuples(there) > 0
                         ? link_query(cli, "select * from reveille.firing where run_id = $1::uuid",
                                      1, params, &code)
                         : NULL;
    if (rows != NULL && PQntuples(rows) > 0) {
        putchar('\n');
        print_table(rows);
    }
    PQclear(rows);
    PQclear(there);
    return code;
}

/* ---- following --------------------------------------------------------------------------- */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show_bar(const json_t *summary)
{
    const json_t *total = json_object_get(summary, "total_active_mentors");
    double rate = rate_of(summary);
    double left = json_is_null(total) || rate <= 0
                      ? -1
                      : (double)number(summary, "remaining_unprocessed_count") / rate;
    print_bar(settled(summary), json_is_null(total) ? -1 : json_integer_value(total), rate, left);
}

static int exit_of(const json_t *summary)
{
    if (!ended(summary))
        return CLI_RUNNING;
    return strcmp(word(summary, "status"), "completed") == 0 ? CLI_YES : CLI_NO;
}

int status_follow(struct cli *cli, const char *run_id, double seconds)
{
    double start = seconds_now(), line = start;
    int code = CLI_YES;
    for (;;) {
        json_t *summary = fetch(cli, SUMMARY_SQL, run_id, &code);
        if (summary == NULL)
            return code;
        bool over = ended(summary) || (seconds >= 0 && seconds_now() - start >= seconds);
        if (over) {
            print_bar_end();
            if (cli->json)
                print_json(summary);
            else
                print_summary(summary);
            code = exit_of(summary);
        } else if (on_terminal() || seconds_now() - line >= CLI_LINES_S) {
            show_bar(summary);
            line = seconds_now();
        }
        json_decref(summary);
        if (over)
            return code;
        usleep(CLI_LOOK_MS * 1000);
    }
}

int verb_status(struct cli *cli, const struct args *args)
{
    char run_id[UUID_TEXT_SIZE];
    int code = link_find_run(cli, args->words > 0 ? args->word[0] : NULL, run_id);
    if (code != CLI_YES)
        return code;
    if (args_has(args, "watch"))
        return status_follow(cli, run_id, -1);
    json_t *summary = fetch(cli, STATUS_SQL, run_id, &code);
    if (summary == NULL)
        return code;
    if (cli->json) {
        print_json(summary);
    } else {
        print_summary(summary);
        code = print_progress(cli, summary);
        if (ended(summary))
            replay_show(json_object_get(summary, "replays"), run_id);
        if (code == CLI_YES)
            code = print_firing(cli, run_id);
    }
    if (code == CLI_YES && exit_of(summary) == CLI_NO)
        code = CLI_NO;
    json_decref(summary);
    return code;
}

int verb_cancel(struct cli *cli, const struct args *args)
{
    char run_id[UUID_TEXT_SIZE];
    int code = link_find_run(cli, args->word[0], run_id);
    if (code != CLI_YES)
        return code;
    const char *params[] = {run_id};
    PGresult *row =
        link_query(cli, "select coalesce(reveille.cancel_run($1::uuid, 'cancelled')::text, '')", 1,
                   params, &code);
    if (row == NULL)
        return code;
    json_t *summary = json_loads(PQgetvalue(row, 0, 0), 0, NULL);
    PQclear(row);
    if (summary == NULL) {
        say("run %s has ended already", run_id);
        return CLI_NO;
    }
    if (cli->json)
        print_json(summary);
    else
        print_summary(summary);
    json_decref(summary);
    return CLI_YES;
}
