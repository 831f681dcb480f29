/* See api_jobs.h. */
#include "api_jobs.h"

#include "api_reply.h"

#include <stdio.h>

/* A copy's jobs are as if paused also before the watchdog has said so in their rows. */
#define LIST_SQL                                                                         \
    "select jsonb_build_object('jobs', coalesce(jsonb_agg(jsonb_build_object("           \
    " 'job_name', j.job_name, 'cron_name', j.cron_name, 'schedule', j.schedule,"         \
    " 'time_zone', j.time_zone, 'engine', j.engine, 'scenario_types', j.scenario_types," \
    " 'page_size', j.page_size, 'paused', j.paused_at is not null or c.is_copy,"         \
    " 'paused_reason', coalesce(j.paused_reason, case when c.is_copy then"               \
    "  'this is a copy of the database; resume the job to run it here' end),"            \
    " 'paused_at', j.paused_at, 'active_run', (select r.run_id from reveille.run r"      \
    "  where r.job_name = j.job_name and r.replay_of is null"                            \
    "   and r.state in ('planning', 'running'))) order by j.job_name), '[]'))::text"     \
    " from reveille.job j"                                                               \
    " cross join lateral (select j.enabled_on is distinct from reveille.here()) c(is_copy)"

/* A null reason resumes. */
#define PAUSE_SQL                                                                             \
    "select reveille.pause_job($1, case when $2 then 'paused over HTTP' end, 'operator over " \
    "HTTP')"

static void listed(void *arg, struct http_request *req, const struct db_result *r,
                   const struct api_memo *memo)
{
    (void)arg;
    (void)memo;
    api_reply_json(req, 200, db_text(r, 0, 0));
}

void api_jobs_list(struct api_context *x, struct http_request *req, const struct api_path *path,
                   enum api_power power)
{
    (void)path;
    (void)power;
    api_query(x->queries, req, "jobs", LIST_SQL, NULL, listed, NULL, NULL);
}

static void patched(void *arg, struct http_request *req, const struct db_result *r,
                    const struct api_memo *memo)
{
    struct api_context *x = arg;
    if (!db_bool(r, 0, 0)) {
        api_reply_problem(req, PROBLEM_NO_SUCH_JOB);
        return;
    }
    char body[API_JOB_NAME_MAX + 64]; /* the name is one of the registry: [a-z_] */
    snprintf(body, sizeof body, "{\"job_name\":\"%s\",\"paused\":%s}", memo->job_name,
             memo->flag ? "true" : "false");
    api_reply_json(req, 200, body);
    run_core_rung(core_wake_core(x->wake)); /* a request may have waited for the resume */
    core_wake_rearm(x->wake);
}

void api_jobs_patch(struct api_context *x, struct http_request *req, const struct api_path *path,
                    enum api_power power)
{
    (void)power;
    size_t len;
    const char *body = http_body(req, &len);
    struct api_memo memo = {.flag = false};
    enum api_parsed parsed = api_parse_paused(body, len, &memo.flag);
    if (parsed != API_GOOD) {
        api_reply_problem(req, parsed == API_MALFORMED ? PROBLEM_MALFORMED : PROBLEM_WRONG_FIELDS);
        return;
    }
    snprintf(memo.job_name, sizeof memo.job_name, "%s", path->job);
    struct db_args *args = db_args_new();
    db_arg_text(args, path->job);
    db_arg_bool(args, memo.flag);
    api_query(x->queries, req, "pause_job", PAUSE_SQL, args, patched, x, &memo);
}
