/* The worker's life: waiting for what is not there, starting the intake, being ready, signals, the
 * drain, the end. */
#include "worker.h"

#include "attrs.h"
#include "clock.h"
#include "limits.h"
#include "options.h"

#include <stdlib.h>

static struct worker *worker_of(void *arg)
{
    return CHECK_MAGIC(struct worker, arg, WORKER_MAGIC);
}

/* ---- waiting ----------------------------------------------------------------------------- */

static void say_waiting(struct worker *w, const char *what, const struct err *err)
{
    log_event(w->log, EV_PROCESS_WAITING, log_name("waiting_for", what), LOG_ERR(err));
}

static void say_link(struct worker *w, const struct worker_link *link, const struct err *err)
{
    if (link->was_up)
        log_event(w->log, EV_DATABASE_DOWN, log_name("link", link->name), LOG_ERR(err));
    else if (link == &w->work) /* the other one waits for the same */
        say_waiting(w, "database", err);
}

void worker_life_database(void *arg, bool up, const struct err *err)
{
    struct worker_link *link = CHECK_MAGIC(struct worker_link, arg, WORKER_LINK_MAGIC);
    struct worker *w = link->worker;
    if (!up) {
        say_link(w, link, err);
        return;
    }
    link->was_up = true;
    log_event(w->log, EV_DATABASE_UP, log_name("link", link->name));
    worker_life_check_ready(w);
}

void worker_life_broker_error(struct worker *w, const struct err *err)
{
    if (!w->member && !w->said_waiting) {
        w->said_waiting = true;
        say_waiting(w, "kafka", err);
        return;
    }
    worker_notes_broker(w->notes, err);
}

/* ---- start ------------------------------------------------------------------------------- */

static void stop(struct worker *w, int exit_code, bool clean)
{
    if (w->stopped)
        return; /* in the same turn: the first reason counts */
    w->stopped = true;
    w->exit_code = exit_code;
    log_event(w->log, EV_PROCESS_STOPPED, log_bool("clean", clean),
              log_int("uptime_ms", clock_mono_ms() - w->started_ms));
    loop_stop(w->loop);
}

static void fail(struct worker *w, const struct err *err)
{
    log_failure(w->log, EV_PROCESS_FAILED, err);
    stop(w, err->cls == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILURE, false);
}

static int start_intake(struct worker *w, struct err *err)
{
    const char *topics[POOL_ENGINES_MAX];
    struct intake_config cfg = worker_world_intake(w);
    for (int i = 0; i < engines_count(w->engines); i++)
        topics[i] = w->topics[i];
    cfg.properties = config_kafka(w->cfg, &cfg.property_count);
    cfg.group = config_text(w->cfg, CFG_KAFKA_GROUP_ID);
    cfg.topics = topics;
    cfg.topic_count = (size_t)engines_count(w->engines);
    w->intake = intake_new(w->loop, &cfg, err);
    return w->intake != NULL ? 0 : -1;
}

void worker_life_schema(void *arg, enum schema_state state, const struct err *err)
{
    struct worker *w = worker_of(arg);
    struct err failed = ERR_INIT;
    switch (state) {
    case SCHEMA_SILENT:
        break; /* the link has said so */
    case SCHEMA_MISSING:
        say_waiting(w, "schema", err);
        break;
    case SCHEMA_WRONG:
        fail(w, err);
        break;
    case SCHEMA_READY:
        if (!w->draining && start_intake(w, &failed))
            fail(w, &failed);
        break;
    }
}

/* ---- ready ------------------------------------------------------------------------------- */

bool worker_life_is_ready(void *arg)
{
    struct worker *w = worker_of(arg);
    bool judge_up = w->judge.db == NULL || db_is_up(w->judge.db);
    return db_is_up(w->work.db) && db_is_up(w->lease.db) && judge_up && w->member && !w->draining;
}

void worker_life_check_ready(struct worker *w)
{
    if (w->was_ready || !worker_life_is_ready(w))
        return;
    w->was_ready = true;
    log_event(w->log, EV_PROCESS_READY, log_int("after_ms", clock_mono_ms() - w->started_ms));
}

static void refresh_metrics(void *arg)
{
    struct worker *w = worker_of(arg);
    struct pool_numbers numbers[POOL_ENGINES_MAX];
    int in_flight = 0;
    for (int i = 0; i < engines_count(w->engines); i++) {
        numbers[i] = pool_numbers(w->pool, i);
        in_flight += numbers[i].calls;
    }
    for (int i = 0; i < engines_count(w->engines); i++)
        worker_notes_numbers(w->notes, i, &numbers[i], in_flight);
}

/* ---- the end ----------------------------------------------------------------------------- */

static void left(void *arg)
{
    stop(worker_of(arg), EXIT_SUCCESS, true);
}

/* The core has given everything back. */
static void leave(void *arg)
{
    struct worker *w = worker_of(arg);
    if (w->intake != NULL)
        intake_leave(w->intake, left);
    else
        left(w);
}

static void hurry(void *arg)
{
    struct worker *w = worker_of(arg);
    w->hurried = !w->stopped;
    stop(w, EXIT_FAILURE, false);
}

static void drain(void *arg, const char *signal_name)
{
    struct worker *w = worker_of(arg);
    int64_t drain_ms = config_int(w->cfg, CFG_DRAIN_TIMEOUT_MS);
    w->draining = true;
    log_event(w->log, EV_PROCESS_DRAINING, log_name("signal", signal_name),
              log_int("timeout_ms", drain_ms));
    /* the rest is for leaving the group, and for librdkafka to end */
    int64_t leave_ms = drain_ms / 4 < WORKER_LEAVE_MS ? drain_ms / 4 : WORKER_LEAVE_MS;
    pool_drain(w->pool, drain_ms - leave_ms);
    worker_rearm(w);
}

/* ---- reading again ----------------------------------------------------------------------- */

static void refresh_secret(struct worker *w, enum config_key key, const char *slot)
{
    bool changed = false;
    struct err err = ERR_INIT;
    int failed = secret_refresh(config_secret(w->cfg, key), &changed, &err);
    if (failed == 0 && changed)
        failed = engines_take_secrets(w->engines, w->cfg, &err);
    if (failed)
        log_event(w->log, EV_SECRET_UNREADABLE, log_name("slot", slot), LOG_ERR(&err));
    else if (changed)
        log_event(w->log, EV_SECRET_CHANGED, log_name("slot", slot));
}

/* The environment of a process does not change, but the file that LOG_LEVEL_FILE names does. */
static void refresh_level(struct worker *w)
{
    enum log_level level;
    struct err err = ERR_INIT;
    struct config *fresh = config_new(FOR_WORKER, w->env, &err);
    if (fresh == NULL)
        log_event(w->log, EV_CONFIG_WARNING, log_name("name", "LOG_LEVEL"),
                  log_name("problem", "not read again: the configuration does not hold any more"));
    else if (log_level_parse(config_text(fresh, CFG_LOG_LEVEL), &level))
        log_set_level(w->log, level);
    config_free(fresh);
}

static void reload(void *arg)
{
    struct worker *w = worker_of(arg);
    refresh_secret(w, CFG_SUPABASE_SERVICE_ROLE_KEY, "service_role_key");
    refresh_secret(w, CFG_DYNAMICS_TOKEN, "dynamics_token");
    refresh_level(w);
}

/* ---- life -------------------------------------------------------------------------------- */

static int make_process(struct worker *w, struct err *err)
{
    struct process_config cfg = {
        .loop = w->loop,
        .log = w->log,
        .give_up_ms = config_int(w->cfg, CFG_DRAIN_TIMEOUT_MS),
        .drain = drain,
        .hurry = hurry,
        .reload = reload,
        .arg = w,
    };
    w->process = process_new(&cfg, err);
    return w->process != NULL ? 0 : -1;
}

int worker_life_new(struct worker *w, struct err *err)
{
    struct worker_health_config cfg = {.address = config_text(w->cfg, CFG_METRICS_ADDRESS),
                                       .metrics = w->metrics,
                                       .is_ready = worker_life_is_ready,
                                       .refresh = refresh_metrics,
                                       .arg = w};
    if (!(w->leave = loop_timer_new(w->loop, leave, w, err)) || make_process(w, err))
        return -1;
    w->health = worker_health_new(w->loop, &cfg, err);
    if (w->health == NULL)
        return -1;
    log_event(w->log, EV_HTTP_LISTENING, log_name("address", worker_health_address(w->health)),
              log_bool("tls", false));
    return 0;
}
