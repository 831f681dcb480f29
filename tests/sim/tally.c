/* See tally.h. */
#include "tally.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const fault_names[FAULTS] = {
#define FAULT(id, name) name,
#include "fault.def"
#undef FAULT
};

static const char *const ask_names[ASKS] = {
#define ASK(id, name) name,
#include "ask.def"
#undef ASK
};

void tally_edges(struct tally *t, const struct pool *p)
{
    const uint64_t *edges = pool_edges(p);
    for (int i = 0; i < POOL_STATES * POOL_STATES; i++)
        t->edges[i] += edges[i];
}

static int row(const char *what, const char *name, uint64_t n)
{
    printf("%-6s %-40s %12" PRIu64 "%s\n", what, name, n, n == 0 ? "  NEVER" : "");
    return n == 0;
}

int tally_print(const struct tally *t)
{
    int never = 0;
    for (int i = 0; i < FAULTS; i++)
        never += row("fault", fault_names[i], t->faults[i]);
    for (int i = 0; i < ASKS; i++)
        never += row("ask", ask_names[i], t->asks[i]);
    for (int from = 0; from < POOL_STATES; from++)
        for (int to = 0; to < POOL_STATES; to++) {
            char name[64];
            if (!pool_edge_allowed(from, to))
                continue;
            snprintf(name, sizeof(name), "%s -> %s", pool_state_name(from), pool_state_name(to));
            never += row("edge", name, t->edges[from * POOL_STATES + to]);
        }
    printf("%" PRIu64 " runs, %" PRIu64 " slices, %" PRIu64 " calls, %" PRIu64
           " events, %.0f hours of virtual time\n",
           t->runs, t->slices, t->calls, t->events, t->virtual_s / 3600);
    return never;
}
