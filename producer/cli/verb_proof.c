/* `reveille verify` and `reveille why-open`: the proof of a closed run, and what keeps one open. */
#include "fleet.h"
#include "link.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool all_hold(const PGresult *checks)
{
    for (int r = 0; r < PQntuples(checks); r++)
        if (PQgetvalue(checks, r, 3)[0] != 't')
            return false;
    return PQntuples(checks) > 0;
}

/* What the checks that do not hold come to, in a word each for the two that say it all. */
static const char *verdict(const PGresult *checks)
{
    for (int r = 0; r < PQntuples(checks); r++) {
        const char *name = PQgetvalue(checks, r, 0);
        if (PQgetvalue(checks, r, 3)[0] == 't')
            continue;
        if (strcmp(name, "the run is closed") == 0)
            return "has not ended yet";
        if (strcmp(name, "its subjects were pruned after 30 days") == 0)
            return "cannot be proved any more: its subjects were pruned after 30 days";
    }
    return "does not hold";
}

static void print_checks(const PGresult *checks, const char *run_id, bool holds)
{
    char expected[PRINT_SIZE], actual[PRINT_SIZE];
    printf("%-66s %14s %14s\n", "", "expected", "actual");
    for (int r = 0; r < PQntuples(checks); r++) {
        bool good = PQgetvalue(checks, r, 3)[0] == 't';
        print_verdict(good, good ? "ok      " : "NOT OK  ");
        printf("%-58s %14s %14s\n", PQgetvalue(checks, r, 0),
               print_number(strtoll(PQgetvalue(checks, r, 1), NULL, 10), expected),
               print_number(strtoll(PQgetvalue(checks, r, 2), NULL, 10), actual));
    }
    printf("%s: run %s %s\n", holds ? "verified" : "NOT VERIFIED", run_id,
           holds ? "holds" : verdict(checks));
}

static void print_checks_json(const PGresult *checks, const char *run_id, bool holds)
{
    json_t *list = json_array();
    for (int r = 0; r < PQntuples(checks); r++)
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:b}", "name", PQgetvalue(checks, r, 0), "expected",
                            (json_int_t)strtoll(PQgetvalue(checks, r, 1), NULL, 10), "actual",
                            (json_int_t)strtoll(PQgetvalue(checks, r, 2), NULL, 10), "holds",
                            PQgetvalue(checks, r, 3)[0] == 't'));
    json_t *answer =
        json_pack("{s:s, s:b, s:o}", "run_id", run_id, "holds", (int)holds, "checks", list);
    print_json(answer);
    json_decref(answer);
}

int verb_verify(struct cli *cli, const struct args *args)
{
    char run_id[UUID_TEXT_SIZE];
    int code = link_find_run(cli, args->words > 0 ? args->word[0] : NULL, run_id);
    if (code != CLI_YES)
        return code;
    const char *params[] = {run_id};
    PGresult *checks = link_query_patiently(
        cli, "recounting", CLI_VERIFY_S,
        "select name, coalesce(expected, 0), coalesce(actual, 0), coalesce(holds, false) "
        "from reveille.verify_run($1::uuid)",
        1, params, &code);
    if (checks == NULL)
        return code;
    bool holds = all_hold(checks);
    if (cli->json)
        print_checks_json(checks, run_id, holds);
    else
        print_checks(checks, run_id, holds);
    PQclear(checks);
    return holds ? CLI_YES : CLI_NO;
}

static const char open_slices_sql[] =
    "select slice_no slice, topic, partition, state_hint state, worker, "
    "round(age_s::numeric, 1) age_s, attempt, calls_done calls, "
    "last_error_class last_error, rings from reveille.why_open($1::uuid)";

/* The run's engine, and for how long and until when it is closed or paused. */
static const char its_engine_sql[] =
    "select " ENGINE_COLUMNS " from reveille.run r join reveille.job j using (job_name) "
    "join reveille.engine e on e.engine = j.engine where r.run_id = $1::uuid";

static int why_open_json(struct cli *cli, const char *run_id)
{
    char sql[2048];
    int code = CLI_YES;
    const char *params[] = {run_id};
    snprintf(sql, sizeof(sql),
             "select json_build_object('run_id', $1::uuid, "
             "'slices', (select coalesce(json_agg(s), '[]') from (%s) s), "
             "'engine', (select to_json(e) from (%s) e))::text",
             open_slices_sql, its_engine_sql);
    PGresult *row = link_query(cli, sql, 1, params, &code);
    if (row != NULL)
        print_json_text(PQgetvalue(row, 0, 0));
    PQclear(row);
    return code;
}

/* The engine's line, and in a sentence what of it keeps calls from starting. */
static int say_engine(struct cli *cli, const char *run_id)
{
    int code = CLI_YES;
    const char *params[] = {run_id};
    PGresult *rows = link_query(cli, its_engine_sql, 1, params, &code);
    if (rows == NULL || PQntuples(rows) == 0) { /* the run was pruned just now */
        PQclear(rows);
        return code;
    }
    putchar('\n');
    print_table(rows);
    const char *closed = PQgetvalue(rows, 0, PQfnumber(rows, "closed_since_utc"));
    const char *paused = PQgetvalue(rows, 0, PQfnumber(rows, "paused_s"));
    if (*closed != '\0')
        printf("engine %s is closed since %s UTC: one call at a time until one succeeds\n",
               PQgetvalue(rows, 0, 0), closed);
    else if (*paused != '\0')
        printf("engine %s asked for a pause: no call for another %s s\n", PQgetvalue(rows, 0, 0),
               paused);
    PQclear(rows);
    return code;
}

int verb_why_open(struct cli *cli, const struct args *args)
{
    char run_id[UUID_TEXT_SIZE];
    int code = link_find_run(cli, args->words > 0 ? args->word[0] : NULL, run_id);
    if (code != CLI_YES)
        return code;
    if (cli->json)
        return why_open_json(cli, run_id);
    const char *params[] = {run_id};
    code = link_show(cli, open_slices_sql, 1, params, "no slice keeps this run open");
    return code == CLI_YES ? say_engine(cli, run_id) : code;
}
