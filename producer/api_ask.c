/* See api_ask.h. */
#include "api_ask.h"

#include "api_reply.h"

#include <stdio.h>
#include <string.h>

/* One row a slot; ringing twice is one request. An unknown job is a row of the execution log. */
#define REQUEST_SQL "select q.id, q.state from reveille.request($1, $2, $3, $4) q"
enum { REQUEST_ID, REQUEST_STATE };

static void requested(void *arg, struct http_request *req, const struct db_result *r,
                      const struct api_memo *memo)
{
    struct api_context *x = arg;
    if (db_rows(r) != 1) {
        api_reply_problem(req, PROBLEM_INTERNAL);
    } else if (strcmp(db_text(r, 0, REQUEST_STATE), "unknown") == 0) {
        log_event(x->log, EV_TRIGGER_REFUSED, log_text("job_name", memo->job_name),
                  log_name("reason", "unknown job"));
        api_reply_problem(req, PROBLEM_UNKNOWN_JOB);
    } else {
        run_core_rung(core_wake_core(x->wake)); /* the NOTIFY comes too, but later */
        core_wake_rearm(x->wake);
        api_wait_for(x->waits, req, db_bigint(r, 0, REQUEST_ID), memo);
    }
}

/* How long the caller wants to wait: default_ms when it does not say. */
static void read_preference(const struct http_request *req, int64_t default_ms,
                            struct api_memo *memo)
{
    struct api_prefer prefer = api_prefer_parse(http_header(req, "Prefer"));
    memo->wait_ms = default_ms;
    if (prefer.wait_s >= 0) {
        memo->wait_ms = (int64_t)prefer.wait_s * 1000;
        snprintf(memo->preference, sizeof memo->preference, "wait=%d", prefer.wait_s);
    } else if (prefer.respond_async) {
        memo->wait_ms = 0;
        memo->ok_anyway = false;
        snprintf(memo->preference, sizeof memo->preference, "respond-async");
    }
}

static void reply_unparsed(struct http_request *req, enum api_parsed parsed)
{
    api_reply_problem(req, parsed == API_MALFORMED ? PROBLEM_MALFORMED : PROBLEM_WRONG_FIELDS);
}

static void ask(struct api_context *x, struct http_request *req, const char *source,
                const char *params, const char *key, const struct api_memo *memo)
{
    struct db_args *args = db_args_new();
    db_arg_text(args, memo->job_name);
    db_arg_text(args, source);
    db_arg_json(args, params);
    db_arg_text(args, key);
    api_query(x->queries, req, "request", REQUEST_SQL, args, requested, x, memo);
}

void api_ask_run(struct api_context *x, struct http_request *req, const struct api_path *path,
                 enum api_power power)
{
    size_t len;
    const char *body = http_body(req, &len);
    const char *key = http_header(req, "Idempotency-Key");
    struct api_run_ask run;
    enum api_parsed parsed = api_parse_run(body, len, &run);
    if (parsed != API_GOOD) {
        reply_unparsed(req, parsed);
        return;
    }
    if (run.manual && power < API_OPERATOR && !x->development) {
        api_reply_problem(req, PROBLEM_NEEDS_OPERATOR);
        return;
    }
    if (run.manual && key && !api_key_is_valid(key)) {
        api_reply_problem(req, PROBLEM_BAD_KEY);
        return;
    }
    struct api_memo memo = {.wait_ms = 0};
    snprintf(memo.job_name, sizeof memo.job_name, "%s", path->job);
    read_preference(req, 0, &memo);
    /* a slot is its own key: the header counts for manual runs, which have none */
    ask(x, req, run.manual ? "manual" : "http", run.params, run.manual ? key : NULL, &memo);
}

/* job: the form's own; NULL: the body names it. */
static void ask_form(struct api_context *x, struct http_request *req, const char *job)
{
    size_t len;
    const char *body = http_body(req, &len);
    struct api_memo memo = {.ok_anyway = true};
    enum api_parsed parsed = api_parse_job_name(body, len, job, memo.job_name);
    if (parsed != API_GOOD) {
        reply_unparsed(req, parsed);
        return;
    }
    read_preference(req, x->threshold_ms, &memo);
    ask(x, req, "http", "{}", NULL, &memo);
}

void api_ask_scenarios(struct api_context *x, struct http_request *req, const struct api_path *path,
                       enum api_power power)
{
    (void)path;
    (void)power;
    ask_form(x, req, "scenario_scheduler");
}

void api_ask_nightly(struct api_context *x, struct http_request *req, const struct api_path *path,
                     enum api_power power)
{
    (void)path;
    (void)power;
    ask_form(x, req, NULL);
}

void api_ask_reminders(struct api_context *x, struct http_request *req, const struct api_path *path,
                       enum api_power power)
{
    (void)path;
    (void)power;
    ask_form(x, req, "reminder_eval");
}
