/* A group's committed offsets, asked for without being a member of it.
 *
 * As a consumer asks for its own: with a handle that subscribes to nothing, and a thread a
 * question, since that call can only wait. The admin API would not wait, but a broker that restarts
 * takes the program along with it: librdkafka looks for the group of a handle that has none (its
 * issue 5040), goes on with a question it has given up (4605), and 2.16 frees one twice whose link
 * is lost as it is sent (5397). */
#include "broker_internal.h"

#include "clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#define OFFSETS_MAGIC 0x626f6666u

static const struct broker_setting settings[] = {
    {.name = "client.id", .value = "reveille"},
    {.name = "enable.auto.commit", .value = "false", .required = true},
    {.name = "allow.auto.create.topics", .value = "false"},
    {.name = "reconnect.backoff.max.ms", .value = "1000"},
    {.name = "socket.nagle.disable", .value = "true"},
};

/* The thread touches nothing but its question, the handle and the wake-up. */
struct question {
    LIST_ENTRY(question) link;
    rd_kafka_t *rk;
    struct broker_wake *wake;
    rd_kafka_topic_partition_list_t *parts; /* with the answer; the thread's until done */
    char *topic;
    size_t n;
    broker_offsets_fn fn;
    void *arg;
    int64_t deadline_ms;
    pthread_t thread;
    atomic_bool stop, done;
    struct err err; /* the thread's until done */
};

struct broker_offsets {
    unsigned magic;
    rd_kafka_conf_t *conf; /* what the handle is made from, without its group */
    struct broker_wake *wake;
    rd_kafka_t *rk; /* NULL until the first question */
    rd_kafka_queue_t *queue;
    LIST_HEAD(, question) questions;
};

/* ---- life ---------------------------------------------------------------------------------- */

struct broker_offsets *broker_offsets_new(struct broker_wake *wake,
                                          const struct broker_property *properties,
                                          size_t property_count, struct err *err)
{
    struct broker_offsets *o = calloc(1, sizeof(*o));

    if (o == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory to ask for offsets");
        return NULL;
    }
    *o = (struct broker_offsets){.magic = OFFSETS_MAGIC, .wake = wake};
    LIST_INIT(&o->questions);
    o->conf = broker_conf_new(settings, COUNT_OF(settings), properties, property_count, err);
    if (o->conf == NULL) {
        free(o);
        return NULL;
    }
    return o;
}

static int begin(struct broker_offsets *o, const char *group, struct err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(o->conf);

    if (rd_kafka_conf_set(conf, "group.id", group, NULL, 0) != RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_CONFIG, "group.id", "librdkafka refuses the group's name");
    }
    o->rk = broker_handle_new(RD_KAFKA_CONSUMER, conf, err);
    if (o->rk == NULL) {
        return -1;
    }
    o->queue = rd_kafka_queue_get_main(o->rk);
    broker_wake_attach(o->wake, o->queue);
    return 0;
}

static void question_free(struct question *q)
{
    rd_kafka_topic_partition_list_destroy(q->parts);
    free(q->topic);
    free(q);
}

/* As broker_thread_join: false: the question is left to its thread. In no case is it in the list
 * any more. */
static bool question_end(struct question *q, int64_t until_ms)
{
    LIST_REMOVE(q, link);
    if (!broker_thread_join(q->thread, until_ms)) {
        return false;
    }
    question_free(q);
    return true;
}

void broker_offsets_free(struct broker_offsets *o, int64_t until_ms)
{
    bool all = true;
    struct question *q;

    if (o == NULL) {
        return;
    }
    LIST_FOREACH (q, &o->questions, link) {
        atomic_store(&q->stop, true);
    }
    while (!LIST_EMPTY(&o->questions)) {
        all = question_end(LIST_FIRST(&o->questions), until_ms) && all;
    }
    if (o->rk != NULL) {
        broker_wake_detach(o->queue);
        rd_kafka_queue_destroy(o->queue);
        if (all) {
            broker_handle_destroy(o->rk, true);
        }
    }
    rd_kafka_conf_destroy(o->conf);
    o->magic = 0;
    free(o);
}

/* ---- answers ------------------------------------------------------------------------------- */

static int read_offsets(const struct question *q, int64_t *offsets, struct err *err)
{
    for (int i = 0; i < q->parts->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &q->parts->elems[i];
        if (part->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return broker_err(err, part->err, NULL);
        }
        offsets[part->partition] = part->offset >= 0 ? part->offset : -1;
    }
    return 0;
}

static void answer(struct question *q)
{
    int64_t *offsets = malloc(q->n * sizeof(*offsets));

    if (offsets == NULL) {
        (void)err_set(&q->err, ERR_SYSTEM, NULL, "no memory for the offsets of a group");
    }
    if (err_is_set(&q->err) || read_offsets(q, offsets, &q->err)) {
        q->fn(q->arg, q->topic, NULL, 0, &q->err);
    } else {
        q->fn(q->arg, q->topic, offsets, q->n, NULL);
    }
    free(offsets);
}

void broker_offsets_serve(struct broker_offsets *o)
{
    struct question *q = LIST_FIRST(&o->questions), *next;
    rd_kafka_event_t *ev;

    while (o->rk != NULL && (ev = rd_kafka_queue_poll(o->queue, 0)) != NULL) {
        rd_kafka_event_destroy(ev); /* what is wrong with a broker, the producer's handle reports */
    }
    for (; q != NULL; q = next) {
        next = LIST_NEXT(q, link);
        if (atomic_load(&q->done)) {
            answer(q); /* who may ask again at once */
            (void)question_end(q, clock_mono_ms() + BROKER_CLOSE_MS);
        }
    }
}

/* ---- questions ----------------------------------------------------------------------------- */

static void *ask_thread(void *arg)
{
    struct question *q = arg; /* private to this file: pthread_create hands it over */
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

    do {
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            struct timespec pause = {.tv_nsec = BROKER_METADATA_PAUSE_MS * 1000000L};
            (void)nanosleep(&pause, NULL); /* failed, perhaps without waiting */
        }
        q->err = ERR_INIT;
        code = rd_kafka_committed(q->rk, q->parts, BROKER_METADATA_MS);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            (void)broker_err(&q->err, code, NULL);
        }
    } while (q->err.retry && !atomic_load(&q->stop) && clock_mono_ms() < q->deadline_ms);
    atomic_store(&q->done, true);
    if (!atomic_load(&q->stop)) { /* nobody waits any more, and the wake-up may be gone */
        broker_wake_kick(q->wake);
    }
    return NULL;
}

/* Returns owned. */
static struct question *question_new(struct broker_offsets *o, const char *topic, int32_t n)
{
    struct question *q = calloc(1, sizeof(*q));

    if (q == NULL) {
        return NULL;
    }
    q->topic = strdup(topic);
    if (q->topic == NULL) {
        free(q);
        return NULL;
    }
    q->parts = rd_kafka_topic_partition_list_new(n);
    for (int32_t i = 0; i < n; i++) {
        (void)rd_kafka_topic_partition_list_add(q->parts, topic, i);
    }
    q->rk = o->rk;
    q->wake = o->wake;
    q->n = (size_t)n;
    q->deadline_ms = clock_mono_ms() + BROKER_ADMIN_MS;
    q->err = ERR_INIT;
    return q;
}

int broker_offsets_ask(struct broker_offsets *o, const char *group, const char *topic, int32_t n,
                       broker_offsets_fn fn, void *arg, struct err *err)
{
    struct question *q;

    assert(n > 0);
    if (o->rk == NULL && begin(o, group, err)) {
        return -1;
    }
    q = question_new(o, topic, n);
    if (q == NULL) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory to ask for offsets");
    }
    q->fn = fn;
    q->arg = arg;
    if (pthread_create(&q->thread, NULL, ask_thread, q) != 0) {
        question_free(q);
        return err_set(err, ERR_SYSTEM, NULL, "no thread to ask for offsets");
    }
    LIST_INSERT_HEAD(&o->questions, q, link);
    return 0;
}
