/* See sim_worker.h: life and death, the alarm clock, and the ops that are not statements. Those are
 * in worker_statements.c. */
#include "sim_worker.h"

#include "checker.h"
#include "model_db.h"
#include "model_engine.h"
#include "model_kafka.h"
#include "nemesis.h"
#include "worker_statements.h"

#include <stdlib.h>

static struct sim_worker *self(void *world)
{
    return CHECK_MAGIC(struct sim_worker, world, SIM_WORKER_MAGIC);
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
    struct sim_worker *me = &w->workers[a->to.process];
    free(a);
    if (w->now < me->wake_at)
        return; /* an earlier one has rung meanwhile, and set the next */
    me->wake_at = INT64_MAX;
    if (pool_next_wake(me->pool) <= w->now)
        pool_tick(me->pool);
    worker_rearm(me);
}

void worker_rearm(struct sim_worker *me)
{
    struct world *w = me->world;
    int64_t next = pool_next_wake(me->pool);
    if (next >= me->wake_at)
        return;
    struct alarm *a = world_data(sizeof(*a));
    a->to = process_address(w, me->process);
    me->wake_at = next;
    world_at(w, next > w->now ? next : w->now, rings, a);
}

/* ---- ops ---------------------------------------------------------------------------------- */

void worker_asks(struct sim_worker *me, enum ask ask)
{
    me->world->tally->asks[ask]++;
    if (me->left && ask != ASK_UNASSIGN)
        world_broken(me->world, "worker %d has left and asks for something (%d)", me->process, ask);
}

static int64_t now_ms(void *world)
{
    return self(world)->world->now;
}

static bool take(void *world, struct pool_part part, struct pool_message *ret_m)
{
    struct sim_worker *me = self(world);
    struct world *w = me->world;
    return model_kafka_take(w->kafka, process_address(w, me->process), part, ret_m);
}

static void call(void *world, int engine, const struct engine_call *c)
{
    struct sim_worker *me = self(world);
    struct world *w = me->world;
    struct address from = process_address(w, me->process);
    const struct uuid *id = &c->claim->subject_ids[c->ref.subject];
    int run = c->invocation->b[15] - 1, position = id->b[14] << 8 | id->b[15];
    worker_asks(me, ASK_CALL);
    w->tally->calls++;
    world_trace(w, "worker %d calls the engine for run %d subject %d", me->process, run, position);
    model_engine_call(w->engine, from, engine, c->ref, run, id->b[0] - 1, position);
    checker_call(w, from, engine, (struct pool_ref){c->ref.slot, c->ref.generation}, run);
}

static void abort_calls(void *world, int engine, struct pool_ref ref)
{
    struct sim_worker *me = self(world);
    worker_asks(me, ASK_ABORT);
    model_engine_abort(me->world->engine, process_address(me->world, me->process), engine, ref);
}

static void store(void *world, struct pool_part part, int64_t next)
{
    struct sim_worker *me = self(world);
    worker_asks(me, ASK_STORE);
    world_trace(me->world, "worker %d stores %d/%d at %d", me->process, part.engine, part.partition,
                (int)next);
    model_kafka_store(me->world->kafka, process_address(me->world, me->process), part, next);
}

static void dead_letter(void *world, struct pool_part part, int64_t offset, const char *reason)
{
    struct sim_worker *me = self(world);
    worker_asks(me, ASK_DEAD_LETTER);
    world_trace(me->world, "worker %d: dead letter %d/%d/%d %s", me->process, part.engine,
                part.partition, (int)offset, reason);
}

static void unassign(void *world)
{
    struct sim_worker *me = self(world);
    worker_asks(me, ASK_UNASSIGN);
    world_trace(me->world, "worker %d unassigns", me->process);
    model_kafka_unassign(me->world->kafka, process_address(me->world, me->process));
}

static void leave(void *world)
{
    struct sim_worker *me = self(world);
    struct address from = process_address(me->world, me->process);
    worker_asks(me, ASK_LEAVE);
    world_trace(me->world, "worker %d leaves", me->process);
    checker_left(me->world, from);
    me->left = true;
    model_kafka_leave(me->world->kafka, from);
    nemesis_left(me->world, from);
}

static void note(void *world, const struct pool_note *n)
{
    struct sim_worker *me = self(world);
    world_trace(me->world, "worker %d notes %d: run %d slice %d", me->process, (int)n->kind,
                n->run.b[15] - 1, (int)n->slice);
}

/* ---- life --------------------------------------------------------------------------------- */

struct sim_worker *workers_new(struct world *w)
{
    struct sim_worker *all = world_data(WORKERS_MAX * sizeof(*all));
    for (int i = 0; i < WORKERS_MAX; i++)
        all[i] = (struct sim_worker){.magic = SIM_WORKER_MAGIC, .world = w, .process = i};
    return all;
}

void workers_free(struct world *w)
{
    for (int i = 0; i < WORKERS_MAX; i++) {
        worker_kill(w, i);
        pool_free(w->workers[i].pool); /* NULL now: allowed */
    }
    free(w->workers);
}

void worker_start(struct world *w, int process)
{
    struct sim_worker *me = &w->workers[process];
    struct process *p = &w->process[process];
    struct pool_engine engines[ENGINES_MAX] = {
        {.name = "http", .timeout_ms = w->set.call_timeout_ms},
        {.name = "sql", .timeout_ms = w->set.call_timeout_ms, .bulk = w->set.judges}};
    struct pool_config cfg = {
        .engines = engines, .engine_count = w->set.engines, .seed = rng_next(&w->rng)};
    struct pool_ops ops = {.world = me,
                           .now_ms = now_ms,
                           .take = take,
                           .call = call,
                           .abort_calls = abort_calls,
                           .store = store,
                           .dead_letter = dead_letter,
                           .unassign = unassign,
                           .leave = leave,
                           .note = note};
    worker_statement_ops(&ops);
    *p = (struct process){
        .alive = true, .incarnation = p->incarnation + 1, .silent_since = INT64_MAX};
    me->left = false;
    me->wake_at = INT64_MAX;
    me->pool = pool_new(&cfg, &ops, NULL);
    if (me->pool == NULL)
        abort();
    world_trace(w, "worker %d starts", process);
    checker_started(w, process_address(w, process));
    model_kafka_join(w->kafka, process_address(w, process));
    worker_rearm(me);
}

void worker_kill(struct world *w, int process)
{
    struct sim_worker *me = &w->workers[process];
    struct process *p = &w->process[process];
    if (!p->alive)
        return;
    world_trace(w, "worker %d ends", process);
    tally_edges(w->tally, me->pool);
    pool_free(TAKE(me->pool));
    p->alive = false;
    if (p->silent_since > w->now)
        p->silent_since = w->now;
}

void worker_drain(struct world *w, int process, int64_t drain_ms)
{
    struct sim_worker *me = &w->workers[process];
    checker_draining(w, process_address(w, process), drain_ms);
    pool_drain(me->pool, drain_ms);
    worker_rearm(me);
}

/* What a scrape reads, against what the engine knows. A bulk engine's judges are statements. */
void worker_look(struct world *w, int process)
{
    const struct sim_worker *me = &w->workers[process];
    for (int e = 0; e < w->set.engines && !me->left; e++) {
        struct pool_numbers n = pool_numbers(me->pool, e);
        int calls = model_engine_calls_of(w->engine, process_address(w, process), e);
        if (e != ENGINE_BULK && n.calls != calls)
            world_broken(w, "worker %d counts %d calls of engine %d, there are %d", process,
                         n.calls, e, calls);
    }
}

/* ---- what the models tell it -------------------------------------------------------------- */

void worker_assigned(struct world *w, int process, const struct pool_part *parts, int n)
{
    world_trace(w, "worker %d is assigned %d partitions", process, n);
    pool_assigned(w->workers[process].pool, parts, n);
    worker_rearm(&w->workers[process]);
}

void worker_revoked(struct world *w, int process, bool lost)
{
    world_trace(w, "worker %d is revoked%s", process, lost ? " (lost)" : "");
    pool_revoked(w->workers[process].pool, lost);
    worker_rearm(&w->workers[process]);
}

void worker_messages_waiting(struct world *w, int process)
{
    pool_messages_waiting(w->workers[process].pool);
    worker_rearm(&w->workers[process]);
}

void worker_answered(struct world *w, int process, struct call_ref ref, struct answer *answer)
{
    pool_answered(w->workers[process].pool, ref, answer);
    worker_rearm(&w->workers[process]);
}
