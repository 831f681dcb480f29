/* See nemesis.h: what goes wrong, one strike at a time. Faults of single statements, messages and
 * calls are not here: they strike where those are (world_fault). */
#include "checker.h"
#include "model_db.h"
#include "model_engine.h"
#include "model_kafka.h"
#include "nemesis_books.h"
#include "sim_producer.h"

#include <stdlib.h>

#define FLOOD 80        /* messages: more than a window takes beyond an unfinished slice */
#define ENGINES_ADDED 9 /* more than a producer has room for */
#define ROLLING_MS 6000 /* between one worker's SIGTERM and the next one's */

/* ---- processes ---------------------------------------------------------------------------- */

static int some_live(struct world *w, int first, int count)
{
    for (int tries = 0; tries < 10; tries++) {
        int i = first + (int)world_between(w, 0, count - 1);
        if (w->process[i].alive && !w->nemesis->ending[i] && w->process[i].frozen_until <= w->now)
            return i;
    }
    return -1;
}

static int some_worker(struct world *w)
{
    return some_live(w, 0, w->set.workers);
}

static int some_producer(struct world *w)
{
    return some_live(w, WORKERS_MAX, w->set.producers);
}

static void crash(struct world *w, enum fault f)
{
    int i = f == FAULT_CRASH_WORKER ? some_worker(w) : some_producer(w);
    if (i < 0)
        return;
    world_count(w, f);
    nemesis_kill(w, i);
}

static void wakes(struct world *w, void *data)
{
    struct visit *v = data;
    if (!process_ready(w, v->to, wakes, v))
        return;
    const struct member *m = model_kafka_member(w->kafka, v->to);
    if (m != NULL && !m->in_group)
        world_count(w, FAULT_ZOMBIE_WORKER);
    if (!nemesis_is_worker(v->to.process) && producer_is_zombie(w, v->to.process))
        world_count(w, FAULT_ZOMBIE_PRODUCER);
    free(v);
}

static void stands_still(struct world *w, int process, int64_t ms)
{
    struct process *p = &w->process[process];
    world_trace(w, "process %d stands still for %d ms", process, (int)ms);
    nemesis_at(w, process, ms, wakes, 0); /* before anything else that waits for its waking */
    p->frozen_until = w->now + ms;
    p->silent_since = w->now;
}

static void freeze(struct world *w, enum fault f)
{
    int i = f == FAULT_FREEZE_WORKER ? some_worker(w) : some_producer(w);
    if (i < 0)
        return;
    int64_t ms = world_between(w, 100, world_chance(w, 400) ? 3000 : 30000);
    if (world_chance(w, 100))
        ms = world_between(w, 60000, 150000);
    world_count(w, f);
    stands_still(w, i, ms);
}

int64_t nemesis_freezes_in_page(struct world *w, int process)
{
    stands_still(w, process, world_between(w, LEASE_MS, 2 * LEASE_MS));
    return world_between(w, LEASE_RENEW_MS, LEASE_MS - 100);
}

static void drain(struct world *w, enum fault f)
{
    int i = f == FAULT_DRAIN_PRODUCER ? some_producer(w) : some_worker(w);
    if (f == FAULT_DRAIN_AGAIN && world_chance(w, 300))
        i = some_producer(w);
    if (i < 0)
        return;
    world_count(w, f);
    w->nemesis->ending[i] = true;
    nemesis_at(w, i, 0, nemesis_drains, world_between(w, 500, 8000));
    if (f == FAULT_DRAIN_AGAIN)
        nemesis_at(w, i, world_between(w, 0, 4000), nemesis_drains, world_between(w, 0, 8000));
}

static void roll(struct world *w, enum fault f)
{
    world_count(w, f);
    for (int i = 0; i < w->set.workers; i++)
        if (w->process[i].alive && !w->nemesis->ending[i]) {
            w->nemesis->ending[i] = true;
            nemesis_at(w, i, i * ROLLING_MS, nemesis_drains, world_between(w, 500, 8000));
        }
}

static void proven_again(struct world *w, void *data)
{
    struct visit *v = data;
    if (!process_ready(w, v->to, proven_again, v))
        return;
    producer_listening(w, v->to.process, true);
    free(v);
}

static void deafen(struct world *w, enum fault f)
{
    int i = some_producer(w);
    if (i < 0)
        return;
    world_count(w, f);
    producer_listening(w, i, false);
    nemesis_at(w, i, world_between(w, 1000, 20000), proven_again, 0);
}

/* ---- the database ------------------------------------------------------------------------- */

static void hang_links(struct world *w, enum fault f)
{
    int i = world_chance(w, 600) ? some_worker(w) : some_producer(w);
    if (i < 0)
        return;
    world_count(w, f);
    w->process[i].links_hang_until = w->now + world_between(w, 500, 20000);
}

static void forget_shares(struct world *w, enum fault f)
{
    world_count(w, f);
    model_db_forget_shares(w->db);
    checker_shares_forgotten(w);
}

static void database_away(struct world *w, enum fault f)
{
    world_count(w, f);
    w->nemesis->database_away = w->now + world_between(w, 500, 6000);
}

/* -m immediate: what was under way is gone, locks too, and the unlogged table is empty. */
static void database_crashes(struct world *w, enum fault f)
{
    world_count(w, f);
    w->database_life++;
    for (int i = 0; i < w->db->runs; i++)
        w->db->run[i].locked_until = 0;
    forget_shares(w, FAULT_SHARES_FORGOTTEN);
    database_away(w, FAULT_DATABASE_DOWN);
}

static void disk_full(struct world *w, enum fault f)
{
    world_count(w, f);
    w->nemesis->disk_full = w->now + world_between(w, 500, 15000);
}

static void break_source(struct world *w, enum fault f)
{
    world_count(w, f);
    w->db->job[rng_below(&w->rng, (uint32_t)w->set.jobs)].broken_until =
        w->now + world_between(w, 500, 20000);
}

/* ---- operators ---------------------------------------------------------------------------- */

static struct db_run *some_run(struct world *w)
{
    return w->db->runs == 0 ? NULL : &w->db->run[world_between(w, 0, w->db->runs - 1)];
}

static void cancel(struct world *w, enum fault f)
{
    struct db_run *r = some_run(w);
    if (r == NULL || r->locked_until > w->now)
        return;
    world_count(w, f);
    model_db_cancel(w->db, r, RUN_CANCELLED);
}

static void replay(struct world *w, enum fault f)
{
    struct db_run *r = some_run(w);
    if (r == NULL || nemesis_replays(w, r))
        return;
    world_count(w, FAULT_REPLAY_REFUSED);
    nemesis_at(w, 0, world_between(w, 3000, 10000), nemesis_strikes, f); /* later, then */
}

static void prune(struct world *w, enum fault f)
{
    for (int i = 0; i < w->db->runs; i++)
        if (model_db_prune(w->db, &w->db->run[i])) {
            world_count(w, f);
            return;
        }
}

static void set_limit(struct world *w, enum fault f)
{
    int engine = (int)world_between(w, 0, w->set.engines - 1);
    world_count(w, f);
    model_db_set_limit(w->db, engine, (int)world_between(w, 1, 12));
    world_trace(w, "engine %d: limit %d", engine, w->db->engine[engine].concurrency);
}

static void hears_of_engines(struct world *w, void *data)
{
    struct visit *v = data;
    if (!process_ready(w, v->to, hears_of_engines, v))
        return;
    producer_engines_set(w, v->to.process, (int)v->ms);
    free(v);
}

static void set_engines(struct world *w, enum fault f)
{
    int engine = (int)world_between(w, 0, w->set.engines - 1);
    world_count(w, f);
    if (f == FAULT_PARTITIONS_SET)
        w->db->engine[engine].partitions = (int)world_between(w, 1, PARTITIONS_MAX);
    for (int i = WORKERS_MAX; i < WORKERS_MAX + w->set.producers; i++)
        if (w->process[i].alive)
            nemesis_at(w, i, world_between(w, 1, 5000), hears_of_engines,
                       f == FAULT_ENGINE_ADDED ? ENGINES_ADDED : 0);
}

/* ---- Kafka -------------------------------------------------------------------------------- */

static void kafka_away(struct world *w, enum fault f)
{
    world_count(w, f);
    w->nemesis->kafka_away = w->now + world_between(w, 500, 8000);
}

static void regroup(struct world *w, enum fault f)
{
    int i = some_worker(w);
    if (i < 0)
        return;
    world_count(w, f);
    if (f == FAULT_ASSIGNMENT_LOST)
        model_kafka_expel(w->kafka, process_address(w, i));
    else if (f == FAULT_CUT_FROM_KAFKA)
        model_kafka_cut(w->kafka, process_address(w, i), w->now + world_between(w, 500, 25000));
    else
        model_kafka_rebalance(w->kafka);
}

static void spoil(struct world *w, enum fault f)
{
    int engine = (int)world_between(w, 0, w->set.engines - 1);
    const struct topic_model *t = &w->kafka->topic[engine];
    int partition = (int)world_between(w, 0, t->partitions - 1);
    if (!t->exists)
        return;
    world_count(w, f);
    for (int i = f == FAULT_MESSAGE_FLOOD ? FLOOD : 1; i > 0; i--) {
        struct log_entry e = {.run = {{0}}, .bad = f != FAULT_MESSAGE_FOREIGN};
        e.run.b[15] = world_chance(w, 500) ? 200 : 1; /* no such run; or no such slice */
        e.slice = 10000;
        model_kafka_append(w->kafka, engine, partition, e);
    }
}

static void to_topic(struct world *w, enum fault f)
{
    int engine = (int)world_between(w, 0, w->set.engines - 1);
    if (!w->kafka->topic[engine].exists)
        return;
    world_count(w, f);
    world_trace(w, "Kafka: topic %d is %s", engine, f == FAULT_TOPIC_GONE ? "gone" : "emptied");
    if (f == FAULT_TOPIC_EMPTIED)
        model_kafka_empty(w->kafka, engine, world_chance(w, 300));
    else
        model_kafka_remove(w->kafka, engine);
}

/* ---- the engine --------------------------------------------------------------------------- */

static void clears(struct world *w, void *data)
{
    const struct visit *v = data;
    world_trace(w, "engine %d is well again", (int)v->ms);
    model_engine_weather(w->engine, (int)v->ms, FAIR);
    free(data);
}

static void to_engine(struct world *w, enum fault f)
{
    int engine = (int)world_between(w, 0, w->set.engines - 1);
    bool long_away = f == FAULT_ENGINE_LONG_AWAY;
    enum weather weather = f == FAULT_ENGINE_DOWN || long_away ? DOWN
                           : f == FAULT_ENGINE_HANGS           ? HANGS
                           : f == FAULT_ENGINE_SLOWER          ? SLOWER
                           : f == FAULT_ENGINE_GARBAGE         ? GARBAGE
                                                               : BROKEN;
    world_count(w, f);
    world_trace(w, "engine %d: weather %d", engine, (int)weather);
    model_engine_weather(w->engine, engine, weather);
    if (!long_away)
        nemesis_at(w, 0, world_between(w, 1000, 30000), clears, engine);
}

static void cut_from_engine(struct world *w, enum fault f)
{
    int i = some_worker(w);
    if (i < 0)
        return;
    world_count(w, f);
    w->process[i].engine_cut_until = w->now + world_between(w, 500, 20000);
}

/* ---- the choice --------------------------------------------------------------------------- */

static const struct strike {
    enum fault fault;
    void (*strike)(struct world *w, enum fault f);
    int weight;
} strikes[] = {
    {FAULT_CRASH_WORKER, crash, 4},
    {FAULT_CRASH_PRODUCER, crash, 3},
    {FAULT_FREEZE_WORKER, freeze, 2},
    {FAULT_FREEZE_PRODUCER, freeze, 2},
    {FAULT_DRAIN_WORKER, drain, 1},
    {FAULT_DRAIN_PRODUCER, drain, 1},
    {FAULT_DRAIN_AGAIN, drain, 1},
    {FAULT_ROLLING, roll, 1},
    {FAULT_LISTEN_LOST, deafen, 1},
    {FAULT_LINKS_HANG, hang_links, 2},
    {FAULT_DISK_FULL, disk_full, 1},
    {FAULT_DATABASE_CRASH, database_crashes, 2},
    {FAULT_DATABASE_DOWN, database_away, 1},
    {FAULT_SHARES_FORGOTTEN, forget_shares, 1},
    {FAULT_SOURCE_BROKEN, break_source, 1},
    {FAULT_CANCEL, cancel, 1},
    {FAULT_REPLAY, replay, 2},
    {FAULT_PRUNED, prune, 1},
    {FAULT_LIMIT_SET, set_limit, 2},
    {FAULT_PARTITIONS_SET, set_engines, 2},
    {FAULT_ENGINE_ADDED, set_engines, 1},
    {FAULT_KAFKA_DOWN, kafka_away, 1},
    {FAULT_REBALANCE, regroup, 2},
    {FAULT_ASSIGNMENT_LOST, regroup, 1},
    {FAULT_CUT_FROM_KAFKA, regroup, 1},
    {FAULT_MESSAGE_BAD, spoil, 1},
    {FAULT_MESSAGE_FOREIGN, spoil, 1},
    {FAULT_MESSAGE_FLOOD, spoil, 1},
    {FAULT_TOPIC_EMPTIED, to_topic, 1},
    {FAULT_TOPIC_GONE, to_topic, 1},
    {FAULT_ENGINE_DOWN, to_engine, 1},
    {FAULT_ENGINE_HANGS, to_engine, 1},
    {FAULT_ENGINE_SLOWER, to_engine, 1},
    {FAULT_ENGINE_BROKEN, to_engine, 1},
    {FAULT_ENGINE_GARBAGE, to_engine, 1},
    {FAULT_CUT_FROM_ENGINE, cut_from_engine, 1},
    {FAULT_ENGINE_LONG_AWAY, to_engine, 0},
};

/* One of those the seed has, by weight; NULL: it has none. */
static const struct strike *any(struct world *w)
{
    int all = 0;
    for (size_t i = 0; i < COUNT_OF(strikes); i++)
        all += w->set.on[strikes[i].fault] ? strikes[i].weight : 0;
    int64_t left = all == 0 ? 0 : world_between(w, 1, all);
    for (size_t i = 0; i < COUNT_OF(strikes) && left > 0; i++) {
        left -= w->set.on[strikes[i].fault] ? strikes[i].weight : 0;
        if (left <= 0)
            return &strikes[i];
    }
    return NULL;
}

static const struct strike *that(enum fault f)
{
    for (size_t i = 0; i < COUNT_OF(strikes); i++)
        if (strikes[i].fault == f)
            return &strikes[i];
    return NULL;
}

void nemesis_strikes(struct world *w, void *data)
{
    const struct visit *v = data;
    const struct strike *s = v->ms < 0 ? any(w) : that((enum fault)v->ms);
    free(data);
    if (s != NULL && world_faulty(w))
        s->strike(w, s->fault);
}
