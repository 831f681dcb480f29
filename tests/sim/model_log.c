/* See model_kafka.h: topics, their logs, and what a consumer is given next. */
#include "model_kafka.h"

#include "nemesis.h"
#include "sim_worker.h"

#include <stdlib.h>

struct model_kafka *model_kafka_new(struct world *w)
{
    struct model_kafka *k = world_data(sizeof(*k));
    k->world = w;
    for (int e = 0; e < ENGINES_MAX; e++) {
        k->topic[e].partitions = w->set.partitions;
        for (int p = 0; p < PARTITIONS_MAX; p++)
            k->topic[e].part[p] = (struct log){.committed = -1, .still_since = w->now};
    }
    return k;
}

void model_kafka_free(struct model_kafka *k)
{
    for (int e = 0; e < ENGINES_MAX; e++)
        for (int p = 0; p < PARTITIONS_MAX; p++)
            free(k->topic[e].part[p].entry);
    free(k);
}

/* ---- topics ------------------------------------------------------------------------------- */

bool model_kafka_ensure(struct model_kafka *k, int engine, int partitions)
{
    struct topic_model *t = &k->topic[engine];
    if (nemesis_kafka_away(k->world))
        return false;
    if (!t->exists || partitions > t->partitions) {
        t->partitions = !t->exists || partitions > t->partitions ? partitions : t->partitions;
        t->exists = true;
        model_kafka_rebalance(k);
    }
    return true;
}

void model_kafka_empty(struct model_kafka *k, int engine, bool keep_offsets)
{
    struct topic_model *t = &k->topic[engine];
    t->anew = true;
    for (int p = 0; p < PARTITIONS_MAX; p++) {
        t->part[p].end = 0;
        if (keep_offsets || t->part[p].committed < 0)
            continue;
        t->part[p].committed = -1;
        t->part[p].still_since = k->world->now;
    }
    if (keep_offsets)
        world_count(k->world, FAULT_OFFSETS_STAY);
}

void model_kafka_remove(struct model_kafka *k, int engine)
{
    model_kafka_empty(k, engine, false);
    k->topic[engine].exists = false;
    model_kafka_rebalance(k);
}

/* ---- messages ----------------------------------------------------------------------------- */

struct visible {
    struct address to;
};

static void tell(struct world *w, void *data)
{
    struct visible *v = data;
    if (!process_ready(w, v->to, tell, v))
        return;
    worker_messages_waiting(w, v->to.process);
    free(v);
}

struct appended {
    struct model_kafka *kafka;
    int engine, partition;
};

static void visible(struct world *w, void *data)
{
    struct appended *a = data;
    for (int i = 0; i < a->kafka->members; i++) {
        const struct member *m = &a->kafka->member[i];
        if (!m->at[a->engine][a->partition].assigned)
            continue;
        struct visible *v = world_data(sizeof(*v));
        v->to = m->of;
        world_at(w, w->now, tell, v);
    }
    free(a);
}

static void make_room(struct log *l)
{
    if (l->end < l->room)
        return;
    l->room = l->room == 0 ? 32 : 2 * l->room;
    l->entry = realloc(l->entry, (size_t)l->room * sizeof(*l->entry));
    if (l->entry == NULL)
        abort();
}

void model_kafka_append(struct model_kafka *k, int engine, int partition, struct log_entry e)
{
    struct world *w = k->world;
    struct log *l = &k->topic[engine].part[partition];
    int64_t delay = world_between(w, 1, 10);
    if (world_fault(w, FAULT_MESSAGE_DELAYED, w->set.message_faults))
        delay = world_between(w, 100, 8000);
    assert(l->end < LOG_MAX);
    if (l->end <= l->committed || l->end == 0)
        l->still_since = w->now; /* there was nothing to read */
    make_room(l);
    e.visible_at = w->now + delay;
    l->entry[l->end++] = e;
    struct appended *a = world_data(sizeof(*a));
    *a = (struct appended){k, engine, partition};
    world_at(w, e.visible_at, visible, a);
}

bool model_kafka_take(struct model_kafka *k, struct address worker, struct pool_part part,
                      struct pool_message *ret)
{
    struct member *m = model_kafka_member(k, worker);
    struct topic_model *t = &k->topic[part.engine];
    struct log *l = &t->part[part.partition];
    if (m == NULL || !m->at[part.engine][part.partition].assigned || !t->exists ||
        m->cut_until > k->world->now)
        return false;
    struct position *at = &m->at[part.engine][part.partition];
    if (at->next > l->end)
        at->next = 0; /* out of range: from the earliest */
    while (at->next < l->end && l->entry[at->next].hole)
        at->next++;
    if (at->next >= l->end || l->entry[at->next].visible_at > k->world->now)
        return false;
    const struct log_entry *e = &l->entry[at->next];
    *ret = (struct pool_message){.offset = at->next++,
                                 .bad = e->bad ? "unreadable" : NULL,
                                 .run = e->run,
                                 .slice = e->slice};
    return true;
}

int64_t model_kafka_lag(const struct model_kafka *k)
{
    int64_t lag = 0;
    for (int e = 0; e < ENGINES_MAX; e++)
        for (int p = 0; p < PARTITIONS_MAX; p++) {
            const struct log *l = &k->topic[e].part[p];
            if (k->topic[e].anew) /* offsets of the old log and of the new cannot be told apart */
                continue;
            for (int64_t i = l->committed < 0 ? 0 : l->committed; i < l->end; i++)
                lag += !l->entry[i].hole;
        }
    return lag;
}
