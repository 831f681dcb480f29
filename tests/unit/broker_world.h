/* What the tests of broker share: a loop, a broker (librdkafka's mock cluster in this process;
 * then again the one at REVEILLE_TEST_KAFKA=host:port, if that is set), and callbacks that write
 * down what they are told. */
#ifndef REVEILLE_BROKER_WORLD_H
#define REVEILLE_BROKER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker.h"
#include "clock.h"
#include "loop.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world {
    struct loop *loop;
    struct loop_timer *timer; /* world_until's */
    rd_kafka_t *mock_handle;
    rd_kafka_mock_cluster_t *mock; /* NULL: a real broker */
    const char *servers;
    char name[200]; /* world_name's */
};

static inline int world_setup(void **state, bool real)
{
    struct world *w = calloc(1, sizeof(*w));
    rd_kafka_conf_t *conf;

    (void)signal(SIGPIPE, SIG_IGN);
    w->loop = loop_new(NULL);
    if (real) {
        w->servers = getenv("REVEILLE_TEST_KAFKA");
    } else {
        conf = rd_kafka_conf_new();
        (void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
        w->mock_handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
        w->mock = rd_kafka_mock_cluster_new(w->mock_handle, 1);
        w->servers = rd_kafka_mock_cluster_bootstraps(w->mock);
    }
    *state = w;
    return w->loop == NULL ? -1 : 0;
}

static inline int world_setup_mock(void **state)
{
    return world_setup(state, false);
}

static inline int world_setup_real(void **state)
{
    return world_setup(state, true);
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;

    if (w->mock != NULL) {
        rd_kafka_mock_cluster_destroy(w->mock);
        rd_kafka_destroy(w->mock_handle);
    }
    loop_free(w->loop);
    free(w);
    return 0;
}

/* A real broker keeps its topics, so each run has names of its own. Lent until the next call. */
static inline const char *world_name(struct world *w, const char *base)
{
    (void)snprintf(w->name, sizeof(w->name), "reveille-test-%s-%ld", base, (long)getpid());
    return w->name;
}

/* ---- waiting ------------------------------------------------------------------------------- */

struct world_wait {
    struct world *w;
    bool (*is)(void *arg);
    void *arg;
    int64_t deadline_ms;
    bool met;
};

static inline void world_look(void *arg)
{
    struct world_wait *wait = arg;

    wait->met = wait->is(wait->arg);
    if (wait->met || clock_mono_ms() >= wait->deadline_ms) {
        loop_stop(wait->w->loop);
    } else {
        loop_timer_arm(wait->w->timer, 10);
    }
}

/* Runs the loop until the condition holds; false: it did not within ms. */
static inline bool world_until(struct world *w, bool (*is)(void *arg), void *arg, int64_t ms)
{
    struct world_wait wait = {w, is, arg, clock_mono_ms() + ms, false};

    w->timer = loop_timer_new(w->loop, world_look, &wait, NULL);
    loop_timer_arm(w->timer, 0);
    (void)!loop_run(w->loop, NULL);
    loop_timer_free(w->timer);
    return wait.met;
}

/* ---- a producer that writes down ----------------------------------------------------------- */

struct producer_log {
    size_t delivered, failed, errors;
    uint64_t tokens[1000];
    int64_t offsets[1000];
};
struct expected {
    const struct producer_log *log;
    size_t reports;
};

static inline void on_delivery(void *arg, uint64_t token, bool ok, int64_t offset)
{
    struct producer_log *log = arg;

    if (ok && log->delivered < 1000) {
        log->tokens[log->delivered] = token;
        log->offsets[log->delivered] = offset;
    }
    *(ok ? &log->delivered : &log->failed) += 1;
}

static inline void count_error(void *arg, const struct err *err)
{
    (void)err;
    ((struct producer_log *)arg)->errors++;
}

static inline bool producer_has_all(void *arg)
{
    struct expected *e = arg;

    return e->log->delivered + e->log->failed >= e->reports;
}

static inline struct broker_producer *world_producer(struct world *w, struct producer_log *log)
{
    struct broker_property servers = {"bootstrap.servers", w->servers};
    struct broker_producer_config cfg = {.properties = &servers,
                                         .property_count = 1,
                                         .on_error = count_error,
                                         .on_delivery = on_delivery,
                                         .arg = log};
    struct broker_producer *p = broker_producer_new(w->loop, &cfg, NULL);

    assert_non_null(p);
    return p;
}

/* ---- questions ----------------------------------------------------------------------------- */

struct topic_answer {
    int calls;
    struct err err;
};

static inline void on_topic(void *arg, const char *topic, int32_t partitions, const struct err *err)
{
    struct topic_answer *a = arg;

    assert_non_null(topic);
    assert_true(partitions > 0);
    a->calls++;
    a->err = err == NULL ? ERR_INIT : *err;
}

static inline bool topic_is_answered(void *arg)
{
    return ((struct topic_answer *)arg)->calls > 0;
}

struct offsets_answer {
    int calls;
    size_t n;
    int64_t offsets[16];
    struct err err;
};

static inline void on_offsets(void *arg, const char *topic, const int64_t *offsets, size_t n,
                              const struct err *err)
{
    struct offsets_answer *a = arg;

    assert_non_null(topic);
    a->calls++;
    a->err = err == NULL ? ERR_INIT : *err;
    a->n = n;
    for (size_t i = 0; i < n; i++) {
        a->offsets[i] = offsets[i];
    }
}

static inline bool offsets_are_answered(void *arg)
{
    return ((struct offsets_answer *)arg)->calls > 0;
}

/* Makes the topic, whichever broker it is. */
static inline void world_topic(struct world *w, struct broker_producer *p, const char *base,
                               int32_t partitions)
{
    struct topic_answer answer = {0};

    if (w->mock != NULL) {
        (void)rd_kafka_mock_topic_create(w->mock, world_name(w, base), partitions, 1);
        return;
    }
    assert_int_equal(
        broker_ensure_topic(p, world_name(w, base), partitions, on_topic, &answer, NULL), 0);
    assert_true(world_until(w, topic_is_answered, &answer, 20000));
    assert_false(err_is_set(&answer.err));
}

/* All tests against the mock, and again against the real broker if there is one. */
#define WORLD_RUN(tests)                                                            \
    (cmocka_run_group_tests_name("mock", tests, world_setup_mock, world_teardown) + \
     (getenv("REVEILLE_TEST_KAFKA") == NULL                                         \
          ? 0                                                                       \
          : cmocka_run_group_tests_name("Kafka", tests, world_setup_real, world_teardown)))

#endif
