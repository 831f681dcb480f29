/* See engine_http.h. */
#include "engine_http.h"

#include "attrs.h"
#include "engine_http_answer.h"
#include "http_calls.h"

#include <stdio.h>

/* A dry run has no effects to repeat, and must not be what a later real call is answered with. */
static int ask_engine(const struct engine_call *call, const struct uuid *subject,
                      struct http_ask *ask, struct err *err)
{
    char run[UUID_TEXT_SIZE], mentor[UUID_TEXT_SIZE];
    const struct claim *c = call->claim;
    uuid_format(call->invocation, run);
    uuid_format(subject, mentor);
    snprintf(ask->lines[0], HTTP_LINE_MAX, "Idempotency-Key: %s/%s/%s/%s%s", c->job_name,
             c->evaluation_date, c->scenarios_hash, mentor, c->shadow ? "/dry-run" : "");
    if (call->traceparent[0] != '\0')
        snprintf(ask->lines[1], HTTP_LINE_MAX, "traceparent: %s", call->traceparent);
    return buf_printf(ask->body, err,
                      "{\"invocation_id\":\"%s\",\"peer_mentor_id\":\"%s\",\"evaluation_date\":"
                      "\"%s\",\"scenario_types\":%s%s}",
                      run, mentor, c->evaluation_date, c->scenarios,
                      c->shadow ? ",\"dry_run\":true" : "");
}

static struct answer *read_answer(long status UNUSED, const char *bytes, size_t len,
                                  const struct uuid *asked)
{
    return engine_http_answer(bytes, len, asked);
}

static const char *const headers[] = {"Content-Type: application/json", "Accept: application/json",
                                      NULL};

static const struct http_calls_kind kind = {
    .engine = "http",
    .method = "POST",
    .headers = headers,
    .url_name = "TRIGGER_ENGINE_URL",
    .token_name = "SUPABASE_SERVICE_ROLE_KEY",
    .ask = ask_engine,
    .read = read_answer,
};

int engine_http_new(struct loop *loop, const struct engine_http_config *cfg,
                    engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                    struct err *err)
{
    struct http_calls_config calls = {
        .kind = &kind, .url = cfg->url, .timeout_ms = cfg->timeout_ms};
    return http_calls_new(loop, &calls, on_answer, arg, ret_engine, err);
}

int engine_http_set_key(struct engine *engine, const char *key, struct err *err)
{
    return http_calls_set_token(engine, key, err);
}
