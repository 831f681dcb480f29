/* See nemesis.h. */
#include "nemesis.h"

#include "checker.h"
#include "model_db.h"
#include "model_engine.h"
#include "model_kafka.h"
#include "nemesis_books.h"
#include "sim_producer.h"
#include "sim_worker.h"

#include <stdlib.h>

#define TICK_MS 250
#define REST_MS 240000   /* from the heal to rest, beside what is due by then */
#define POISON_MS 900000 /* five workers die of it, and each time its claim has to go stale */
#define CHARGING_MS (2 * ENGINE_TRIES * 30000) /* of a subject: probes, at most 30 s apart */
#define LEAVE_MS 30000                         /* from SIGTERM to the last one's end */

/* ---- processes come and go ---------------------------------------------------------------- */

void nemesis_at(struct world *w, int process, int64_t after, event_fn fn, int64_t ms)
{
    struct visit *v = world_data(sizeof(*v));
    *v = (struct visit){process_address(w, process), ms};
    world_at(w, w->now + after, fn, v);
}

bool nemesis_is_worker(int process)
{
    return process < WORKERS_MAX;
}

static void start(struct world *w, int process)
{
    w->nemesis->ending[process] = false;
    if (nemesis_is_worker(process))
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

void nemesis_kill(struct world *w, int process)
{
    if (nemesis_is_worker(process))
        worker_kill(w, process);
    else
        producer_kill(w, process);
    nemesis_at(w, process, world_between(w, 0, 8000), starts, 0);
}

static void ends(struct world *w, void *data)
{
    const struct visit *v = data;
    const struct process *p = &w->process[v->to.process];
    if (p->alive && p->incarnation == v->to.incarnation)
        nemesis_kill(w, v->to.process);
    free(data);
}

void nemesis_left(struct world *w, struct address a)
{
    nemesis_at(w, a.process, world_between(w, 0, 2000), ends, 0);
}

void nemesis_poison(struct world *w, struct address a)
{
    if (w->nemesis->ending[a.process])
        return;
    w->nemesis->ending[a.process] = true;
    world_count(w, FAULT_POISON);
    nemesis_at(w, a.process, 20, ends, 0);
}

void nemesis_drains(struct world *w, void *data)
{
    struct visit *v = data;
    if (!process_ready(w, v->to, nemesis_drains, v))
        return;
    world_trace(w, "process %d is told to go", v->to.process);
    if (nemesis_is_worker(v->to.process))
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

void nemesis_ring(struct world *w)
{
    for (int i = WORKERS_MAX; i < WORKERS_MAX + w->set.producers; i++)
        if (w->process[i].alive)
            nemesis_at(w, i, world_between(w, 1, 50), rings, 0);
}

void nemesis_asks_for(struct world *w, void *data)
{
    const struct visit *v = data;
    model_db_request(w->db, (int)v->ms);
    nemesis_ring(w);
    free(data);
}

bool nemesis_replays(struct world *w, struct db_run *r)
{
    bool errors = world_chance(w, 700), unreached = !errors || world_chance(w, 700);
    if (w->nemesis->phase == HEALED)
        errors = unreached = true;
    if (model_db_open_replay(w->db, r, errors, unreached, (int)world_between(w, 1, SUBJECTS_MAX)) ==
        NULL)
        return false;
    world_count(w, FAULT_REPLAY);
    world_trace(w, "run %d is replayed", (int)(r - w->db->run));
    nemesis_ring(w);
    return true;
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
    int slowest = w->db->engine[0].concurrency;
    for (int e = 1; e < w->set.engines; e++)
        if (w->db->engine[e].concurrency < slowest)
            slowest = w->db->engine[e].concurrency;
    return 4 * calls * w->set.latency_ms / slowest;
}

static void heal(struct world *w)
{
    struct nemesis *n = w->nemesis;
    world_trace(w, "---- healed");
    for (int e = 0; e < ENGINES_MAX; e++)
        model_engine_weather(w->engine, e, FAIR);
    for (int i = 0; i < w->set.jobs; i++)
        w->db->job[i].broken_until = 0;
    for (int i = 0; i < PROCESSES; i++)
        w->process[i].links_hang_until = w->process[i].engine_cut_until = 0;
    model_kafka_mend(w->kafka);
    n->database_away = n->kafka_away = n->disk_full = 0;
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

/* An operator replays what the faults have cost; true: there was something to do. */
static bool makes_good(struct world *w)
{
    struct nemesis *n = w->nemesis;
    bool any = false;
    for (int i = 0; i < w->db->runs && w->set.on[FAULT_REPLAY]; i++)
        if (w->db->run[i].parent < 0)
            any |= nemesis_replays(w, &w->db->run[i]);
    world_trace(w, "---- all at rest%s", any ? ": what went wrong is replayed" : "");
    n->phase = MADE_GOOD;
    n->patient = n->closed = false;
    n->phase_ends = w->now + REST_MS + work(w) + (w->set.poison ? POISON_MS : 0);
    return any;
}

static void send_home(struct world *w)
{
    struct nemesis *n = w->nemesis;
    world_trace(w, "---- everybody goes home");
    n->phase = LEAVING;
    n->phase_ends = w->now + LEAVE_MS;
    for (int i = 0; i < PROCESSES; i++)
        if (w->process[i].alive)
            nemesis_at(w, i, world_between(w, 0, 5000), nemesis_drains, DRAIN_MS);
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

static int hopeless(const struct world *w, const struct db_run *r, const struct db_slice *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += model_db_kind(w, r->job, model_db_position(r, s->first + i)) == SUBJECT_SICK;
    return n;
}

/* What it takes to charge those who always fail, one probe after the other. */
static int64_t charging(const struct world *w)
{
    int n = 1;
    for (int i = 0; i < w->db->runs; i++)
        for (int k = 0; k < w->db->run[i].slices; k++)
            if (w->db->run[i].slice[k].state == DB_PENDING)
                n += hopeless(w, &w->db->run[i], &w->db->run[i].slice[k]);
    return n * CHARGING_MS;
}

static void late(struct world *w)
{
    struct nemesis *n = w->nemesis;
    int open = 0;
    if ((n->phase == HEALED || n->phase == MADE_GOOD) && !n->patient) {
        n->patient = true;
        n->phase_ends +=
            2 * longest_ring_wait(w) + (n->closed ? OUTAGE_CHARGED_AFTER_MS + charging(w) : 0);
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

/* What is seen of a process from outside: whether it lives, and what a scrape reads. */
static void look_at(struct world *w, int i)
{
    struct process *p = &w->process[i];
    if (!p->alive || p->frozen_until >= w->now)
        return;
    p->silent_since = INT64_MAX;
    if (nemesis_is_worker(i))
        worker_look(w, i);
    else
        (void)producer_is_zombie(w, i);
}

static void next_phase(struct world *w)
{
    struct nemesis *n = w->nemesis;
    if (n->phase == FAULTS_LAST && !world_faulty(w))
        heal(w);
    else if (n->phase == HEALED && at_rest(w))
        (void)makes_good(w);
    else if (n->phase == MADE_GOOD && at_rest(w))
        send_home(w);
    else if (n->phase == LEAVING && !anybody_lives(w))
        n->phase = OVER;
}

static void tick(struct world *w, void *data)
{
    struct nemesis *n = w->nemesis;
    for (int i = 0; i < PROCESSES; i++)
        look_at(w, i);
    model_kafka_watch(w->kafka);
    checker_watch(w);
    n->closed |= (n->phase == HEALED || n->phase == MADE_GOOD) && engine_closed(w);
    next_phase(w);
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
        nemesis_at(w, i, world_between(w, 0, 3000), starts, 0);
    for (int i = 0; i < w->set.producers; i++)
        nemesis_at(w, WORKERS_MAX + i, world_between(w, 0, 3000), starts, 0);
    int64_t lasts = w->set.heal_at - w->now;
    nemesis_at(w, 0, world_between(w, 0, 1000), nemesis_asks_for, 0);
    nemesis_at(w, 0, world_between(w, 0, lasts), nemesis_asks_for, 0);
    for (int job = 1; job < w->set.jobs; job++)
        nemesis_at(w, 0, world_between(w, 0, w->set.jobs > 2 ? 2000 : lasts), nemesis_asks_for,
                   job);
    if (w->set.on[FAULT_ENGINE_LONG_AWAY])
        nemesis_at(w, 0, world_between(w, 500, 10000), nemesis_strikes, FAULT_ENGINE_LONG_AWAY);
    for (int i = 0; i < w->set.strikes; i++)
        nemesis_at(w, 0, world_between(w, 500, lasts - 1), nemesis_strikes, -1);
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

bool nemesis_disk_full(const struct world *w)
{
    return w->nemesis->disk_full > w->now;
}

bool nemesis_made_good(const struct world *w)
{
    return w->nemesis->phase > HEALED && w->set.on[FAULT_REPLAY] && !w->set.poison &&
           w->db->runs < RUNS_MAX;
}
