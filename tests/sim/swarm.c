/* See swarm.h. Numbers in "of a thousand" are chances. */
#include "swarm.h"

#include "limits.h"
#include "world.h"

#define OUTLASTS_MS (OUTAGE_CHARGED_AFTER_MS + 300000)

static void draw_kinds(struct world *w)
{
    static const int shares[] = {1000, 800, 500, 300, 100}; /* of a thousand */
    int share = shares[rng_below(&w->rng, COUNT_OF(shares))];
    for (int f = 0; f < FAULTS; f++)
        w->set.on[f] = world_chance(w, share);
    w->set.on[FAULT_ENGINE_LONG_AWAY] = world_chance(w, 4); /* takes twenty times as long */
}

static void draw_fleet(struct world *w)
{
    struct settings *s = &w->set;
    bool many_jobs = world_chance(w, 30);
    s->workers = (int)world_between(w, world_chance(w, 100) ? 1 : 2, WORKERS_MAX);
    s->producers = many_jobs ? 1 : (int)world_between(w, 1, PRODUCERS_MAX);
    s->engines = (int)world_between(w, 1, ENGINES_MAX);
    s->jobs = many_jobs ? JOBS_MAX : (int)world_between(w, 1, 2);
    s->partitions = (int)world_between(w, 1, PARTITIONS_MAX);
    s->judges = (int)world_between(w, 1, 3);
}

static void draw_engine(struct world *w)
{
    struct settings *s = &w->set;
    s->concurrency = (int)world_between(w, 1, world_chance(w, 100) ? 40 : 8);
    s->latency_ms = (int)world_between(w, 5, 400);
    if (world_chance(w, 100))
        s->latency_ms = world_chance(w, 500) ? 1 : 2000;
    int64_t shortest = s->latency_ms > 400 ? ENGINE_TIMEOUT_MS : 1000; /* above twice the latency */
    s->call_timeout_ms =
        (int)world_between(w, shortest, world_chance(w, 100) ? ENGINE_TIMEOUT_MAX_MS : 5000);
    s->ineligible = world_chance(w, 200) ? 70 : (int)world_between(w, 0, 20);
    s->poison = s->on[FAULT_POISON] && world_chance(w, 120);
}

void swarm_draw(struct world *w)
{
    struct settings *s = &w->set;
    draw_kinds(w);
    draw_fleet(w);
    draw_engine(w);
    s->statement_faults = (int)world_between(w, 0, 60);
    s->message_faults = (int)world_between(w, 0, 60);
    s->call_faults = (int)world_between(w, 0, 60);
    s->strikes = (int)world_between(w, 1, 16);
    s->heal_at = w->now + world_between(w, 15000, 60000);
    if (s->on[FAULT_ENGINE_LONG_AWAY])
        s->heal_at += OUTLASTS_MS;
}
