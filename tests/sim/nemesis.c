/* See nemesis.h. */
#include "nemesis.h"

#include "checker.h"
#include "model_db.h"
#include "model_engine.h"
#include "model_kafka.h"
#include "sim_producer.h"
#include "sim_worker.h"

#include <stdlib.h>

#define TICK_MS 250
#define REST_MS 240000     /* from the heal to rest, beside what is due by then */
#define POISON_MS 900000   /* five workers die of it, and each time its claim has to go stale */
#define CHARGING_MS 600000 /* three probes a subject, at most 30 s apart */
#define LEAVE_MS 30000     /* from SIGTERM to the last one's end */

enum phase { FAULTS_LAST, HEALED, LEAVING, OVER };

struct nemesis {
    enum phase phase;
    int64_t phase_ends;                /* broken when it lasts longer */
    bool closed;                       /* an engine was, after the heal */
    bool patient;                      /* it lasts longer, for what has come since */
    int64_t database_away, kafka_away; /* until */
    bool ending[PROCESSES];            /* its end, and perhaps its return, is arranged */
};

/* ---- processes come and go ---------------------------------------------------------------- */

struct visit {
    struct address to;
    int64_t ms;
};

static void at(struct world *w, int process, int64_t after, event_fn fn, int64_t ms)
{
    struct visit *v = world_data(sizeof(*v));
    *v = (struct visit){process_address(w, process), ms};
    world_at(w, w->now + after, fn, v);
}

static bool is_worker(int process)
{
    return process < WORKERS_MAX;
}

static void start(struct world *w, int process)
{
    w->nemesis->ending[process] = false;
    if (is_worker(process))
        worker_start(w, process);
    else
        producer_start(w, process);
}

static void starts(struct world *w, void *data)
{
    const struct visit *v = data;
    if (!w->process[v->to.process].alive && w->nemesis->phase < LEAVING)
        start(w, v->to.process);
    free(data);
}

static void kill_one(struct world *w, int process)
{
    if (is_worker(process))
        worker_kill(w, process);
    else
        producer_kill(w, process);
    at(w, process, world_between(w, 0, 8000), starts, 0);
}

static void ends(struct world *w, void *data)
{
    const struct visit *v = data;
    const struct process *p = &w->process[v->to.process];
    if (p->alive && p->incarnation == v->to.incarnation)
        kill_one(w, v->to.process);
    free(data);
}

void nemesis_left(struct world *w, struct address a)
{
    at(w, a.process, world_between(w, 0, 2000), ends, 0);
}

void nemesis_poison(struct world *w, struct address a)
{
    if (w->nemesis->ending[a.process])
        return;
    w->nemesis->ending[a.process] = true;
    world_count(w, FAULT_POISON);
    at(w, a.process, 20, ends, 0);
}

static void drains(struct world *w, void *data)
{
    struct visit *v = data;
    if (!process_ready(w, v->to, drains, v))
        return;
    world_trace(w, "process %d is told to go", v->to.process);
    if (is_worker(v->to.process))
        worker_drain(w, v->to.process, v->ms);
    else
        producer_drain(w, v->to.process);
    free(v);
}

static void rings(struct world *w, void *data)
{
    struct visit *v = data;
    if (process_ready(w, v->to, rings, v)) {
        producer_rung(w, v->to.process);
        free(v);
    }
}

static void asks_for(struct world *w, void *data)
{
    const struct visit *v = data;
    model_db_request(w->db, (int)v->ms);
    for (int i = WORKERS_MAX; i < WORKERS_MAX + w->set.producers; i++)
        if (w->process[i].alive)
            at(w, i, world_between(w, 1, 50), rings, 0);
    free(data);
}

/* ---- what goes wrong ---------------------------------------------------------------------- */

static int some_live(struct world *w, int first, int count)
{
    for (int tries = 0; tries < 10; tries++) {
        int i = first + (int)world_between(w, 0, count - 1);
        if (w->process[i].alive && !w->nemesis->ending[i] && w->process[i].frozen_until <= w->now)
            return i;
    }
    return -1;
}

static void to_process(struct world *w, enum fault f)
{
    bool worker = f == FAULT_CRASH_WORKER || f == FAULT_FREEZE_WORKER || f == FAULT_DRAIN_WORKER;
    int i = some_live(w, worker ? 0 : WORKERS_MAX, worker ? w->set.workers : w->set.producers);
    if (i < 0)
        return;
    world_count(w, f);
    if (f == FAULT_CRASH_WORKER || f == FAULT_CRASH_PRODUCER) {
        kill_one(w, i);
    } else if (f == FAULT_FREEZE_WORKER || f == FAULT_FREEZE_PRODUCER) {
        struct process *p = &w->process[i];
        p->frozen_until = w->now + world_between(w, 100, world_chance(w, 500) ? 3000 : 30000);
        world_trace(w, "process %d stands still for %d ms", i, (int)(p->frozen_until - w->now));
        p->silent_since = w->now;
    } else {
        w->nemesis->ending[i] = true;
        at(w, i, 0, drains, world_between(w, 500, 8000));
    }
}

static void to_kafka(struct world *w, enum fault f)
{
    int engine = (int)world_between(w, 0, w->set.engines - 1);
    if (!w->kafka->topic[engine].exists)
        return;
    world_count(w, f);
    world_trace(w, "Kafka: fault %d at topic %d", (int)f, engine);
    if (f == FAULT_TOPIC_EMPTIED) {
        model_kafka_empty(w->kafka, engine, world_chance(w, 300));
    } else if (f == FAULT_TOPIC_GONE) {
        model_kafka_remove(w->kafka, engine);
    } else {
        struct log_entry e = {.run = {{0}}, .bad = f == FAULT_MESSAGE_BAD};
        e.run.b[15] = world_chance(w, 500) ? 200 : 1; /* no such run; or no such slice */
        e.slice = 10000;
        model_kafka_append(w->kafka, engine, (int)world_between(w, 0, w->set.partitions - 1), e);
    }
}

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
    enum weather weather = f == FAULT_ENGINE_DOWN     ? DOWN
                           : f == FAULT_ENGINE_HANGS  ? HANGS
                           : f == FAULT_ENGINE_SLOWER ? SLOWER
                                                      : BROKEN;
    world_count(w, f);
    world_trace(w, "engine %d: weather %d", engine, (int)weather);
    model_engine_weather(w->engine, engine, weather);
    at(w, 0, world_between(w, 1000, 30000), clears, engine);
}

static void to_group(struct world *w, enum fault f)
{
    int i = some_live(w, 0, w->set.workers);
    if (i < 0)
        return;
    world_count(w, f);
    if (f == FAULT_ASSIGNMENT_LOST)
        model_kafka_expel(w->kafka, process_address(w, i));
    else
        model_kafka_rebalance(w->kafka);
}

static void to_database(struct world *w, enum fault f)
{
    world_count(w, f);
    world_trace(w, "database: fault %d", (int)f);
    if (f == FAULT_SHARES_FORGOTTEN) {
        model_db_forget_shares(w->db);
        checker_shares_forgotten(w);
    } else if (f == FAULT_DATABASE_DOWN) {
        w->nemesis->database_away = w->now + world_between(w, 500, 6000);
    } else if (f == FAULT_SOURCE_BROKEN) {
        w->db->job[rng_below(&w->rng, (uint32_t)w->set.jobs)].broken_until =
            w->now + world_between(w, 500, 20000);
    } else if (w->db->runs > 0) {
        model_db_cancel(w->db, &w->db->run[world_between(w, 0, w->db->runs - 1)], RUN_CANCELLED);
    }
}

static void something(struct world *w, void *data)
{
    static const enum fault menu[] = {
        FAULT_CRASH_WORKER,    FAULT_CRASH_PRODUCER, FAULT_CRASH_WORKER,    FAULT_FREEZE_WORKER,
        FAULT_FREEZE_PRODUCER, FAULT_DRAIN_WORKER,   FAULT_DRAIN_PRODUCER,  FAULT_REBALANCE,
        FAULT_ASSIGNMENT_LOST, FAULT_REBALANCE,      FAULT_ENGINE_DOWN,     FAULT_ENGINE_HANGS,
        FAULT_ENGINE_SLOWER,   FAULT_ENGINE_BROKEN,  FAULT_DATABASE_DOWN,   FAULT_SHARES_FORGOTTEN,
        FAULT_KAFKA_DOWN,      FAULT_MESSAGE_BAD,    FAULT_MESSAGE_FOREIGN, FAULT_TOPIC_EMPTIED,
        FAULT_TOPIC_GONE,      FAULT_CANCEL,         FAULT_SOURCE_BROKEN,
    };
    struct visit *v = data;
    enum fault f = v->ms >= 0 ? (enum fault)v->ms : menu[rng_below(&w->rng, COUNT_OF(menu))];
    free(v);
    if (f == FAULT_KAFKA_DOWN) {
        world_count(w, f);
        w->nemesis->kafka_away = w->now + world_between(w, 500, 8000);
    } else if (f == FAULT_DATABASE_DOWN || f == FAULT_SHARES_FORGOTTEN ||
               f == FAULT_SOURCE_BROKEN || f == FAULT_CANCEL) {
        to_database(w, f);
    } else if (f == FAULT_REBALANCE || f == FAULT_ASSIGNMENT_LOST) {
        to_group(w, f);
    } else if (f >= FAULT_ENGINE_DOWN && f <= FAULT_ENGINE_BROKEN) {
        to_engine(w, f);
    } else if (f >= FAULT_MESSAGE_BAD && f <= FAULT_TOPIC_GONE) {
        to_kafka(w, f);
    } else {
        to_process(w, f);
    }
}

/* ---- the course --------------------------------------------------------------------------- */

/* How long after the heal the last ring may be due: those who were rung often wait long. */
static int64_t longest_ring_wait(const struct world *w)
{
    int64_t longest = 0;
    for (int i = 0; i < w->db->runs; i++)
        for (int k = 0; k < w->db->run[i].slices; k++) {
            const struct db_slice *s = &w->db->run[i].slice[k];
            int64_t wait = s->state == DB_PENDING ? model_db_ring_wait(s) : 0;
            longest = wait > longest ? wait : longest;
        }
    return longest;
}

/* What the engine needs for everything, four times over: workers take turns at a small limit. */
static int64_t work(const struct world *w)
{
    int64_t calls = 0;
    for (int i = 0; i < w->set.jobs; i++)
        calls += 3 * w->db->job[i].roster;
    return 4 * calls * w->set.latency_ms / w->set.concurrency;
}

static void heal(struct world *w)
{
    struct nemesis *n = w->nemesis;
    world_trace(w, "---- healed");
    for (int e = 0; e < ENGINES_MAX; e++)
        model_engine_weather(w->engine, e, FAIR);
    for (int i = 0; i < w->set.jobs; i++)
        w->db->job[i].broken_until = 0;
    n->database_away = n->kafka_away = 0;
    n->phase = HEALED;
    n->phase_ends =
        w->now + REST_MS + work(w) + 2 * longest_ring_wait(w) + (w->set.poison ? POISON_MS : 0);
}

static bool at_rest(const struct world *w)
{
    for (int i = 0; i < w->set.jobs; i++)
        if (w->db->job[i].requests > 0)
            return false;
    for (int i = 0; i < w->db->runs; i++)
        if (!run_state_ended(w->db->run[i].state))
            return false;
    for (int i = 0; i < PROCESSES; i++)
        if (w->nemesis->ending[i] || w->process[i].frozen_until > w->now)
            return false;
    return model_kafka_lag(w->kafka) == 0;
}

static void send_home(struct world *w)
{
    struct nemesis *n = w->nemesis;
    world_trace(w, "---- all at rest: everybody goes home");
    n->phase = LEAVING;
    n->phase_ends = w->now + LEAVE_MS;
    for (int i = 0; i < PROCESSES; i++)
        if (w->process[i].alive)
            at(w, i, world_between(w, 0, 5000), drains, DRAIN_MS);
}

static bool anybody_lives(const struct world *w)
{
    for (int i = 0; i < PROCESSES; i++)
        if (w->process[i].alive)
            return true;
    return false;
}

/* Where only subjects are left that always fail, no probe opens the engine again: until their tries
 * are charged after all. */
static bool engine_closed(const struct world *w)
{
    for (int e = 0; e < w->set.engines; e++)
        if (w->db->engine[e].closed_since >= 0)
            return true;
    return false;
}

static void late(struct world *w)
{
    struct nemesis *n = w->nemesis;
    int open = 0;
    if (n->phase == HEALED && !n->patient) {
        n->patient = true;
        n->phase_ends +=
            2 * longest_ring_wait(w) + (n->closed ? OUTAGE_CHARGED_AFTER_MS + CHARGING_MS : 0);
        return;
    }
    for (int i = 0; i < w->db->runs; i++)
        open += !run_state_ended(w->db->run[i].state);
    if (n->phase == LEAVING)
        world_broken(w, "somebody does not leave");
    else
        world_broken(w, "not at rest long after the heal: %d runs open, lag %d", open,
                     (int)model_kafka_lag(w->kafka));
}

static void tick(struct world *w, void *data)
{
    struct nemesis *n = w->nemesis;
    for (int i = 0; i < PROCESSES; i++)
        if (w->process[i].alive && w->process[i].frozen_until <= w->now)
            w->process[i].silent_since = INT64_MAX;
    model_kafka_watch(w->kafka);
    n->closed |= n->phase == HEALED && engine_closed(w);
    if (n->phase == FAULTS_LAST && !world_faulty(w))
        heal(w);
    else if (n->phase == HEALED && at_rest(w))
        send_home(w);
    else if (n->phase == LEAVING && !anybody_lives(w))
        n->phase = OVER;
    if (n->phase == OVER)
        checker_at_rest(w);
    else if (n->phase != FAULTS_LAST && w->now > n->phase_ends)
        late(w);
    world_at(w, w->now + TICK_MS, tick, data);
}

void nemesis_begin(struct world *w)
{
    struct nemesis *n = world_data(sizeof(*n));
    w->nemesis = n;
    for (int e = 0; e < w->set.engines; e++)
        w->kafka->topic[e].exists = world_chance(w, 500);
    for (int i = 0; i < w->set.workers; i++)
        at(w, i, world_between(w, 0, 3000), starts, 0);
    for (int i = 0; i < w->set.producers; i++)
        at(w, WORKERS_MAX + i, world_between(w, 0, 3000), starts, 0);
    int64_t lasts = w->set.heal_at - w->now;
    at(w, 0, world_between(w, 0, 1000), asks_for, 0);
    at(w, 0, world_between(w, 0, lasts), asks_for, 0);
    at(w, 0, world_between(w, 0, lasts), asks_for, w->set.jobs - 1);
    at(w, 0, world_between(w, 3000, lasts - 1), something,
       world_chance(w, 600) ? FAULT_CRASH_WORKER : FAULT_CRASH_PRODUCER);
    for (int64_t i = world_between(w, 1, 9); i > 0; i--)
        at(w, 0, world_between(w, 500, lasts - 1), something, -1);
    world_at(w, w->now, tick, NULL);
}

bool nemesis_over(const struct world *w)
{
    return w->nemesis->phase == OVER;
}

bool nemesis_database_away(const struct world *w)
{
    return w->nemesis->database_away > w->now;
}

bool nemesis_kafka_away(const struct world *w)
{
    return w->nemesis->kafka_away > w->now;
}

bool nemesis_kafka_was_away(const struct world *w)
{
    return w->nemesis->kafka_away + OFFSET_STILL_MS > w->now;
}
