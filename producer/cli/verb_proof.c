/* `reveille verify` and `reveille why-open`: the proof of a closed run, and what keeps one open. */
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

static void print_checks(const PGresult *checks, const char *run_id, bool holds)
{
    char expected[PRINT_SIZE], actual[PRINT_SIZE];
    bool closed = true;
    printf("%-66s %14s %14s\n", "", "expected", "actual");
    for (int r = 0; r < PQntuples(checks); r++) {
        bool good = PQgetvalue(checks, r, 3)[0] == 't';
        closed = closed && (good || strcmp(PQgetvalue(checks, r, 0), "the run is closed") != 0);
        print_verdict(good, good ? "ok      " : "NOT OK  ");
        printf("%-58s %14s %14s\n", PQgetvalue(checks, r, 0),
               print_number(strtoll(PQgetvalue(checks, r, 1), NULL, 10), expected),
               print_number(strtoll(PQgetvalue(checks, r, 2), NULL, 10), actual));
    }
    printf("%s: run %s %s\n", holds ? "verified" : "NOT VERIFIED", run_id,
           holds ? "holds" : (closed ? "does not hold" : "has not ended yet"));
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

int verb_why_open(struct cli *cli, const struct args *args)
{
    char run_id[UUID_TEXT_SIZE];
    int code = link_find_run(cli, args->words > 0 ? args->word[0] : NULL, run_id);
    if (code != CLI_YES)
        return code;
    const char *params[] = {run_id};
    code = link_show(cli,
                     "select slice_no slice, topic, partition, state_hint state, worker, "
                     "round(age_s::numeric, 1) age_s, attempt, calls_done calls, "
                     "last_error_class last_error, rings from reveille.why_open($1::uuid)",
                     1, params, "no slice keeps this run open");
    if (code != CLI_YES || cli->json)
        return code;
    return link_show(
        cli,
        "select e.engine, e.concurrency, e.current, e.closed_since is not null closed, "
        "to_char(e.last_success_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') "
        "last_success_utc from reveille.run r join reveille.job j using (job_name) "
        "join reveille.engine e on e.engine = j.engine where r.run_id = $1::uuid",
        1, params, NULL);
}
