/* A producer of the simulated fleet: the real run_core behind ops that go to the model database and
 * the model Kafka. */
#ifndef REVEILLE_SIM_PRODUCER_H
#define REVEILLE_SIM_PRODUCER_H

#include "run_core.h"
#include "world.h"

#define SIM_PRODUCER_MAGIC 0x51301d03u

struct sim_producer {
    unsigned magic;
    struct world *world;
    int process;
    struct run_core *core; /* owned; NULL while dead */
    int64_t wake_at;
    bool stopped; /* the core says that its drain is over */
};

struct sim_producer *producers_new(struct world *w); /* PRODUCERS_MAX of them, none alive */
void producers_free(struct world *w);

void producer_start(struct world *w, int process); /* WORKERS_MAX … PROCESSES - 1 */
void producer_kill(struct world *w, int process);
void producer_drain(struct world *w, int process);
/* The engines' rows were read anew; `added` more of them that no job uses. */
void producer_engines_set(struct world *w, int process, int added);
void producer_listening(struct world *w, int process, bool proven);
/* Whether it leads a run that another has taken over; it may not know yet. */
bool producer_is_zombie(struct world *w, int process);
void producer_rung(struct world *w, int process); /* NOTIFY: somebody asked for a job */

#endif
