/* See engine_dynamics.h. */
#include "engine_dynamics.h"

#include "attrs.h"
#include "engine_noop.h"
#include "http_calls.h"

#include <jansson.h>
#include <string.h>

/* The key is a text column there: Dynamics has no alternate keys of type uuid. */
static int ask_dynamics(const struct engine_call *call, const struct uuid *subject,
                        struct http_ask *ask, struct err *err)
{
    char mentor[UUID_TEXT_SIZE];
    ask->nothing = call->claim->shadow;
    uuid_format(subject, mentor);
    while (ask->url->len > 0 && ask->url->data[ask->url->len - 1] == '/')
        ask->url->len--;
    if (buf_printf(ask->url, err, "/contacts(reveille_mentorid='%s')", mentor))
        return -1;
    return buf_printf(ask->body, err,
                      "{\"reveille_mentorid\":\"%s\",\"reveille_evaluatedon\":\"%s\"}", mentor,
                      call->claim->evaluation_date);
}

/* A page for signing in comes with 200, too: what is there must be a JSON object. */
static bool is_contact(const char *bytes, size_t len)
{
    json_t *root = json_loadb(bytes, len, 0, NULL);
    bool ok = json_is_object(root);
    json_decref(root);
    return ok;
}

static struct answer *read_answer(long status, const char *bytes, size_t len,
                                  const struct uuid *asked UNUSED)
{
    if (status != 200 && status != 201 && status != 204)
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, "a status that says neither");
    if (len > 0 && !is_contact(bytes, len))
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, "an answer that is no contact");
    return answer_nothing_due();
}

static const char *const headers[] = {"Content-Type: application/json", "Accept: application/json",
                                      "OData-MaxVersion: 4.0",          "OData-Version: 4.0",
                                      "Prefer: return=minimal",         NULL};

static const struct http_calls_kind kind = {
    .engine = "dynamics",
    .method = "PATCH",
    .headers = headers,
    .url_name = "DYNAMICS_URL",
    .token_name = "DYNAMICS_TOKEN",
    .ask = ask_dynamics,
    .read = read_answer,
};

/* ---- life -------------------------------------------------------------------------------- */

static int missing(const char *name, struct err *err)
{
    return err_set(err, ERR_CONFIG, "missing", "%s: needed while DYNAMICS_ENABLED is true", name);
}

static int make_client(struct loop *loop, const struct engine_dynamics_config *cfg,
                       engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                       struct err *err)
{
    struct http_calls_config calls = {
        .kind = &kind, .url = cfg->url, .timeout_ms = cfg->timeout_ms};
    struct engine made;
    if (cfg->url == NULL)
        return missing(kind.url_name, err);
    if (cfg->token == NULL)
        return missing(kind.token_name, err);
    if (strpbrk(cfg->url, "?#") != NULL)
        return err_set(err, ERR_CONFIG, "url", "DYNAMICS_URL: without ? and #: a path follows it");
    if (http_calls_new(loop, &calls, on_answer, arg, &made, err))
        return -1;
    if (http_calls_set_token(&made, cfg->token, err)) {
        made.free(made.self);
        return -1;
    }
    *ret_engine = made;
    return 0;
}

int engine_dynamics_new(struct loop *loop, const struct engine_dynamics_config *cfg,
                        engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                        struct err *err)
{
    if (cfg->enabled)
        return make_client(loop, cfg, on_answer, arg, ret_engine, err);
    if (engine_noop_new(loop, on_answer, arg, ret_engine, err))
        return -1;
    ret_engine->name = kind.engine;
    return 0;
}

int engine_dynamics_set_token(struct engine *engine, const char *token, struct err *err)
{
    if (engine_dynamics_is_off(engine))
        return 0;
    return token != NULL ? http_calls_set_token(engine, token, err) : missing(kind.token_name, err);
}

bool engine_dynamics_is_off(const struct engine *engine)
{
    return !http_calls_made(engine);
}
