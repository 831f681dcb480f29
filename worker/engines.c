/* See engines.h. */
#include "engines.h"

#include "attrs.h"
#include "engine_dynamics.h"
#include "engine_http.h"
#include "engine_noop.h"
#include "engine_sql.h"
#include "limits.h"
#include "pool_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_MAGIC 0x656e7074u

struct port { /* where an engine's answers come in */
    unsigned magic;
    struct engines *engines;
    int index;
};

struct engines {
    engines_answer_fn on_answer;
    void *arg;
    int count;
    struct engine at[POOL_ENGINES_MAX];
    const char *names[POOL_ENGINES_MAX]; /* the engines' own */
    struct port ports[POOL_ENGINES_MAX];
};

/* ---- the kinds --------------------------------------------------------------------------- */

static int make_http(struct loop *loop, struct config *cfg, engine_answer_fn on_answer, void *arg,
                     struct engine *ret_engine, struct err *err)
{
    struct engine_http_config http = {.url = config_text(cfg, CFG_TRIGGER_ENGINE_URL),
                                      .timeout_ms = config_int(cfg, CFG_TRIGGER_ENGINE_TIMEOUT_MS)};
    if (http.url == NULL)
        return err_set(err, ERR_CONFIG, "missing",
                       "TRIGGER_ENGINE_URL: needed for engine http (or leave http out of "
                       "WORKER_ENGINES)");
    return engine_http_new(loop, &http, on_answer, arg, ret_engine, err);
}

static int make_noop(struct loop *loop, struct config *cfg UNUSED, engine_answer_fn on_answer,
                     void *arg, struct engine *ret_engine, struct err *err)
{
    return engine_noop_new(loop, on_answer, arg, ret_engine, err);
}

static int make_dynamics(struct loop *loop, struct config *cfg, engine_answer_fn on_answer,
                         void *arg, struct engine *ret_engine, struct err *err)
{
    struct engine_dynamics_config dynamics = {
        .enabled = strcmp(config_text(cfg, CFG_DYNAMICS_ENABLED), "true") == 0,
        .url = config_text(cfg, CFG_DYNAMICS_URL),
        .token = config_secret(cfg, CFG_DYNAMICS_TOKEN)->text,
        .timeout_ms = ENGINE_TIMEOUT_MS};
    return engine_dynamics_new(loop, &dynamics, on_answer, arg, ret_engine, err);
}

static int make_sql(struct loop *loop UNUSED, struct config *cfg UNUSED,
                    engine_answer_fn on_answer UNUSED, void *arg UNUSED, struct engine *ret_engine,
                    struct err *err UNUSED)
{
    *ret_engine = engine_sql_entry();
    return 0;
}

static const struct kind {
    const char *name;
    int (*make)(struct loop *loop, struct config *cfg, engine_answer_fn on_answer, void *arg,
                struct engine *ret_engine, struct err *err);
} kinds[] = {
    {"http", make_http},
    {"sql", make_sql},
    {"dynamics", make_dynamics},
    {"noop", make_noop},
};

static const char *kind_names(char *to, size_t size)
{
    int n = 0;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        n += snprintf(to + n, size - (size_t)n, "%s%s", i > 0 ? ", " : "", kinds[i].name);
    return to;
}

static const struct kind *kind_named(const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strlen(kinds[i].name) == len && strncmp(kinds[i].name, name, len) == 0)
            return &kinds[i];
    return NULL;
}

/* ---- the list ---------------------------------------------------------------------------- */

static void answered(void *arg, struct call_ref ref, struct answer *answer, int64_t duration_us)
{
    struct port *port = CHECK_MAGIC(struct port, arg, PORT_MAGIC);
    port->engines->on_answer(port->engines->arg, port->index, ref, answer, duration_us);
}

static int add(struct engines *e, const struct kind *kind, struct loop *loop, struct config *cfg,
               struct err *err)
{
    int i = e->count;
    for (int k = 0; k < i; k++)
        if (strcmp(e->names[k], kind->name) == 0)
            return err_set(err, ERR_CONFIG, "twice", "WORKER_ENGINES: %s stands there twice",
                           kind->name);
    e->ports[i] = (struct port){.magic = PORT_MAGIC, .engines = e, .index = i};
    if (kind->make(loop, cfg, answered, &e->ports[i], &e->at[i], err))
        return -1;
    e->names[i] = e->at[i].name;
    e->count++;
    return 0;
}

static int add_all(struct engines *e, struct loop *loop, struct config *cfg, struct err *err)
{
    char names[64];
    const char *list = config_text(cfg, CFG_WORKER_ENGINES);
    for (const char *p = list; p != NULL && *p != '\0';) {
        p += strspn(p, ", ");
        size_t len = strcspn(p, ", ");
        if (len == 0)
            break;
        const struct kind *kind = kind_named(p, len);
        if (kind == NULL)
            return err_set(err, ERR_CONFIG, "unknown",
                           "WORKER_ENGINES: %.*s is no engine of this worker: %s",
                           len < 40 ? (int)len : 40, p, kind_names(names, sizeof(names)));
        if (add(e, kind, loop, cfg, err))
            return -1;
        p += len;
    }
    if (e->count == 0)
        return err_set(err, ERR_CONFIG, "empty", "WORKER_ENGINES: at least one of %s",
                       kind_names(names, sizeof(names)));
    return 0;
}

struct engines *engines_new(struct loop *loop, struct config *cfg, engines_answer_fn on_answer,
                            void *arg, struct err *err)
{
    static_assert(COUNT_OF(kinds) <= POOL_ENGINES_MAX, "the core has a desk for each");
    struct engines *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        (void)err_errno(err, "engines");
        return NULL;
    }
    e->on_answer = on_answer;
    e->arg = arg;
    if (add_all(e, loop, cfg, err) || engines_take_secrets(e, cfg, err)) {
        engines_free(e);
        return NULL;
    }
    return e;
}

void engines_free(struct engines *e)
{
    if (e == NULL)
        return;
    for (int i = e->count - 1; i >= 0; i--)
        if (e->at[i].free != NULL)
            e->at[i].free(e->at[i].self);
    free(e);
}

int engines_count(const struct engines *e)
{
    return e->count;
}

const struct engine *engines_at(const struct engines *e, int i)
{
    return &e->at[i];
}

const char *const *engines_names(const struct engines *e)
{
    return e->names;
}

/* Whoever pastes the wrong one must not send the service key to somebody else. */
static int take_token(struct engine *engine, struct config *cfg, struct err *err)
{
    const struct secret *token = config_secret(cfg, CFG_DYNAMICS_TOKEN);
    if (!engine_dynamics_is_off(engine) && token->text != NULL &&
        secret_matches(config_secret(cfg, CFG_SUPABASE_SERVICE_ROLE_KEY), token->text, token->len))
        return err_set(err, ERR_CONFIG, "token",
                       "DYNAMICS_TOKEN: is the service role key, which goes to the trigger engine "
                       "only");
    return engine_dynamics_set_token(engine, token->text, err);
}

int engines_take_secrets(struct engines *e, struct config *cfg, struct err *err)
{
    const char *key = config_secret(cfg, CFG_SUPABASE_SERVICE_ROLE_KEY)->text;
    for (int i = 0; i < e->count; i++)
        if ((strcmp(e->names[i], "http") == 0 && engine_http_set_key(&e->at[i], key, err)) ||
            (strcmp(e->names[i], "dynamics") == 0 && take_token(&e->at[i], cfg, err)))
            return -1;
    return 0;
}

bool engines_is_off(const struct engines *e, int i)
{
    return strcmp(e->names[i], "dynamics") == 0 && engine_dynamics_is_off(&e->at[i]);
}
