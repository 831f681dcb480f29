/* A group's committed offsets, asked for without being a member of it.
 *
 * The question has a handle of its own, a consumer that subscribes to nothing: librdkafka goes to
 * the handle's own group when a coordinator says that it is none any more, and a producer has no
 * group (confluentinc/librdkafka#5040): a broker that restarts would take the program along.
 *
 * And it is not librdkafka that gives a question up, but we, together with the handle: a question
 * that it gave up while the coordinator was away, it goes on with when the coordinator is back, and
 * aborts the process on what it has freed (confluentinc/librdkafka#4605). */
#include "broker_internal.h"

#include "clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define OFFSETS_MAGIC 0x626f6666u
#define QUESTION_MAGIC 0x62717374u

static const struct broker_setting settings[] = {
    {.name = "client.id", .value = "reveille"},
    {.name = "enable.auto.commit", .value = "false", .required = true},
    {.name = "allow.auto.create.topics", .value = "false"},
    {.name = "reconnect.backoff.max.ms", .value = "1000"},
    {.name = "socket.nagle.disable", .value = "true"},
};

struct question {
    unsigned magic;
    LIST_ENTRY(question) link;
    char *topic;
    size_t n;
    int64_t deadline_ms; /* monotonic */
    broker_offsets_fn fn;
    void *arg;
};
LIST_HEAD(questions, question);

struct broker_offsets {
    unsigned magic;
    rd_kafka_conf_t *conf; /* what the handle is made from, without its group */
    struct broker_wake *wake;
    rd_kafka_t *rk; /* NULL until the first question */
    rd_kafka_queue_t *queue;
    struct loop_timer *deadline; /* of the question that was asked first */
    struct questions questions;
};

/* ---- life ---------------------------------------------------------------------------------- */

static void give_up(void *arg);

struct broker_offsets *broker_offsets_new(struct loop *loop, struct broker_wake *wake,
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
    o->deadline = o->conf == NULL ? NULL : loop_timer_new(loop, give_up, o, err);
    if (o->deadline == NULL) {
        broker_offsets_free(o);
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
    LIST_REMOVE(q, link);
    free(q->topic);
    q->magic = 0;
    free(q);
}

static void drop_handle(struct broker_offsets *o)
{
    if (o->rk != NULL) {
        broker_wake_detach(o->queue);
        rd_kafka_queue_destroy(o->queue);
        broker_handle_destroy(o->rk, true);
        o->rk = NULL;
        o->queue = NULL;
    }
}

void broker_offsets_free(struct broker_offsets *o)
{
    if (o == NULL) {
        return;
    }
    while (!LIST_EMPTY(&o->questions)) {
        question_free(LIST_FIRST(&o->questions));
    }
    loop_timer_free(o->deadline);
    drop_handle(o);
    if (o->conf != NULL) {
        rd_kafka_conf_destroy(o->conf);
    }
    o->magic = 0;
    free(o);
}

/* ---- answers ------------------------------------------------------------------------------- */

static int read_offsets(rd_kafka_event_t *ev, int64_t *offsets, size_t n, struct err *err)
{
    const rd_kafka_topic_partition_list_t *parts;
    const rd_kafka_group_result_t **groups;
    const rd_kafka_error_t *error;
    size_t count = 0;

    if (rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return broker_err(err, rd_kafka_event_error(ev), rd_kafka_event_error_string(ev));
    }
    groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(ev), &count);
    if (count != 1) {
        return broker_err(err, RD_KAFKA_RESP_ERR__BAD_MSG, NULL);
    }
    error = rd_kafka_group_result_error(groups[0]);
    if (error != NULL) {
        return broker_err(err, rd_kafka_error_code(error), rd_kafka_error_string(error));
    }
    parts = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; parts != NULL && i < parts->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &parts->elems[i];
        if (part->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return broker_err(err, part->err, NULL);
        }
        if (part->partition >= 0 && (size_t)part->partition < n && part->offset >= 0) {
            offsets[part->partition] = part->offset;
        }
    }
    return 0;
}

static void offsets_answered(rd_kafka_event_t *ev)
{
    struct question *q = CHECK_MAGIC(struct question, rd_kafka_event_opaque(ev), QUESTION_MAGIC);
    int64_t *offsets = malloc(q->n * sizeof(*offsets));
    struct err err = ERR_INIT;

    for (size_t i = 0; offsets != NULL && i < q->n; i++) {
        offsets[i] = -1;
    }
    if (offsets == NULL) {
        (void)err_set(&err, ERR_SYSTEM, NULL, "no memory for the offsets of a group");
        q->fn(q->arg, q->topic, NULL, 0, &err);
    } else if (read_offsets(ev, offsets, q->n, &err)) {
        q->fn(q->arg, q->topic, NULL, 0, &err);
    } else {
        q->fn(q->arg, q->topic, offsets, q->n, NULL);
    }
    free(offsets);
    question_free(q);
}

static void rearm(struct broker_offsets *o)
{
    struct question *q;
    int64_t first_ms = INT64_MAX;

    LIST_FOREACH (q, &o->questions, link) {
        if (q->deadline_ms < first_ms) {
            first_ms = q->deadline_ms;
        }
    }
    if (first_ms == INT64_MAX) {
        loop_timer_disarm(o->deadline);
    } else {
        loop_timer_arm(o->deadline, first_ms - clock_mono_ms());
    }
}

/* The timer: one question has waited for too long, and what keeps it keeps them all, the one
 * coordinator. Whoever is told so may ask again at once: that is another question. */
static void give_up(void *arg)
{
    struct broker_offsets *o = CHECK_MAGIC(struct broker_offsets, arg, OFFSETS_MAGIC);
    struct questions given_up = LIST_HEAD_INITIALIZER(given_up);
    struct err err = ERR_INIT;
    struct question *q;

    drop_handle(o);
    (void)broker_err(&err, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL);
    while ((q = LIST_FIRST(&o->questions)) != NULL) {
        LIST_REMOVE(q, link);
        LIST_INSERT_HEAD(&given_up, q, link);
    }
    while ((q = LIST_FIRST(&given_up)) != NULL) {
        q->fn(q->arg, q->topic, NULL, 0, &err);
        question_free(q);
    }
}

void broker_offsets_serve(struct broker_offsets *o)
{
    rd_kafka_event_t *ev;

    while (o->rk != NULL && (ev = rd_kafka_queue_poll(o->queue, 0)) != NULL) {
        if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT) {
            offsets_answered(ev);
        } /* what is wrong with a broker, the producer's handle reports */
        rd_kafka_event_destroy(ev);
    }
    rearm(o);
}

/* ---- questions ----------------------------------------------------------------------------- */

static void ask(struct broker_offsets *o, struct question *q, const char *group)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(o->rk, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new((int)q->n);
    rd_kafka_ListConsumerGroupOffsets_t *question;

    for (size_t i = 0; i < q->n; i++) {
        (void)rd_kafka_topic_partition_list_add(parts, q->topic, (int32_t)i);
    }
    question = rd_kafka_ListConsumerGroupOffsets_new(group, parts);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, BROKER_LONGEST_MS, NULL, 0);
    rd_kafka_AdminOptions_set_opaque(options, q);
    LIST_INSERT_HEAD(&o->questions, q, link);
    rd_kafka_ListConsumerGroupOffsets(o->rk, &question, 1, options, o->queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(question);
    rd_kafka_topic_partition_list_destroy(parts);
    rd_kafka_AdminOptions_destroy(options);
}

int broker_offsets_ask(struct broker_offsets *o, const char *group, const char *topic, int32_t n,
                       broker_offsets_fn fn, void *arg, struct err *err)
{
    struct question *q;

    assert(n > 0);
    if (o->rk == NULL && begin(o, group, err)) {
        return -1;
    }
    q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory to ask for offsets");
    }
    *q = (struct question){.magic = QUESTION_MAGIC,
                           .topic = strdup(topic),
                           .n = (size_t)n,
                           .deadline_ms = clock_mono_ms() + BROKER_ADMIN_MS,
                           .fn = fn,
                           .arg = arg};
    if (q->topic == NULL) {
        free(q);
        return err_set(err, ERR_SYSTEM, NULL, "no memory to ask for offsets");
    }
    ask(o, q, group);
    rearm(o);
    return 0;
}
