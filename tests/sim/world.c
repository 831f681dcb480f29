/* See world.h. */
#include "world.h"

#include "checker.h"
#include "model_db.h"
#include "model_engine.h"
#include "model_kafka.h"
#include "nemesis.h"
#include "sim_producer.h"
#include "sim_worker.h"
#include "swarm.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LIVELOCK 20000 /* events without the clock moving */

struct world *world_new(uint64_t seed, bool trace, struct tally *tally)
{
    struct world *w = world_data(sizeof(*w));
    w->magic = WORLD_MAGIC;
    w->seed = seed;
    w->trace = trace;
    w->tally = tally;
    w->now = WORLD_START;
    rng_seed(&w->rng, seed);
    swarm_draw(w);
    for (int i = 0; i < PROCESSES; i++)
        w->process[i].silent_since = w->now;
    w->db = model_db_new(w);
    w->kafka = model_kafka_new(w);
    w->engine = model_engine_new(w);
    w->checker = checker_new();
    w->workers = workers_new(w);
    w->producers = producers_new(w);
    return w;
}

void world_free(struct world *w)
{
    workers_free(w);
    producers_free(w);
    checker_free(w->checker);
    model_engine_free(w->engine);
    model_kafka_free(w->kafka);
    model_db_free(w->db);
    free(w->nemesis);
    heap_release(&w->heap);
    free(w);
}

void world_run(struct world *w)
{
    struct event e;
    uint64_t still = 0;
    nemesis_begin(w);
    while (!w->broken && !nemesis_over(w) && heap_pop(&w->heap, &e)) {
        still = e.at > w->now ? 0 : still + 1;
        w->now = e.at > w->now ? e.at : w->now;
        if (still > LIVELOCK)
            world_broken(w, "livelock: %d events and the clock stands still", LIVELOCK);
        w->tally->events++;
        e.fn(w, e.data);
    }
    if (!w->broken && !nemesis_over(w))
        world_broken(w, "nothing happens any more");
    w->tally->virtual_s += (double)(w->now - WORLD_START) / 1000;
}

/* ---- time ---------------------------------------------------------------------------------- */

void world_at(struct world *w, int64_t at, event_fn fn, void *data)
{
    heap_push(&w->heap, at, fn, data);
}

bool world_faulty(const struct world *w)
{
    return w->now < w->set.heal_at;
}

bool world_fault(struct world *w, enum fault f, int per_mille)
{
    if (!w->set.on[f] || !world_faulty(w) || !world_chance(w, per_mille))
        return false;
    world_count(w, f);
    return true;
}

void world_count(struct world *w, enum fault f)
{
    w->tally->faults[f]++;
}

/* ---- processes ---------------------------------------------------------------------------- */

struct address process_address(const struct world *w, int process)
{
    return (struct address){process, w->process[process].incarnation};
}

bool process_ready(struct world *w, struct address to, event_fn fn, void *data)
{
    const struct process *p = &w->process[to.process];
    if (!p->alive || p->incarnation != to.incarnation) {
        free(data);
        return false;
    }
    if (p->frozen_until > w->now) {
        world_at(w, p->frozen_until, fn, data);
        return false;
    }
    return true;
}

int64_t process_name(struct address a)
{
    return (int64_t)a.incarnation * PROCESSES + a.process + 1;
}

/* ---- what is said ------------------------------------------------------------------------- */

void world_broken(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (w->broken)
        return;
    w->broken = true;
    va_start(ap, fmt);
    vsnprintf(w->why, sizeof(w->why), fmt, ap);
    va_end(ap);
    world_trace(w, "BROKEN: %s", w->why);
}

void world_trace(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (!w->trace)
        return;
    printf("%10.3f  ", (double)(w->now - WORLD_START) / 1000);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}
