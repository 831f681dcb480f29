/* The worker's handles and how they come up and go down. main.c makes them in order, worker_world.c
 * ties the core to them, worker_life.c starts the intake and ends it all. Nobody else looks inside.
 *
 * SIGTERM, SIGINT: drain and leave, 0; a second one leaves at once, 1. SIGHUP: secrets and log
 * level are read again. SIGPIPE is ignored. SIGKILL costs the slices in flight some time, nothing
 * else. */
#ifndef REVEILLE_WORKER_H
#define REVEILLE_WORKER_H

#include "config.h"
#include "db.h"
#include "engine_sql.h"
#include "engines.h"
#include "incarnation.h"
#include "intake.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "pool_core.h"
#include "process.h"
#include "schema_gate.h"
#include "settle.h"
#include "share_store.h"
#include "slice_store.h"
#include "worker_health.h"
#include "worker_notes.h"

#define WORKER_MAGIC 0x776f726bu
#define WORKER_LINK_MAGIC 0x776c6e6bu

/* One of the ways to the database. */
struct worker_link {
    unsigned magic;
    struct worker *worker;
    const char *name;
    struct db *db;
    bool was_up;
};

struct worker {
    unsigned magic;
    char name[INCARNATION_SIZE]; /* the claimed_by of its claims */
    const char *const *env;
    struct config *cfg;
    struct log *log;
    struct loop *loop;
    struct metrics *metrics;
    struct worker_link work;  /* claims, settles: 3 statements at a time */
    struct worker_link lease; /* renewals and shares: nothing slow stands before them */
    struct worker_link judge; /* the sql engine's, where there is one: it stands before nothing */
    struct engines *engines;
    char topics[POOL_ENGINES_MAX][BROKER_TOPIC_SIZE];
    struct worker_notes *notes;
    struct slice_store *slices;
    struct settle *settle;
    struct engine_sql *sql; /* NULL: no bulk engine */
    struct share_store *shares;
    struct pool *pool;
    struct worker_health *health;
    struct schema_gate *gate;
    struct intake *intake; /* NULL until the schema is there */
    struct process *process;
    struct loop_timer *wake;  /* pool_tick */
    struct loop_timer *leave; /* leaving, outside of the core's call */

    int64_t started_ms, wake_at; /* wake_at: INT64_MAX: not armed */
    int partitions, released;    /* held; claims given back since the group last took any */
    bool lost;                   /* the last revoke came too late */
    bool member;                 /* the group has given partitions once, be it none */
    bool was_ready, said_waiting, draining, stopped;
    bool hurried; /* stopped before the group was left */
    int exit_code;
};

#define WORKER_INIT \
    ((struct worker){.magic = WORKER_MAGIC, .wake_at = INT64_MAX, .exit_code = EXIT_FAILURE})

/* What must be set, and the engines, which know what they need: for --check-config and the start.
 */
int worker_check(struct worker *w, struct err *err) MUST_CHECK;

/* The lines of main, in this order. */
int worker_set_up(struct worker *w, struct err *err) MUST_CHECK;   /* log, name, metrics */
int worker_connect(struct worker *w, struct err *err) MUST_CHECK;  /* to the database */
int worker_assemble(struct worker *w, struct err *err) MUST_CHECK; /* the core and its adapters */
int worker_open(struct worker *w, struct err *err) MUST_CHECK;     /* health, signals, intake */
void worker_release(struct worker *w);                             /* whatever there is */

/* ---- worker_world.c: the core's world */
int worker_world_new(struct worker *w, struct err *err) MUST_CHECK; /* makes the pool */
void worker_rearm(struct worker *w); /* after anything was told to the core */
struct intake_config worker_world_intake(struct worker *w);
void worker_world_answered(void *arg, int engine, struct call_ref ref, struct answer *answer,
                           int64_t duration_us);
void worker_world_claimed(void *arg, struct pool_ref ref, struct claim *claim);
void worker_world_touched(void *arg, const struct pool_ref *refs, int n, const bool *ours,
                          bool failed);
void worker_world_released(void *arg, bool failed);
void worker_world_settled(void *arg, struct pool_ref ref, const struct settle_answer *answer);
void worker_world_judged(void *arg, int engine, struct pool_ref ref,
                         const struct settle_answer *answer, int64_t duration_us);
void worker_world_lent(void *arg, int engine, const struct share_answer *answer);

/* ---- worker_life.c: start, readiness, signals, end */
int worker_life_new(struct worker *w, struct err *err) MUST_CHECK;
bool worker_life_is_ready(void *arg);
void worker_life_check_ready(struct worker *w); /* says so the first time */
void worker_life_schema(void *arg, enum schema_state state, const struct err *err);
void worker_life_database(void *arg, bool up, const struct err *err);
void worker_life_broker_error(struct worker *w, const struct err *err);

#endif
