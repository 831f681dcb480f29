/* What happened, counted over all seeds: faults, asks, edges of a slice's life. The table at the
 * end shows whether the simulation still reaches everything it is meant to reach. */
#ifndef REVEILLE_SIM_TALLY_H
#define REVEILLE_SIM_TALLY_H

#include "pool_core.h"

#include <stdbool.h>
#include <stdint.h>

enum fault {
#define FAULT(id, name) FAULT_##id,
#include "fault.def"
#undef FAULT
    FAULTS
};

enum ask {
#define ASK(id, name) ASK_##id,
#include "ask.def"
#undef ASK
    ASKS
};

struct tally {
    uint64_t faults[FAULTS], asks[ASKS], edges[POOL_STATES * POOL_STATES];
    uint64_t runs, slices, calls, events;
    double virtual_s;
};

/* Adds a pool's edges, before the pool is freed. */
void tally_edges(struct tally *t, const struct pool *p);

/* Prints the table; returns how many rows that should not be zero are. */
int tally_print(const struct tally *t);

#endif
