/* See sim_producer.h: life and death, and the alarm clock. */
#include "sim_producer.h"

#include "model_db.h"
#include "nemesis.h"
#include "producer_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const engine_names[ENGINES_MAX] = {"http", "sql"};

struct sim_producer *producer_self(void *world)
{
    return CHECK_MAGIC(struct sim_producer, world, SIM_PRODUCER_MAGIC);
}

struct sim_producer *producer_of(struct world *w, struct address a)
{
    return &w->producers[a.process - WORKERS_MAX];
}

const char *producer_engine_name(int engine)
{
    return engine_names[engine];
}

int producer_engine(const char *name)
{
    for (int i = 0; i < ENGINES_MAX; i++)
        if (strcmp(name, engine_names[i]) == 0)
            return i;
    return -1;
}

void producer_asks(struct sim_producer *me, enum ask ask)
{
    me->world->tally->asks[ask]++;
    if (me->stopped)
        world_broken(me->world, "producer %d has stopped and asks for something (%d)", me->process,
                     ask);
}

/* ---- the alarm clock ---------------------------------------------------------------------- */

struct alarm {
    struct address to;
};

static void rings(struct world *w, void *data)
{
    struct alarm *a = data;
    if (!process_ready(w, a->to, rings, a))
        return;
    struct sim_producer *me = producer_of(w, a->to);
    free(a);
    if (w->now < me->wake_at)
        return; /* an earlier one has rung meanwhile, and set the next */
    me->wake_at = INT64_MAX;
    if (run_core_next_wake(me->core) <= w->now)
        run_core_tick(me->core);
    producer_rearm(me);
}

void producer_rearm(struct sim_producer *me)
{
    struct world *w = me->world;
    int64_t next = run_core_next_wake(me->core);
    if (next >= me->wake_at)
        return;
    struct alarm *a = world_data(sizeof(*a));
    a->to = process_address(w, me->process);
    me->wake_at = next;
    world_at(w, next > w->now ? next : w->now, rings, a);
}

/* ---- life --------------------------------------------------------------------------------- */

static int64_t now_ms(void *world)
{
    return producer_self(world)->world->now;
}

static void stopped(void *world)
{
    struct sim_producer *me = producer_self(world);
    producer_asks(me, ASK_STOPPED);
    world_trace(me->world, "producer %d has stopped", me->process);
    me->stopped = true;
    nemesis_left(me->world, process_address(me->world, me->process));
}

static void note(void *world, const struct run_note *n)
{
    struct sim_producer *me = producer_self(world);
    world_trace(me->world, "producer %d notes %d: run %d, %d slices", me->process, (int)n->kind,
                n->run->run_id.b[15] - 1, n->slices);
}

struct sim_producer *producers_new(struct world *w)
{
    struct sim_producer *all = world_data(PRODUCERS_MAX * sizeof(*all));
    for (int i = 0; i < PRODUCERS_MAX; i++)
        all[i] = (struct sim_producer){
            .magic = SIM_PRODUCER_MAGIC, .world = w, .process = WORKERS_MAX + i};
    return all;
}

void producers_free(struct world *w)
{
    for (int i = 0; i < PRODUCERS_MAX; i++) {
        producer_kill(w, WORKERS_MAX + i);
        run_core_free(w->producers[i].core); /* NULL now: allowed */
    }
    free(w->producers);
}

void producer_start(struct world *w, int process)
{
    struct sim_producer *me = &w->producers[process - WORKERS_MAX];
    struct process *p = &w->process[process];
    struct run_ops ops = {.world = me, .now_ms = now_ms, .stopped = stopped, .note = note};
    producer_statement_ops(&ops);
    producer_message_ops(&ops);
    *p = (struct process){
        .alive = true, .incarnation = p->incarnation + 1, .silent_since = INT64_MAX};
    me->stopped = false;
    me->wake_at = INT64_MAX;
    me->core = run_core_new(&ops, NULL);
    if (me->core == NULL)
        abort();
    world_trace(w, "producer %d starts", process);
    for (int e = 0; e < w->set.engines; e++)
        run_core_engine(me->core, engine_names[e], w->db->engine[e].partitions);
    run_core_listening(me->core, world_chance(w, 500));
    producer_rearm(me);
}

void producer_kill(struct world *w, int process)
{
    struct sim_producer *me = &w->producers[process - WORKERS_MAX];
    struct process *p = &w->process[process];
    if (!p->alive)
        return;
    world_trace(w, "producer %d ends", process);
    run_core_free(TAKE(me->core));
    p->alive = false;
    if (p->silent_since > w->now)
        p->silent_since = w->now;
}

void producer_drain(struct world *w, int process)
{
    struct sim_producer *me = &w->producers[process - WORKERS_MAX];
    run_core_drain(me->core);
    producer_rearm(me);
}

void producer_engines_set(struct world *w, int process, int added)
{
    struct sim_producer *me = &w->producers[process - WORKERS_MAX];
    for (int e = 0; e < w->set.engines; e++)
        run_core_engine(me->core, engine_names[e], w->db->engine[e].partitions);
    for (int i = 0; i < added; i++) {
        char name[24];
        snprintf(name, sizeof(name), "other_%d", i);
        run_core_engine(me->core, name, 3);
    }
    producer_rearm(me);
}

void producer_listening(struct world *w, int process, bool proven)
{
    struct sim_producer *me = &w->producers[process - WORKERS_MAX];
    run_core_listening(me->core, proven);
    producer_rearm(me);
}

/* What a scrape reads; and whether it leads a run whose lease another has. */
bool producer_is_zombie(struct world *w, int process)
{
    const struct sim_producer *me = &w->producers[process - WORKERS_MAX];
    struct run_progress progress;
    bool zombie = false;
    int leads = run_core_leads(me->core);
    for (int i = 0; i < leads; i++) {
        const struct opened_run *run = run_core_lead(me->core, i, &progress);
        if (run == NULL) {
            world_broken(w, "producer %d leads %d runs, and the %dth is not there", process, leads,
                         i);
            return false;
        }
        const struct db_run *r = model_db_run(w->db, &run->run_id);
        zombie |= r != NULL && r->fence != run->fence;
    }
    if (run_core_lead(me->core, leads, &progress) != NULL)
        world_broken(w, "producer %d leads more runs than %d", process, leads);
    return zombie;
}

void producer_rung(struct world *w, int process)
{
    struct sim_producer *me = &w->producers[process - WORKERS_MAX];
    run_core_rung(me->core);
    producer_rearm(me);
}
