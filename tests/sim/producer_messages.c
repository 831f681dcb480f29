/* See producer_ops.h: what a producer asks of the model Kafka: publish, make sure of a topic, read
 * the workers' committed offsets. */
#include "checker.h"
#include "model_db.h"
#include "model_kafka.h"
#include "nemesis.h"
#include "producer_ops.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- publish ------------------------------------------------------------------------------ */

struct publication {
    struct address from;
    struct lead_ref ref;
    int engine;
    struct uuid run;
    int32_t slice, partition;
    bool delivered, reported_ok;
    int64_t offset;
};

static void report(struct world *w, void *data)
{
    struct publication *p = data;
    if (!process_ready(w, p->from, report, p))
        return;
    struct sim_producer *me = producer_of(w, p->from);
    world_trace(w, "producer %d: run %d slice %d %s at %d/%d", me->process, p->run.b[15] - 1,
                (int)p->slice, p->reported_ok ? "delivered" : "not delivered", (int)p->partition,
                (int)p->offset);
    run_core_delivered(me->core, p->ref, p->slice, p->partition, p->reported_ok, p->offset);
    producer_rearm(me);
    free(p);
}

static void arrives(struct world *w, void *data)
{
    struct publication *p = data;
    int fault = w->set.message_faults;
    struct log_entry e = {.run = p->run, .slice = p->slice};
    const struct process *from = &w->process[p->from.process];
    bool dead = !from->alive || from->incarnation != p->from.incarnation;
    bool away = nemesis_kafka_away(w) || !w->kafka->topic[p->engine].exists ||
                p->partition >= w->kafka->topic[p->engine].partitions;
    p->reported_ok = !away && !world_fault(w, FAULT_PUBLISH_FAILED, fault);
    if (p->reported_ok && !(dead && world_chance(w, 500))) {
        e.hole = world_fault(w, FAULT_MESSAGE_LOST, fault);
        p->offset = w->kafka->topic[p->engine].part[p->partition].end;
        model_kafka_append(w->kafka, p->engine, p->partition, e);
        if (world_fault(w, FAULT_MESSAGE_REPEATED, fault))
            model_kafka_append(w->kafka, p->engine, p->partition, e);
        p->reported_ok = !world_fault(w, FAULT_REPORT_FALSE, fault);
    }
    /* reports of one producer and partition come in order: no chance in this delay */
    world_at(w, w->now + 3, report, p);
}

static bool publish(void *world, struct lead_ref ref, const struct opened_run *run,
                    int32_t slice_no, int32_t partition)
{
    struct sim_producer *me = producer_self(world);
    struct world *w = me->world;
    producer_asks(me, ASK_PUBLISH);
    if (world_fault(w, FAULT_QUEUE_FULL, w->set.message_faults))
        return false;
    struct publication *p = world_data(sizeof(*p));
    *p = (struct publication){.from = process_address(w, me->process),
                              .ref = ref,
                              .engine = producer_engine(run->engine),
                              .run = run->run_id,
                              .slice = slice_no,
                              .partition = partition,
                              .offset = -1};
    checker_published(w, p->from, p->engine, run->run_id.b[15] - 1, slice_no);
    world_at(w, w->now + 5, arrives, p);
    return true;
}

/* ---- topics and offsets ------------------------------------------------------------------- */

struct inquiry {
    struct address from;
    int engine; /* its index; -1: one without jobs */
    char name[41];
    bool ok;
    int partitions;
    int64_t offsets[PARTITIONS_MAX];
};

static struct inquiry *inquiry(void *world, enum ask ask, const char *engine)
{
    struct sim_producer *me = producer_self(world);
    struct inquiry *q = world_data(sizeof(*q));
    producer_asks(me, ask);
    q->from = process_address(me->world, me->process);
    q->engine = producer_engine(engine);
    snprintf(q->name, sizeof(q->name), "%s", engine);
    return q;
}

static void topic_answer(struct world *w, void *data)
{
    struct inquiry *q = data;
    if (!process_ready(w, q->from, topic_answer, q))
        return;
    struct sim_producer *me = producer_of(w, q->from);
    run_core_topic(me->core, q->name, q->ok);
    producer_rearm(me);
    free(q);
}

static void ensure_topic(void *world, const char *engine, int partitions)
{
    struct world *w = producer_self(world)->world;
    struct inquiry *q = inquiry(world, ASK_ENSURE_TOPIC, engine);
    q->ok = q->engine < 0 || model_kafka_ensure(w->kafka, q->engine, partitions);
    world_at(w, w->now + world_between(w, 5, 200), topic_answer, q);
}

static void offsets_answer(struct world *w, void *data)
{
    struct inquiry *q = data;
    if (!process_ready(w, q->from, offsets_answer, q))
        return;
    struct sim_producer *me = producer_of(w, q->from);
    run_core_committed(me->core, q->name, q->ok ? q->offsets : NULL, q->ok ? q->partitions : 0);
    producer_rearm(me);
    free(q);
}

static void committed(void *world, const char *engine, int partitions)
{
    struct world *w = producer_self(world)->world;
    struct inquiry *q = inquiry(world, ASK_COMMITTED, engine);
    q->ok = !nemesis_kafka_away(w);
    q->partitions = partitions;
    for (int i = 0; i < partitions; i++)
        q->offsets[i] = w->kafka->topic[q->engine].part[i].committed;
    world_at(w, w->now + world_between(w, 5, 100), offsets_answer, q);
}

void producer_message_ops(struct run_ops *ops)
{
    ops->publish = publish;
    ops->ensure_topic = ensure_topic;
    ops->committed = committed;
}
