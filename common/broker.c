/* What producer and consumer of broker.h stand on: librdkafka's configuration and errors, and how
 * its threads wake the loop. Sends and receives nothing itself. */
#include "broker_internal.h"

#include "clock.h"
#include "limits.h"
#include "scrub.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define WAKE_MAGIC 0x62776b65u

const char *broker_library_version(void)
{
    return rd_kafka_version_str();
}

int broker_session_ms(const struct broker_property *properties, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(properties[i].name, "session.timeout.ms") == 0) {
            return atoi(properties[i].value); /* librdkafka has checked that it is a number */
        }
    }
    return BROKER_SESSION_MS;
}

/* ---- configuration ------------------------------------------------------------------------- */

/* librdkafka would write its own log lines to stderr. What matters comes as error events. */
static void drop_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

static int conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    switch (rd_kafka_conf_set(conf, name, value, NULL, 0)) {
    case RD_KAFKA_CONF_OK:
        return 0;
    case RD_KAFKA_CONF_UNKNOWN:
        return err_set(err, ERR_CONFIG, "unknown_name", "librdkafka has no property \"%s\"", name);
    case RD_KAFKA_CONF_INVALID:
        break;
    }
    return err_set(err, ERR_CONFIG, "bad_value", "librdkafka refuses the value of \"%s\"", name);
}

/* Also finds an override through an alias, as request.required.acks is one of acks. */
static int check_required(const rd_kafka_conf_t *conf, const struct broker_setting *s,
                          struct err *err)
{
    char value[64] = "";
    size_t size = sizeof(value);

    if (rd_kafka_conf_get(conf, s->name, value, &size) == RD_KAFKA_CONF_OK &&
        (strcmp(value, s->value) == 0 ||
         (s->alternative != NULL && strcmp(value, s->alternative) == 0))) {
        return 0;
    }
    return err_set(err, ERR_CONFIG, "fixed_value",
                   "\"%s\" cannot be changed: what Reveille guarantees rests on it", s->name);
}

static int conf_fill(rd_kafka_conf_t *conf, const struct broker_setting *settings, size_t n,
                     const struct broker_property *properties, size_t property_count,
                     struct err *err)
{
    size_t size = 0; /* with the zero byte */

    for (size_t i = 0; i < n; i++) {
        if (conf_set(conf, settings[i].name, settings[i].value, err)) {
            return -1;
        }
    }
    for (size_t i = 0; i < property_count; i++) {
        if (conf_set(conf, properties[i].name, properties[i].value, err)) {
            return -1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (settings[i].required && check_required(conf, &settings[i], err)) {
            return -1;
        }
    }
    if (rd_kafka_conf_get(conf, "bootstrap.servers", NULL, &size) != RD_KAFKA_CONF_OK ||
        size <= 1) {
        return err_set(err, ERR_CONFIG, "no_servers", "\"bootstrap.servers\" is not set");
    }
    return 0;
}

rd_kafka_conf_t *broker_conf_new(const struct broker_setting *settings, size_t n,
                                 const struct broker_property *properties, size_t property_count,
                                 struct err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, drop_log);
    if (conf_fill(conf, settings, n, properties, property_count, err)) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

rd_kafka_t *broker_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err)
{
    char why[ERR_TEXT_MAX] = "", scrubbed[ERR_TEXT_MAX];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof(why)); /* takes conf, but on failure */

    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        (void)scrub_text(why, strlen(why), scrubbed, sizeof(scrubbed));
        (void)err_set(err, ERR_CONFIG, "librdkafka", "%s", scrubbed);
    }
    return rk;
}

static void *destroy_thread(void *rk)
{
    /* Who closes politely has done so before; here nothing may wait for a broker. */
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return NULL;
}

bool broker_thread_join(pthread_t thread, int64_t until_ms)
{
    const struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};

    if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) != 0) {
        (void)pthread_detach(thread);
        return false;
    }
    return true;
}

void broker_handle_destroy(rd_kafka_t *rk, bool wait)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, destroy_thread, rk) != 0) {
        return; /* no thread to spare: the handle is left behind */
    }
    if (!wait) {
        (void)pthread_detach(thread);
        return;
    }
    (void)broker_thread_join(thread, clock_mono_ms() + BROKER_CLOSE_MS);
}

/* ---- errors -------------------------------------------------------------------------------- */

static enum err_class class_of(rd_kafka_resp_err_t code)
{
    /* All others may be better later: no broker, no leader, no coordinator, a rebalance. */
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return ERR_LIMIT;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        return ERR_TIMEOUT;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return ERR_PROTOCOL;
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
        return ERR_CONFIG;
    default:
        return ERR_NETWORK;
    }
}

int broker_err(struct err *err, rd_kafka_resp_err_t code, const char *text)
{
    char scrubbed[ERR_TEXT_MAX];
    enum err_class cls = class_of(code);

    if (text == NULL || *text == '\0') {
        text = rd_kafka_err2str(code);
    }
    (void)scrub_text(text, strlen(text), scrubbed, sizeof(scrubbed));
    if (cls == ERR_CONFIG || cls == ERR_PROTOCOL) {
        return err_set(err, cls, rd_kafka_err2name(code), "%s", scrubbed);
    }
    return err_retry(err, cls, rd_kafka_err2name(code), "%s", scrubbed);
}

int broker_err_take(struct err *err, rd_kafka_error_t *error)
{
    (void)broker_err(err, rd_kafka_error_code(error), rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return -1;
}

void broker_report(struct broker_reporter *r, rd_kafka_resp_err_t code, const char *text)
{
    int64_t now_ms = clock_mono_ms();
    struct err err = ERR_INIT;
    size_t place = 0;

    for (size_t i = 0; i < BROKER_RECENT_CODES; i++) {
        if (r->recent[i].at_ms != 0 && r->recent[i].code == code) {
            if (now_ms - r->recent[i].at_ms < BROKER_AGAIN_MS) {
                return;
            }
            place = i;
            break;
        }
        if (r->recent[i].at_ms < r->recent[place].at_ms) {
            place = i;
        }
    }
    r->recent[place].code = code;
    r->recent[place].at_ms = now_ms;
    (void)broker_err(&err, code, text);
    if (r->fn != NULL) {
        r->fn(r->arg, &err);
    }
}

/* ---- wake-up ------------------------------------------------------------------------------- */

struct broker_wake {
    unsigned magic;
    int fd; /* an eventfd */
    struct loop_fd *watch;
    struct loop_timer *tick;
    broker_wake_fn fn;
    void *arg;
};

static void on_wake(void *arg, unsigned ready)
{
    struct broker_wake *w = CHECK_MAGIC(struct broker_wake, arg, WAKE_MAGIC);
    uint64_t count;

    (void)ready;
    /* Read before the queues are, so that what comes meanwhile wakes us again. */
    if (read(w->fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
        w->fn(w->arg);
    }
}

static void on_tick(void *arg)
{
    struct broker_wake *w = CHECK_MAGIC(struct broker_wake, arg, WAKE_MAGIC);

    loop_timer_arm(w->tick, BROKER_TICK_MS);
    w->fn(w->arg);
}

struct broker_wake *broker_wake_new(struct loop *loop, broker_wake_fn fn, void *arg,
                                    struct err *err)
{
    struct broker_wake *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for a wake-up");
        return NULL;
    }
    *w = (struct broker_wake){.magic = WAKE_MAGIC, .fn = fn, .arg = arg};
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->fd < 0) {
        (void)err_errno(err, "eventfd");
        goto fail;
    }
    w->watch = loop_fd_new(loop, w->fd, LOOP_READ, on_wake, w, err);
    if (w->watch == NULL) {
        goto fail;
    }
    w->tick = loop_timer_new(loop, on_tick, w, err);
    if (w->tick == NULL) {
        goto fail;
    }
    loop_timer_arm(w->tick, BROKER_TICK_MS);
    return w;
fail:
    broker_wake_free(w);
    return NULL;
}

void broker_wake_free(struct broker_wake *w)
{
    if (w == NULL) {
        return;
    }
    loop_timer_free(w->tick);
    loop_fd_free(w->watch);
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    w->magic = 0;
    free(w);
}

void broker_wake_attach(struct broker_wake *w, rd_kafka_queue_t *queue)
{
    uint64_t one = 1;

    rd_kafka_queue_io_event_enable(queue, w->fd, &one, sizeof(one));
    broker_wake_kick(w); /* what was there before writes nothing */
}

void broker_wake_detach(rd_kafka_queue_t *queue)
{
    rd_kafka_queue_io_event_enable(queue, -1, NULL, 0);
}

void broker_wake_kick(struct broker_wake *w)
{
    uint64_t one = 1;

    while (write(w->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}
