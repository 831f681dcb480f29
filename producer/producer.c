/* See producer.h. Life: start → waiting (schema, broker) → ready → draining → gone. HTTP listens
 * from the start, so that /readyz can say what is waited for. */
#include "producer.h"

#include "attrs.h"
#include "clock.h"
#include "limits.h"
#include "options.h"
#include "run_world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLANNING_LINKS 2 /* one may wait in a long page while the other renews the lease */
#define HTTP_LINKS 2     /* answers are single short statements */

extern char **environ;

static struct producer *of(void *arg)
{
    return CHECK_MAGIC(struct producer, arg, PRODUCER_MAGIC);
}

int producer_check(const struct config *cfg, struct err *err)
{
    if (!config_has(cfg, CFG_DATABASE_URL))
        return err_set(
            err, ERR_CONFIG, "missing",
            "DATABASE_URL is not set: say which PostgreSQL, as a libpq URI or key=value");
    if (!config_has(cfg, CFG_KAFKA_BOOTSTRAP_SERVERS))
        return err_set(err, ERR_CONFIG, "missing",
                       "KAFKA_BOOTSTRAP_SERVERS is not set: say which Kafka, as host:port");
    if (config_has(cfg, CFG_TLS_CERT_FILE) != config_has(cfg, CFG_TLS_KEY_FILE))
        return err_set(err, ERR_CONFIG, "missing",
                       "TLS_CERT_FILE and TLS_KEY_FILE go together: set both or none");
    return 0;
}

/* ---- readiness --------------------------------------------------------------------------- */

/* What is still waited for; NULL: nothing. */
static const char *not_ready(void *arg)
{
    struct producer *p = of(arg);
    if (!db_is_up(p->db))
        return "waiting for the database";
    if (!schema_gate_is_open(p->gate))
        return "waiting for the database's schema";
    if (!publisher_is_ready(p->publisher))
        return "waiting for the broker's topics";
    return NULL;
}

static void say_ready(struct producer *p)
{
    if (p->said_ready || not_ready(p))
        return;
    p->said_ready = true;
    loop_timer_disarm(p->patience);
    log_event(p->log, EV_PROCESS_READY, log_int("after_ms", clock_mono_ms() - p->started_ms));
}

static void topics_changed(void *arg, bool ready)
{
    (void)ready;
    say_ready(of(arg));
}

static void patience_over(void *arg)
{
    struct producer *p = of(arg);
    if (!publisher_is_ready(p->publisher))
        log_event(p->log, EV_PROCESS_WAITING, log_name("waiting_for", "broker"));
}

static void say_waiting(struct producer *p, const char *what, const struct err *err)
{
    log_event(p->log, EV_PROCESS_WAITING, log_name("waiting_for", what), LOG_ERR(err));
}

static void schema_told(void *arg, enum schema_state state, const struct err *err)
{
    struct producer *p = of(arg);
    switch (state) {
    case SCHEMA_SILENT:
        say_waiting(p, "database", err);
        break;
    case SCHEMA_MISSING:
        say_waiting(p, "schema", err);
        break;
    case SCHEMA_WRONG:
        log_failure(p->log, EV_PROCESS_FAILED, err);
        p->exit_code = EXIT_USAGE;
        loop_stop(p->loop);
        break;
    case SCHEMA_READY:
        loop_timer_arm(p->patience, TOPICS_PATIENCE_MS);
        trigger_inbox_start(p->inbox);
        core_wake_start(p->wake);
        break;
    }
}

static void link_changed(struct producer *p, const char *link, bool up, const struct err *err)
{
    if (up)
        log_event(p->log, EV_DATABASE_UP, log_name("link", link));
    else
        log_event(p->log, EV_DATABASE_DOWN, log_name("link", link), LOG_ERR(err));
}

static void planning_link_changed(void *arg, bool up, const struct err *err)
{
    struct producer *p = of(arg);
    link_changed(p, "planning", up, err);
    say_ready(p);
}

static void http_link_changed(void *arg, bool up, const struct err *err)
{
    struct producer *p = of(arg);
    link_changed(p, "http", up, err);
    if (up)
        trigger_api_database_reached(p->api);
}

/* ---- leaving ----------------------------------------------------------------------------- */

static void leave_when_answered(void *arg)
{
    struct producer *p = of(arg);
    if (p->core_stopped && trigger_api_open_requests(p->api) == 0)
        loop_stop(p->loop);
    else
        loop_timer_arm(p->leave, DRAIN_POLL_MS);
}

void producer_core_stopped(struct producer *p)
{
    p->core_stopped = true;
}

/* Leaves what is under way behind: leases end by themselves, requests stand in the database. */
static void leave_at_once(void *arg)
{
    struct producer *p = of(arg);
    p->exit_code = EXIT_FAILURE;
    loop_stop(p->loop);
}

static void drain(void *arg, const char *signal_name)
{
    struct producer *p = of(arg);
    log_event(p->log, EV_PROCESS_DRAINING, log_name("signal", signal_name),
              log_int("timeout_ms", config_int(p->cfg, CFG_DRAIN_TIMEOUT_MS)));
    trigger_api_drain(p->api);
    run_core_drain(p->core);
    core_wake_rearm(p->wake);
    leave_when_answered(p);
}

/* Reads again what may be in files: secrets, and the log level. */
static void reload(void *arg)
{
    struct producer *p = of(arg);
    struct err err = ERR_INIT;
    trigger_api_refresh_secrets(p->api);
    struct config *now = config_new(FOR_PRODUCER, (const char *const *)environ, &err);
    enum log_level level;
    if (!now)
        log_event(p->log, EV_CONFIG_WARNING, log_name("name", "SIGHUP"),
                  log_text("problem", err.text));
    else if (log_level_parse(config_text(now, CFG_LOG_LEVEL), &level))
        log_set_level(p->log, level);
    config_free(now);
}

/* ---- the steps of the start -------------------------------------------------------------- */

int producer_open_log(struct producer *p, struct err *err)
{
    enum log_level level = LOG_INFO;
    size_t n;
    (void)log_level_parse(config_text(p->cfg, CFG_LOG_LEVEL), &level); /* config has checked it */
    p->started_ms = clock_mono_ms();
    if (!(p->log = log_new(STDOUT_FILENO, "producer", level, err)) ||
        !(p->metrics = metrics_new(err)))
        return -1;
    metrics_set(p->metrics, METRIC_BUILD_INFO, REVEILLE_VERSION, broker_library_version(), 1);
    log_event(p->log, EV_PROCESS_STARTED, log_name("version", REVEILLE_VERSION),
              log_name("librdkafka", broker_library_version()),
              log_name("program", "reveille-producer"));
    const char *const *ignored = config_warnings(p->cfg, &n);
    for (size_t i = 0; i < n; i++)
        log_event(p->log, EV_CONFIG_WARNING, log_name("name", ignored[i]),
                  log_name("problem", "librdkafka has no such property; ignored"));
    return 0;
}

int producer_open_loop(struct producer *p, struct err *err)
{
    struct process_config process = {.log = p->log,
                                     .give_up_ms = config_int(p->cfg, CFG_DRAIN_TIMEOUT_MS),
                                     .drain = drain,
                                     .hurry = leave_at_once,
                                     .reload = reload,
                                     .arg = p};
    if (!(process.loop = p->loop = loop_new(err)) ||
        !(p->patience = loop_timer_new(p->loop, patience_over, p, err)) ||
        !(p->leave = loop_timer_new(p->loop, leave_when_answered, p, err)) ||
        !(p->process = process_new(&process, err)))
        return -1;
    return 0;
}

static struct db_config link_config(const struct producer *p, int links)
{
    return (struct db_config){.conninfo = config_text(p->cfg, CFG_DATABASE_URL),
                              .app_name = "reveille-producer",
                              .links = links};
}

int producer_open_links(struct producer *p, struct err *err)
{
    struct db_config planning = link_config(p, PLANNING_LINKS), http = link_config(p, HTTP_LINKS);
    if (!(p->db = db_new(p->loop, &planning, planning_link_changed, p, err)) ||
        !(p->http_db = db_new(p->loop, &http, http_link_changed, p, err)))
        return -1;
    return 0;
}

static void age_told(void *arg, const struct uuid *run, int64_t age_ms)
{
    producer_notes_age(of(arg)->notes, run, age_ms);
}

int producer_make_core(struct producer *p, struct err *err)
{
    struct run_ops ops = run_world_ops(p);
    if (incarnation_name(p->holder, err) || !(p->core = run_core_new(&ops, err)) ||
        !(p->wake = core_wake_new(p->loop, p->core, err)) ||
        !(p->notes = producer_notes_new(p->log, p->metrics, err)))
        return -1;
    struct run_store_config store = {
        .loop = p->loop,
        .db = p->db,
        .log = p->log,
        .wake = p->wake,
        .holder = p->holder,
        .topic_prefix = config_text(p->cfg, CFG_KAFKA_TOPIC_PREFIX),
        .page_size = (int)config_int(p->cfg, CFG_PAGE_SIZE),
        .on_age = age_told,
        .arg = p,
    };
    struct publisher_config publisher = {
        .loop = p->loop,
        .log = p->log,
        .wake = p->wake,
        .topic_prefix = store.topic_prefix,
        .group = config_text(p->cfg, CFG_KAFKA_GROUP_ID),
        .on_ready = topics_changed,
        .arg = p,
    };
    publisher.properties = config_kafka(p->cfg, &publisher.property_count);
    struct watchdog_config watchdog = {
        .db = p->db, .log = p->log, .metrics = p->metrics, .wake = p->wake};
    store.stale_ms = broker_session_ms(publisher.properties, publisher.property_count);
    if (!(p->store = run_store_new(&store, err)) ||
        !(p->publisher = publisher_new(&publisher, err)) ||
        !(p->watchdog = watchdog_new(&watchdog, err)))
        return -1;
    return 0;
}

static void refresh_metrics(void *arg)
{
    struct producer *p = of(arg);
    producer_notes_refresh(p->notes, p->core);
}

int producer_open_doors(struct producer *p, struct err *err)
{
    struct db_config listen = link_config(p, 1);
    struct trigger_inbox_config inbox = {
        .loop = p->loop, .db = p->db, .listen_on = &listen, .log = p->log, .wake = p->wake};
    struct trigger_api_config api = {.loop = p->loop,
                                     .cfg = p->cfg,
                                     .db = p->http_db,
                                     .log = p->log,
                                     .metrics = p->metrics,
                                     .wake = p->wake,
                                     .not_ready = not_ready,
                                     .refresh_metrics = refresh_metrics,
                                     .arg = p};
    if (!(p->inbox = trigger_inbox_new(&inbox, err)) ||
        !(p->gate = schema_gate_new(p->loop, p->db, schema_told, p, err)) ||
        !(p->api = trigger_api_new(&api, err)))
        return -1;
    log_event(p->log, EV_HTTP_LISTENING, log_name("address", trigger_api_address(p->api)),
              log_bool("tls", trigger_api_is_tls(p->api)));
    return 0;
}

void producer_release(struct producer *p)
{
    if (p->log)
        log_event(p->log, EV_PROCESS_STOPPED, log_bool("clean", p->exit_code == EXIT_SUCCESS),
                  log_int("uptime_ms", clock_mono_ms() - p->started_ms));
    db_free(p->http_db); /* first: from here on no statement answers anybody */
    db_free(p->db);
    trigger_api_free(p->api);
    schema_gate_free(p->gate);
    trigger_inbox_free(p->inbox);
    watchdog_free(p->watchdog);
    publisher_free(p->publisher);
    run_store_free(p->store);
    producer_notes_free(p->notes);
    core_wake_free(p->wake);
    run_core_free(p->core);
    process_free(p->process);
    loop_timer_free(p->leave);
    loop_timer_free(p->patience);
    loop_free(p->loop);
    metrics_free(p->metrics);
    log_free(p->log);
    config_free(p->cfg);
}
