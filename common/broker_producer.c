/* The producer of slice addresses, and what it asks brokers besides: topics and a group's offsets.
 * Owns no delivery: a message that fails is reported, and whoever planned it sends it again.
 * Its callbacks must not free it. */
#include "broker_internal.h"

#include "clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define PRODUCER_MAGIC 0x62707264u

static_assert(sizeof(void *) >= sizeof(uint64_t), "a token travels as librdkafka's opaque pointer");

static const struct broker_setting settings[] = {
    {.name = "client.id", .value = "reveille"},
    {.name = "enable.idempotence", .value = "true", .required = true},
    {.name = "acks", .value = "-1", .required = true}, /* all */
    {.name = "linger.ms", .value = "5"},               /* batches: 20 times the rate of none */
    {.name = "compression.codec", .value = "lz4"},
    {.name = "allow.auto.create.topics", .value = "false"}, /* it would have too few partitions */
    {.name = "reconnect.backoff.max.ms", .value = "1000"},  /* 10 s longer gaps by default */
    {.name = "socket.nagle.disable", .value = "true"},
};

/* A librdkafka producer ends for good on a fatal error; then the next one takes its place. */
struct handle {
    TAILQ_ENTRY(handle) link;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    int users; /* topics asked for on it */
};

struct topic_question {
    LIST_ENTRY(topic_question) link;
    struct handle *handle;
    struct broker_topic_job *job;
    broker_topic_fn fn;
    void *arg;
};

struct broker_producer {
    unsigned magic;
    rd_kafka_conf_t *conf; /* what each handle is made from */
    struct broker_wake *wake;
    struct broker_reporter reporter;
    void (*on_delivery)(void *arg, uint64_t token, bool ok, int64_t offset);
    void *arg;
    TAILQ_HEAD(handles, handle) handles; /* the last is in use, those before it have failed */
    int64_t made_at_ms;                  /* the last handle */
    LIST_HEAD(, topic_question) topics;
    struct broker_offsets *offsets;
};

/* ---- handles ------------------------------------------------------------------------------- */

static struct handle *current(const struct broker_producer *p)
{
    return TAILQ_LAST(&p->handles, handles);
}

static int handle_add(struct broker_producer *p, struct err *err)
{
    struct handle *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory for a producer");
    }
    h->rk = broker_handle_new(RD_KAFKA_PRODUCER, rd_kafka_conf_dup(p->conf), err);
    if (h->rk == NULL) {
        free(h);
        return -1;
    }
    h->queue = rd_kafka_queue_get_main(h->rk);
    broker_wake_attach(p->wake, h->queue);
    p->made_at_ms = clock_mono_ms();
    TAILQ_INSERT_TAIL(&p->handles, h, link);
    return 0;
}

static void handle_free(struct handle *h, bool wait)
{
    broker_wake_detach(h->queue);
    rd_kafka_queue_destroy(h->queue);
    if (h->users == 0) {
        broker_handle_destroy(h->rk, wait);
    } /* else a topic's thread hangs in it, and it is left behind */
    free(h);
}

static bool is_fatal(const struct handle *h)
{
    return rd_kafka_fatal_error(h->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* At most one a second: a handle that fails at once (rights are missing) must not spin. */
static void renew(struct broker_producer *p)
{
    struct handle *old = current(p);
    struct err err = ERR_INIT;

    if (clock_mono_ms() - p->made_at_ms < BROKER_TICK_MS) {
        return; /* the next tick will */
    }
    if (handle_add(p, &err)) {
        if (p->reporter.fn != NULL) {
            p->reporter.fn(p->reporter.arg, &err);
        }
        return;
    }
    /* Its messages come back as failed; when they have, reap() ends it. */
    (void)rd_kafka_purge(old->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                      RD_KAFKA_PURGE_F_NON_BLOCKING);
}

static void reap(struct broker_producer *p)
{
    struct handle *h = TAILQ_FIRST(&p->handles), *next;

    for (; h != current(p); h = next) {
        next = TAILQ_NEXT(h, link);
        if (h->users == 0 && rd_kafka_outq_len(h->rk) == 0) {
            TAILQ_REMOVE(&p->handles, h, link);
            handle_free(h, false);
        }
    }
}

/* ---- what comes back ----------------------------------------------------------------------- */

static void deliveries(struct broker_producer *p, rd_kafka_event_t *ev)
{
    const rd_kafka_message_t *m;

    while ((m = rd_kafka_event_message_next(ev)) != NULL) {
        bool ok = m->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!ok) {
            broker_report(&p->reporter, m->err, NULL);
        }
        p->on_delivery(p->arg, (uint64_t)(uintptr_t)m->_private, ok, ok ? m->offset : -1);
    }
}

static void drain(struct broker_producer *p, struct handle *h)
{
    rd_kafka_event_t *ev;

    while ((ev = rd_kafka_queue_poll(h->queue, 0)) != NULL) {
        switch (rd_kafka_event_type(ev)) {
        case RD_KAFKA_EVENT_DR:
            deliveries(p, ev);
            break;
        case RD_KAFKA_EVENT_ERROR:
            broker_report(&p->reporter, rd_kafka_event_error(ev), rd_kafka_event_error_string(ev));
            break;
        default:
            break;
        }
        rd_kafka_event_destroy(ev);
    }
}

static void topics_answered(struct broker_producer *p)
{
    struct topic_question *q = LIST_FIRST(&p->topics), *next;

    for (; q != NULL; q = next) {
        next = LIST_NEXT(q, link);
        if (broker_topic_job_done(q->job)) {
            const char *topic;
            int32_t partitions;
            const struct err *err = broker_topic_job_result(q->job, &topic, &partitions);
            LIST_REMOVE(q, link);
            q->fn(q->arg, topic, partitions, err);
            q->handle->users--;
            /* it is done: of the handle nothing is in use, whether the thread has ended or not */
            (void)broker_topic_job_free(q->job, clock_mono_ms() + BROKER_CLOSE_MS);
            free(q);
        }
    }
}

static void on_wake(void *arg)
{
    struct broker_producer *p = CHECK_MAGIC(struct broker_producer, arg, PRODUCER_MAGIC);
    struct handle *h;

    TAILQ_FOREACH(h, &p->handles, link)
    {
        drain(p, h);
    }
    topics_answered(p);
    broker_offsets_serve(p->offsets);
    if (is_fatal(current(p))) {
        renew(p);
    }
    reap(p);
}

/* ---- life ---------------------------------------------------------------------------------- */

struct broker_producer *
broker_producer_new(struct loop *loop, const struct broker_producer_config *cfg, struct err *err)
{
    struct broker_producer *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for a producer");
        return NULL;
    }
    *p = (struct broker_producer){.magic = PRODUCER_MAGIC,
                                  .reporter = {.fn = cfg->on_error, .arg = cfg->arg},
                                  .on_delivery = cfg->on_delivery,
                                  .arg = cfg->arg};
    TAILQ_INIT(&p->handles);
    LIST_INIT(&p->topics);
    p->conf =
        broker_conf_new(settings, COUNT_OF(settings), cfg->properties, cfg->property_count, err);
    if (p->conf == NULL) {
        goto fail;
    }
    rd_kafka_conf_set_events(p->conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    p->wake = broker_wake_new(loop, on_wake, p, err);
    if (p->wake == NULL || handle_add(p, err)) {
        goto fail;
    }
    p->offsets = broker_offsets_new(p->wake, cfg->properties, cfg->property_count, err);
    if (p->offsets == NULL) {
        goto fail;
    }
    return p;
fail:
    broker_producer_free(p);
    return NULL;
}

static void forget_topics(struct broker_producer *p, int64_t until_ms)
{
    struct topic_question *t;

    LIST_FOREACH (t, &p->topics, link) {
        broker_topic_job_stop(t->job);
    }
    while ((t = LIST_FIRST(&p->topics)) != NULL) {
        LIST_REMOVE(t, link);
        if (broker_topic_job_free(t->job, until_ms)) {
            t->handle->users--;
        }
        free(t);
    }
}

void broker_producer_free(struct broker_producer *p)
{
    int64_t until_ms = clock_mono_ms() + BROKER_CLOSE_MS;
    struct handle *h;

    if (p == NULL) {
        return;
    }
    forget_topics(p, until_ms);
    broker_offsets_free(p->offsets, until_ms);
    while ((h = TAILQ_FIRST(&p->handles)) != NULL) {
        TAILQ_REMOVE(&p->handles, h, link);
        (void)rd_kafka_purge(h->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                        RD_KAFKA_PURGE_F_NON_BLOCKING);
        handle_free(h, true);
    }
    broker_wake_free(p->wake);
    if (p->conf != NULL) {
        rd_kafka_conf_destroy(p->conf);
    }
    p->magic = 0;
    free(p);
}

/* ---- sending and asking -------------------------------------------------------------------- */

/* The headers are a list of ours, not RD_KAFKA_V_HEADER: librdkafka frees its own twice when the
 * topic or the partition is not there (confluentinc/librdkafka#4627). It takes ours only on
 * success. */
static rd_kafka_headers_t *headers_new(const char *traceparent)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);

    if (traceparent != NULL) {
        (void)rd_kafka_header_add(headers, "traceparent", -1, traceparent, -1);
    }
    return headers;
}

static rd_kafka_error_t *produce(struct handle *h, const char *topic, int32_t partition,
                                 const struct slice_msg *msg, const char *traceparent,
                                 uint64_t token)
{
    uint8_t bytes[SLICE_MSG_MAX];
    size_t len = slice_msg_encode(msg, bytes);
    rd_kafka_headers_t *headers = headers_new(traceparent);
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = bytes, .size = len}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)token},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(h->rk, parts, COUNT_OF(parts));

    if (error != NULL) {
        rd_kafka_headers_destroy(headers);
    }
    return error;
}

int broker_producer_send(struct broker_producer *p, const char *topic, int32_t partition,
                         const struct slice_msg *msg, const char *traceparent, uint64_t token,
                         struct err *err)
{
    rd_kafka_error_t *error = produce(current(p), topic, partition, msg, traceparent, token);

    return error == NULL ? 0 : broker_err_take(err, error);
}

int broker_ensure_topic(struct broker_producer *p, const char *topic, int32_t partitions,
                        broker_topic_fn fn, void *arg, struct err *err)
{
    struct topic_question *q = calloc(1, sizeof(*q));

    if (q == NULL) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory to ask for a topic");
    }
    *q = (struct topic_question){.handle = current(p), .fn = fn, .arg = arg};
    q->job = broker_topic_job_new(q->handle->rk, p->wake, topic, partitions, err);
    if (q->job == NULL) {
        free(q);
        return -1;
    }
    q->handle->users++;
    LIST_INSERT_HEAD(&p->topics, q, link);
    return 0;
}

int broker_committed(struct broker_producer *p, const char *group, const char *topic, int32_t n,
                     broker_offsets_fn fn, void *arg, struct err *err)
{
    return broker_offsets_ask(p->offsets, group, topic, n, fn, arg, err);
}
