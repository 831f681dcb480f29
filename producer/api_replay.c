/* See api_replay.h. */
#include "api_replay.h"

#include "api_reply.h"

#include <stdlib.h>
#include <string.h>

/* The body's members that are no selection. */
#define NOT_SELECTED "'{slice_size,rate,reason,dry_run}'"

#define OPEN_SQL                                                                                \
    "select o.outcome, o.summary::text, (o.summary ->> 'run_id')::uuid"                         \
    " from reveille.open_replay($1, $2 - " NOT_SELECTED "::text[], ($2 ->> 'slice_size')::int," \
    "  ($2 ->> 'rate')::int, $2 ->> 'reason', 'operator over HTTP') o"
#define DRY_SQL                                             \
    "select f.outcome, f.forecast::text"                    \
    " from reveille.forecast_replay($1, $2 - " NOT_SELECTED \
    "::text[], ($2 ->> 'slice_size')::int,"                 \
    "  ($2 ->> 'rate')::int) f"
enum { REPLAY_OUTCOME, REPLAY_DOCUMENT, REPLAY_RUN };

/* What there is no replay for, by open_replay's word. */
static const struct {
    const char *outcome;
    enum api_problem problem;
} refusals[] = {
    {"unknown", PROBLEM_NO_SUCH_RUN},  {"open", PROBLEM_RUN_OPEN}, {"replaying", PROBLEM_REPLAYING},
    {"paused", PROBLEM_REFUSED},       {"copy", PROBLEM_REFUSED},  {"forgotten", PROBLEM_NOT_KEPT},
    {"nothing", PROBLEM_NOTHING_LEFT},
};

static void refuse(struct http_request *req, const char *outcome)
{
    enum api_problem problem = PROBLEM_INTERNAL;
    for (size_t i = 0; i < COUNT_OF(refusals); i++)
        if (strcmp(refusals[i].outcome, outcome) == 0)
            problem = refusals[i].problem;
    api_reply_problem(req, problem);
}

static void opened(void *arg, struct http_request *req, const struct db_result *r,
                   const struct api_memo *memo)
{
    struct api_context *x = arg;
    (void)memo;
    if (db_is_null(r, 0, REPLAY_DOCUMENT)) {
        refuse(req, db_text(r, 0, REPLAY_OUTCOME));
        return;
    }
    struct uuid run = db_uuid(r, 0, REPLAY_RUN);
    api_reply_run(req, 202, &run, db_text(r, 0, REPLAY_DOCUMENT), NULL);
    run_core_rung(core_wake_core(x->wake)); /* nobody leads it yet */
    core_wake_rearm(x->wake);
}

static void forecast(void *arg, struct http_request *req, const struct db_result *r,
                     const struct api_memo *memo)
{
    (void)arg;
    (void)memo;
    if (db_is_null(r, 0, REPLAY_DOCUMENT))
        refuse(req, db_text(r, 0, REPLAY_OUTCOME));
    else
        api_reply_json(req, 200, db_text(r, 0, REPLAY_DOCUMENT));
}

void api_replay(struct api_context *x, struct http_request *req, const struct api_path *path,
                enum api_power power)
{
    (void)power;
    size_t len;
    const char *body = http_body(req, &len);
    struct api_replay_ask ask;
    enum api_parsed parsed = api_parse_replay(body, len, &ask);
    if (parsed != API_GOOD) {
        api_reply_problem(req, parsed == API_MALFORMED ? PROBLEM_MALFORMED : PROBLEM_WRONG_FIELDS);
        return;
    }
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &path->run);
    db_arg_json(args, ask.params);
    free(ask.params);
    if (ask.dry_run)
        api_query(x->queries, req, "forecast_replay", DRY_SQL, args, forecast, NULL, NULL);
    else
        api_query(x->queries, req, "open_replay", OPEN_SQL, args, opened, x, NULL);
}
