/* See model_kafka.h: the workers' group. A rebalance is eager: every member gives all back, and
 * when all have, or have been thrown out, the partitions are dealt anew. */
#include "model_kafka.h"

#include "checker.h"
#include "nemesis.h"
#include "sim_worker.h"

#include <stdlib.h>

struct to_member { /* an event for one member */
    struct address to;
    struct model_kafka *kafka;
    int generation;
};

static void send(struct model_kafka *k, const struct member *m, int64_t after, event_fn fn)
{
    struct to_member *e = world_data(sizeof(*e));
    *e = (struct to_member){m->of, k, k->generation};
    world_at(k->world, k->world->now + after, fn, e);
}

struct member *model_kafka_member(struct model_kafka *k, struct address worker)
{
    for (int i = 0; i < k->members; i++)
        if (k->member[i].of.process == worker.process &&
            k->member[i].of.incarnation == worker.incarnation)
            return &k->member[i];
    return NULL;
}

/* True: it waits until its member is not cut off any more. */
static bool cut_off(struct world *w, struct to_member *e, event_fn fn)
{
    const struct member *m = model_kafka_member(e->kafka, e->to);
    if (m->cut_until <= w->now)
        return false;
    world_at(w, m->cut_until, fn, e);
    return true;
}

static void forget_positions(struct member *m)
{
    m->generation = 0;
    for (int e = 0; e < ENGINES_MAX; e++)
        for (int p = 0; p < PARTITIONS_MAX; p++)
            m->at[e][p].assigned = false;
}

/* ---- dealing ------------------------------------------------------------------------------ */

static void assigned(struct world *w, void *data)
{
    struct to_member *e = data;
    if (!process_ready(w, e->to, assigned, e) || cut_off(w, e, assigned))
        return;
    struct model_kafka *k = e->kafka;
    struct member *m = model_kafka_member(k, e->to);
    struct pool_part parts[ENGINES_MAX * PARTITIONS_MAX];
    int n = 0;
    for (int t = 0; t < ENGINES_MAX && m->in_group && m->generation == e->generation; t++)
        for (int p = 0; p < PARTITIONS_MAX; p++) {
            if (!m->at[t][p].assigned)
                continue;
            int64_t committed = k->topic[t].part[p].committed;
            m->at[t][p].next = committed < 0 ? 0 : committed;
            parts[n++] = (struct pool_part){t, p};
        }
    if (n > 0 && !m->revoking)
        worker_assigned(w, e->to.process, parts, n);
    free(e);
}

static void deal(struct model_kafka *k)
{
    struct member *joined[MEMBERS_MAX];
    int n = 0, next = 0;
    for (int i = 0; i < k->members; i++)
        if (k->member[i].in_group)
            joined[n++] = &k->member[i];
    k->balancing = false;
    k->generation++;
    for (int i = 0; i < n; i++) {
        joined[i]->joined = false;
        joined[i]->generation = k->generation;
    }
    for (int t = 0; t < ENGINES_MAX && n > 0; t++)
        for (int p = 0; p < k->topic[t].partitions && k->topic[t].exists; p++)
            joined[next++ % n]->at[t][p] =
                (struct position){.assigned = true, .stored = -1, .sent = -1};
    for (int i = 0; i < n; i++)
        send(k, joined[i], world_between(k->world, 1, 100), assigned);
}

static void deal_if_all_joined(struct model_kafka *k)
{
    for (int i = 0; i < k->members; i++)
        if (k->member[i].in_group && !k->member[i].joined)
            return;
    if (k->balancing)
        deal(k);
}

/* ---- giving back -------------------------------------------------------------------------- */

static void give_back(struct world *w, void *data)
{
    struct to_member *e = data;
    if (!process_ready(w, e->to, give_back, e) || cut_off(w, e, give_back))
        return;
    struct member *m = model_kafka_member(e->kafka, e->to);
    bool current = e->kafka->balancing && e->generation == e->kafka->generation;
    if (current && m->in_group && !m->joined && !m->revoking) {
        m->revoking = true;
        m->lost = false;
        m->asked_at = w->now;
        worker_revoked(w, e->to.process, false);
    }
    free(e);
}

static void lost(struct world *w, void *data)
{
    struct to_member *e = data;
    if (!process_ready(w, e->to, lost, e))
        return;
    struct member *m = model_kafka_member(e->kafka, e->to);
    if (!m->in_group && !m->revoking && !m->rejoining) {
        m->revoking = true;
        m->lost = true;
        m->asked_at = w->now;
        worker_revoked(w, e->to.process, true);
    }
    free(e);
}

void model_kafka_rebalance(struct model_kafka *k)
{
    if (k->balancing)
        return;
    k->balancing = true;
    for (int i = 0; i < k->members; i++) {
        struct member *m = &k->member[i];
        if (!m->in_group || m->joined)
            continue;
        if (m->generation == 0)
            m->joined = true;
        else
            send(k, m, world_between(k->world, 1, 1000), give_back);
    }
    deal_if_all_joined(k);
}

void model_kafka_expel(struct model_kafka *k, struct address worker)
{
    struct member *m = model_kafka_member(k, worker);
    if (m == NULL || !m->in_group)
        return;
    m->in_group = m->joined = false;
    forget_positions(m);
    /* who is cut off finds it out by its own clock */
    send(k, m, world_between(k->world, 1, m->cut_until > k->world->now ? 5000 : 300), lost);
    if (k->balancing)
        deal_if_all_joined(k);
    else
        model_kafka_rebalance(k);
}

void model_kafka_watch(struct model_kafka *k)
{
    for (int i = 0; i < k->members; i++) {
        struct member *m = &k->member[i];
        const struct process *p = &k->world->process[m->of.process];
        bool same = p->incarnation == m->of.incarnation;
        if (m->silent_since == 0 && !(same && p->alive))
            m->silent_since = same ? p->silent_since : k->world->now;
        int64_t silent = m->silent_since != 0 ? m->silent_since : p->silent_since;
        if (m->cut_until > k->world->now && m->cut_since < silent)
            silent = m->cut_since;
        if (m->in_group && silent <= k->world->now - BROKER_SESSION_MS)
            model_kafka_expel(k, m->of);
    }
}

/* ---- offsets ------------------------------------------------------------------------------ */

struct commit {
    struct model_kafka *kafka;
    struct address from;
    int generation, engine, partition;
    int64_t next;
};

static void accept(struct model_kafka *k, const struct member *m, const struct commit *c)
{
    struct log *l = &k->topic[c->engine].part[c->partition];
    if (!m->in_group || m->generation != c->generation || l->committed == c->next)
        return;
    checker_committed(k->world, c->engine, c->partition, l->committed, c->next);
    l->committed = c->next;
    if (k->world->now - l->still_since >= STILL_ENOUGH_MS)
        l->stood_until = k->world->now;
    l->still_since = k->world->now;
}

static void committed(struct world *w, void *data)
{
    struct commit *c = data;
    accept(c->kafka, model_kafka_member(c->kafka, c->from), c);
    (void)w;
    free(c);
}

/* at_once: the member waits for it (before it gives its partitions back). */
static void commit_stored(struct model_kafka *k, struct member *m, bool at_once)
{
    for (int t = 0; t < ENGINES_MAX; t++)
        for (int p = 0; p < PARTITIONS_MAX; p++) {
            struct position *at = &m->at[t][p];
            if (!at->assigned || at->stored == at->sent)
                continue;
            at->sent = at->stored;
            if (nemesis_kafka_away(k->world) || m->cut_until > k->world->now ||
                world_fault(k->world, FAULT_COMMIT_LOST, k->world->set.message_faults)) {
                at->sent = -1; /* the next interval tries again */
                continue;
            }
            struct commit *c = world_data(sizeof(*c));
            *c = (struct commit){k, m->of, m->generation, t, p, at->stored};
            if (at_once) {
                accept(k, m, c);
                free(c);
            } else {
                world_at(k->world, k->world->now + world_between(k->world, 1, 20), committed, c);
            }
        }
}

static void interval(struct world *w, void *data)
{
    struct to_member *e = data;
    if (!process_ready(w, e->to, interval, e))
        return;
    struct member *m = model_kafka_member(e->kafka, e->to);
    commit_stored(e->kafka, m, false);
    world_at(w, w->now + COMMIT_OFFSETS_MS, interval, e);
}

void model_kafka_store(struct model_kafka *k, struct address worker, struct pool_part part,
                       int64_t next)
{
    struct member *m = model_kafka_member(k, worker);
    struct position *at = &m->at[part.engine][part.partition];
    if (at->assigned) /* librdkafka refuses it for what is not assigned any more */
        at->stored = next;
}

/* ---- coming and going --------------------------------------------------------------------- */

static void joins(struct world *w, void *data)
{
    struct to_member *e = data;
    if (!process_ready(w, e->to, joins, e) || cut_off(w, e, joins))
        return;
    struct model_kafka *k = e->kafka;
    struct member *m = model_kafka_member(k, e->to);
    m->rejoining = false;
    if (!m->in_group) {
        m->in_group = true;
        forget_positions(m);
        if (k->balancing) {
            m->joined = true;
            deal_if_all_joined(k);
        } else {
            model_kafka_rebalance(k);
        }
    }
    free(e);
}

void model_kafka_join(struct model_kafka *k, struct address worker)
{
    assert(k->members < MEMBERS_MAX);
    struct member *m = &k->member[k->members++];
    *m = (struct member){.of = worker};
    send(k, m, world_between(k->world, 10, 500), joins);
    send(k, m, COMMIT_OFFSETS_MS, interval);
}

void model_kafka_unassign(struct model_kafka *k, struct address worker)
{
    struct member *m = model_kafka_member(k, worker);
    checker_unassigned(k->world, m);
    m->revoking = false;
    if (!m->in_group) {
        m->rejoining = true;
        if (k->world->process[worker.process].alive)
            send(k, m, world_between(k->world, 10, 1000), joins);
        return;
    }
    commit_stored(k, m, true);
    if (m->cut_until > k->world->now) { /* nobody hears of it, until its session has ended */
        model_kafka_expel(k, worker);
        return;
    }
    forget_positions(m);
    m->joined = true;
    deal_if_all_joined(k);
}

void model_kafka_leave(struct model_kafka *k, struct address worker)
{
    struct member *m = model_kafka_member(k, worker);
    if (m == NULL || !m->in_group || m->cut_until > k->world->now)
        return;
    commit_stored(k, m, true);
    m->in_group = m->joined = false;
    forget_positions(m);
    if (k->balancing)
        deal_if_all_joined(k);
    else
        model_kafka_rebalance(k);
}

/* ---- cut off ------------------------------------------------------------------------------ */

static void back(struct world *w, void *data)
{
    struct to_member *e = data;
    if (!process_ready(w, e->to, back, e))
        return;
    worker_messages_waiting(w, e->to.process); /* what came meanwhile is fetched now */
    free(e);
}

void model_kafka_cut(struct model_kafka *k, struct address worker, int64_t until)
{
    struct member *m = model_kafka_member(k, worker);
    if (m->cut_until > k->world->now)
        return;
    m->cut_since = k->world->now;
    m->cut_until = until;
    send(k, m, until - k->world->now, back);
}

void model_kafka_mend(struct model_kafka *k)
{
    for (int i = 0; i < k->members; i++)
        if (k->member[i].cut_until > k->world->now)
            k->member[i].cut_until = k->world->now;
}
