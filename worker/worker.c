/* See worker.h: handles made in order, released in reverse. */
#include "worker.h"

#include "attrs.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORK_LINKS 3 /* a claim, a settle and a release do not wait for each other */

static int must_have(const struct worker *w, enum config_key key, const char *name, struct err *err)
{
    if (config_has(w->cfg, key))
        return 0;
    return err_set(err, ERR_CONFIG, "missing", "%s: must be set", name);
}

static int name_topics(struct worker *w, struct err *err)
{
    const char *prefix = config_text(w->cfg, CFG_KAFKA_TOPIC_PREFIX);
    for (int i = 0; i < engines_count(w->engines); i++) {
        int n = snprintf(w->topics[i], BROKER_TOPIC_SIZE, "%s.%s", prefix,
                         engines_names(w->engines)[i]);
        if (n < 0 || n >= BROKER_TOPIC_SIZE)
            return err_set(err, ERR_CONFIG, "long", "KAFKA_TOPIC_PREFIX: too long for a topic");
    }
    return 0;
}

static int make_engines(struct worker *w, struct err *err)
{
    w->engines = engines_new(w->loop, w->cfg, worker_world_answered, w, err);
    return w->engines != NULL ? name_topics(w, err) : -1;
}

int worker_check(struct worker *w, struct err *err)
{
    if (must_have(w, CFG_DATABASE_URL, "DATABASE_URL", err) ||
        must_have(w, CFG_KAFKA_BOOTSTRAP_SERVERS, "KAFKA_BOOTSTRAP_SERVERS", err))
        return -1;
    w->loop = loop_new(err);
    return w->loop != NULL ? make_engines(w, err) : -1;
}

/* ---- set up ------------------------------------------------------------------------------ */

static void say_started(struct worker *w)
{
    size_t n;
    const char *const *warnings = config_warnings(w->cfg, &n);
    metrics_set(w->metrics, METRIC_BUILD_INFO, REVEILLE_VERSION, broker_library_version(), 1);
    log_event(w->log, EV_PROCESS_STARTED, log_name("version", REVEILLE_VERSION),
              log_name("librdkafka", broker_library_version()),
              log_name("program", "reveille-worker"), log_name("worker", w->name));
    for (size_t i = 0; i < n; i++)
        log_event(w->log, EV_CONFIG_WARNING, log_name("name", warnings[i]),
                  log_name("problem", "unknown to librdkafka: ignored"));
    for (int i = 0; i < engines_count(w->engines); i++)
        if (engines_is_off(w->engines, i))
            log_event(w->log, EV_ENGINE_OFF, log_name("engine", engines_names(w->engines)[i]));
}

int worker_set_up(struct worker *w, struct err *err)
{
    enum log_level level = LOG_INFO;
    (void)log_level_parse(config_text(w->cfg, CFG_LOG_LEVEL), &level); /* config checked the word */
    w->log = log_new(STDOUT_FILENO, "worker", level, err);
    if (w->log == NULL || incarnation_name(w->name, err))
        return -1;
    w->metrics = metrics_new(err);
    if (w->metrics == NULL)
        return -1;
    say_started(w);
    return 0;
}

/* ---- connect ----------------------------------------------------------------------------- */

static int connect_link(struct worker *w, struct worker_link *link, const char *name, int links,
                        struct err *err)
{
    struct db_config cfg = {.conninfo = config_text(w->cfg, CFG_DATABASE_URL),
                            .app_name = "reveille-worker",
                            .links = links};
    link->magic = WORKER_LINK_MAGIC;
    link->worker = w;
    link->name = name;
    link->db = db_new(w->loop, &cfg, worker_life_database, link, err);
    return link->db != NULL ? 0 : -1;
}

static bool has_bulk_engine(const struct worker *w)
{
    for (int i = 0; i < engines_count(w->engines); i++)
        if (engines_at(w->engines, i)->bulk > 0)
            return true;
    return false;
}

int worker_connect(struct worker *w, struct err *err)
{
    if (connect_link(w, &w->work, "work", WORK_LINKS, err) ||
        connect_link(w, &w->lease, "lease", 1, err))
        return -1;
    return has_bulk_engine(w) ? connect_link(w, &w->judge, "judge", LIMIT_JUDGES, err) : 0;
}

/* ---- assemble ---------------------------------------------------------------------------- */

static int make_engine_sql(struct worker *w, int stale_ms, struct err *err)
{
    struct engine_sql_config cfg = {.db = w->judge.db,
                                    .worker_name = w->name,
                                    .stale_ms = stale_ms,
                                    .on_judged = worker_world_judged,
                                    .arg = w};
    if (w->judge.db == NULL)
        return 0;
    w->sql = engine_sql_new(w->loop, &cfg, err);
    return w->sql != NULL ? 0 : -1;
}

static int make_stores(struct worker *w, struct err *err)
{
    size_t n;
    const struct broker_property *properties = config_kafka(w->cfg, &n);
    struct slice_store_config cfg = {.claims = w->work.db,
                                     .renewals = w->lease.db,
                                     .worker_name = w->name,
                                     .stale_ms = broker_session_ms(properties, n),
                                     .on_claimed = worker_world_claimed,
                                     .on_touched = worker_world_touched,
                                     .on_released = worker_world_released,
                                     .arg = w};
    w->slices = slice_store_new(w->loop, &cfg, err);
    if (w->slices == NULL)
        return -1;
    w->settle = settle_new(w->loop, w->work.db, w->name, worker_world_settled, w, err);
    if (w->settle == NULL || make_engine_sql(w, cfg.stale_ms, err))
        return -1;
    w->shares = share_store_new(w->loop, w->lease.db, w->name, worker_world_lent, w, err);
    return w->shares != NULL ? 0 : -1;
}

int worker_assemble(struct worker *w, struct err *err)
{
    w->notes = worker_notes_new(w->log, w->metrics, engines_names(w->engines), err);
    if (w->notes == NULL || make_stores(w, err))
        return -1;
    return worker_world_new(w, err);
}

int worker_open(struct worker *w, struct err *err)
{
    if (worker_life_new(w, err))
        return -1;
    w->gate = schema_gate_new(w->loop, w->work.db, worker_life_schema, w, err);
    return w->gate != NULL ? 0 : -1;
}

/* ---- release ----------------------------------------------------------------------------- */

void worker_release(struct worker *w)
{
    intake_free(TAKE(w->intake));
    worker_health_free(TAKE(w->health));
    process_free(TAKE(w->process));
    pool_free(TAKE(w->pool));
    db_free(TAKE(w->judge.db));
    db_free(TAKE(w->lease.db)); /* before what its answers would go to */
    db_free(TAKE(w->work.db));
    schema_gate_free(TAKE(w->gate));
    share_store_free(TAKE(w->shares));
    engine_sql_free(TAKE(w->sql));
    settle_free(TAKE(w->settle));
    slice_store_free(TAKE(w->slices));
    worker_notes_free(TAKE(w->notes));
    engines_free(TAKE(w->engines));
    loop_timer_free(TAKE(w->wake));
    loop_timer_free(TAKE(w->leave));
    metrics_free(TAKE(w->metrics));
    loop_free(TAKE(w->loop));
    log_free(TAKE(w->log));
    config_free(TAKE(w->cfg));
}
