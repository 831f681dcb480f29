/* One seed's world: its clock, its random numbers, its processes and what they share. Everything
 * that happens is an event on one heap; nothing here looks at a real clock.
 *
 * A process that is dead gets nothing; one that stands still gets what came meanwhile when it
 * wakes. Both are decided here (process_ready), so that no adapter can forget it. */
#ifndef REVEILLE_SIM_WORLD_H
#define REVEILLE_SIM_WORLD_H

#include "attrs.h"
#include "backoff.h"
#include "heap.h"
#include "tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_MAGIC 0x51301d01u
#define WORKERS_MAX 5
#define PRODUCERS_MAX 3
#define PROCESSES (WORKERS_MAX + PRODUCERS_MAX) /* workers first */
#define ENGINES_MAX 2
#define ENGINE_BULK 1 /* this one of them judges whole slices */
#define JOBS_MAX 18   /* more than a producer leads at a time */
#define RUNS_MAX 40
#define SLICES_MAX 48
#define SUBJECTS_MAX 5 /* of a slice */
#define PARTITIONS_MAX 6
#define WORLD_START 1000000 /* ms; not 0, because cores use 0 for "never" */

struct settings {    /* drawn from the seed: swarm.c */
    bool on[FAULTS]; /* which kinds of fault there are at all */
    int workers, producers, engines, jobs, partitions;
    int strikes; /* of the nemesis, at about so many moments */
    int concurrency, latency_ms, call_timeout_ms;
    int judges; /* slices a worker has judged at a time by a bulk engine */
    int statement_faults, message_faults, call_faults; /* of a thousand, while faults last */
    int ineligible;                                    /* of a hundred */
    int64_t heal_at;
    bool poison;
};

struct address { /* whom an event is for; the first field of its data */
    int process;
    uint32_t incarnation;
};

struct process {
    bool alive;
    uint32_t incarnation;
    int64_t frozen_until;
    int64_t silent_since; /* dead or frozen since then; INT64_MAX: neither */
    int64_t links_hang_until, engine_cut_until;
};

struct world {
    unsigned magic;
    uint64_t seed;
    bool trace;
    struct rng rng;
    struct settings set;
    int64_t now;
    struct heap heap;
    struct process process[PROCESSES];
    struct tally *tally;
    struct model_db *db;
    struct model_kafka *kafka;
    struct model_engine *engine;
    struct checker *checker;
    struct sim_worker *workers;
    struct sim_producer *producers;
    struct nemesis *nemesis;
    uint32_t database_life; /* grows when the database crashes: what was under way is gone */
    bool broken;
    char why[300];
};

struct world *world_new(uint64_t seed, bool trace, struct tally *tally);
void world_free(struct world *w);

/* Runs until everything is at rest, or an invariant is broken (w->broken, w->why). */
void world_run(struct world *w);

/* ---- time and chance */
void world_at(struct world *w, int64_t at, event_fn fn, void *data); /* takes data */
void *world_data(size_t size);                                       /* zeroed; never NULL */
int64_t world_between(struct world *w, int64_t low, int64_t high);   /* both included */
bool world_chance(struct world *w, int per_mille);
bool world_faulty(const struct world *w); /* before the heal */
/* Chance of a fault, before the heal only, if the seed has its kind; counted when it comes true. */
bool world_fault(struct world *w, enum fault f, int per_mille);
void world_count(struct world *w, enum fault f);

/* ---- processes */
struct address process_address(const struct world *w, int process);
/* True: handle it now. False: it was dropped (dead; data is freed) or put off (frozen). */
bool process_ready(struct world *w, struct address to, event_fn fn, void *data);
/* A number that names one incarnation, never 0. */
int64_t process_name(struct address a);

/* ---- what is said */
void world_broken(struct world *w, const char *fmt, ...)
    PRINTF_LIKE(2, 3); /* the first one counts */
void world_trace(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
