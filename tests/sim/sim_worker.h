/* A worker of the simulated fleet: the real pool_core behind ops that send statements, calls and
 * offsets into the models, and bring their answers back. Thin, like the adapters of the program. */
#ifndef REVEILLE_SIM_WORKER_H
#define REVEILLE_SIM_WORKER_H

#include "pool_core.h"
#include "world.h"

#define SIM_WORKER_MAGIC 0x51301d02u

struct sim_worker {
    unsigned magic;
    struct world *world;
    int process;
    struct pool *pool; /* owned; NULL while dead */
    int64_t wake_at;   /* the earliest alarm that is set */
    bool left;         /* the core has asked to leave */
};

struct sim_worker *workers_new(struct world *w); /* WORKERS_MAX of them, none alive */
void workers_free(struct world *w);

void worker_start(struct world *w, int process);
void worker_kill(struct world *w, int process); /* also how one that has left ends */
void worker_drain(struct world *w, int process, int64_t drain_ms);

void worker_look(struct world *w, int process); /* alive, and not standing still */

/* ---- what the models tell it; it is alive and awake */
void worker_assigned(struct world *w, int process, const struct pool_part *parts, int n);
void worker_revoked(struct world *w, int process, bool lost);
void worker_messages_waiting(struct world *w, int process);
void worker_answered(struct world *w, int process, struct call_ref ref, struct answer *answer);

#endif
