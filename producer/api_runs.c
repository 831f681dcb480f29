/* See api_runs.h. */
#include "api_runs.h"

#include "api_reply.h"
#include "limits.h"

#include <string.h>

/* $3 a time, or $4 the run that the page before ended with (unknown: nothing is before it). */
#define LIST_SQL                                                                                 \
    "select jsonb_build_object('runs', coalesce(jsonb_agg(s.v order by s.n), '[]'))::text"       \
    " from reveille.summaries($1, $2, case when $4::uuid is null then $3::text::timestamptz"     \
    "  else coalesce((select started_at from reveille.run where run_id = $4), '-infinity') end)" \
    " with ordinality s(v, n)"

/* Beside the summary the run's replays, and what they have left. */
#define GET_SQL                                                         \
    "select (reveille.summary(run_id) || jsonb_build_object('replays'," \
    " reveille.replays_of(run_id)))::text from reveille.run where run_id = $1"

/* Along the primary key (run_id, slice_no); one row more than is shown tells whether there are. */
#define SLICES_SQL                                                                               \
    "select (select jsonb_build_object('run_id', r.run_id,"                                      \
    " 'slices', coalesce(jsonb_agg(jsonb_build_object('slice_no', s.slice_no,"                   \
    "   'partition', s.partition, 'state', s.state, 'attempt', s.attempt, 'rings', s.rings,"     \
    "   'subjects', cardinality(s.subject_ids), 'evaluated', s.evaluated, 'skipped', s.skipped," \
    "   'errors', s.errors, 'unreached', s.unreached, 'dispatched', s.dispatched,"               \
    "   'suppressed', s.suppressed, 'last_error_class', s.last_error_class, 'worker', s.worker," \
    "   'published_at', s.published_at, 'done_at', s.done_at) order by s.slice_no)"              \
    "   filter (where s.n <= 1000), '[]'), 'more', count(*) > 1000)"                             \
    "  from (select *, row_number() over (order by slice_no) as n from reveille.slice"           \
    "   where run_id = $1 and slice_no > $3 and ($2::text is null or state = $2)"                \
    "   order by slice_no limit 1001) s)::text"                                                  \
    " from reveille.run r where r.run_id = $1"

/* The state as it was before, so that "no such run" and "ended already" can be told apart. */
#define CANCEL_SQL                                                                      \
    "select c.summary::text, r.state from (select reveille.cancel_run($1, 'cancelled'," \
    " 'operator over HTTP') as summary) c left join reveille.run r on r.run_id = $1"
enum { CANCEL_SUMMARY, CANCEL_STATE };

static void answer_document(void *arg, struct http_request *req, const struct db_result *r,
                            const struct api_memo *memo)
{
    (void)arg;
    (void)memo;
    if (db_rows(r) == 0 || db_is_null(r, 0, 0))
        api_reply_problem(req, PROBLEM_NO_SUCH_RUN);
    else
        api_reply_json(req, 200, db_text(r, 0, 0));
}

void api_runs_list(struct api_context *x, struct http_request *req, const struct api_path *path,
                   enum api_power power)
{
    (void)path;
    (void)power;
    const char *job = http_query(req, "job"), *before = http_query(req, "before");
    struct uuid run;
    bool is_run = before && uuid_parse(before, &run);
    int limit;
    if ((job && !api_job_name_is_text(job)) || (before && !api_job_name_is_text(before)) ||
        !api_parse_int(http_query(req, "limit"), 1, API_RUNS_MAX, API_RUNS_DEFAULT, &limit)) {
        api_reply_problem(req, PROBLEM_WRONG_FIELDS);
        return;
    }
    struct db_args *args = db_args_new();
    db_arg_text(args, job);
    db_arg_int(args, limit);
    db_arg_text(args, is_run ? NULL : before);
    db_arg_uuid(args, is_run ? &run : NULL);
    api_query(x->queries, req, "summaries", LIST_SQL, args, answer_document, NULL, NULL);
}

void api_runs_get(struct api_context *x, struct http_request *req, const struct api_path *path,
                  enum api_power power)
{
    (void)power;
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &path->run);
    api_query(x->queries, req, "summary", GET_SQL, args, answer_document, NULL, NULL);
}

static bool is_slice_state(const char *text)
{
    return strcmp(text, "pending") == 0 || strcmp(text, "done") == 0 ||
           strcmp(text, "unreached") == 0;
}

void api_runs_slices(struct api_context *x, struct http_request *req, const struct api_path *path,
                     enum api_power power)
{
    (void)power;
    const char *state = http_query(req, "state");
    int after;
    if ((state && !is_slice_state(state)) ||
        !api_parse_int(http_query(req, "after"), 0, INT_MAX, -1, &after)) {
        api_reply_problem(req, PROBLEM_WRONG_FIELDS);
        return;
    }
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &path->run);
    db_arg_text(args, state);
    db_arg_int(args, after);
    api_query(x->queries, req, "slices", SLICES_SQL, args, answer_document, NULL, NULL);
}

static void cancelled(void *arg, struct http_request *req, const struct db_result *r,
                      const struct api_memo *memo)
{
    (void)arg;
    (void)memo;
    if (db_rows(r) == 1 && !db_is_null(r, 0, CANCEL_SUMMARY))
        api_reply_json(req, 200, db_text(r, 0, CANCEL_SUMMARY));
    else if (db_rows(r) == 1 && !db_is_null(r, 0, CANCEL_STATE))
        api_reply_problem(req, PROBLEM_RUN_ENDED);
    else
        api_reply_problem(req, PROBLEM_NO_SUCH_RUN);
}

void api_runs_cancel(struct api_context *x, struct http_request *req, const struct api_path *path,
                     enum api_power power)
{
    (void)power;
    size_t len;
    const char *body = http_body(req, &len);
    enum api_parsed parsed = api_parse_nothing(body, len);
    if (parsed != API_GOOD) {
        api_reply_problem(req, parsed == API_MALFORMED ? PROBLEM_MALFORMED : PROBLEM_WRONG_FIELDS);
        return;
    }
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &path->run);
    api_query(x->queries, req, "cancel_run", CANCEL_SQL, args, cancelled, NULL, NULL);
}
