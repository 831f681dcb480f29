/* What the models ask of the rest of the simulator, where there is none: chance and memory as in
 * world.c; nobody keeps books (the real database is what they are held against), no fault strikes.
 */
#include "checker.h"
#include "model_engine.h"

#include <stdlib.h>

void *world_data(size_t size)
{
    void *data = calloc(1, size);
    if (data == NULL)
        abort();
    return data;
}

int64_t world_between(struct world *w, int64_t low, int64_t high)
{
    return low + (int64_t)rng_below(&w->rng, (uint32_t)(high - low + 1));
}

bool world_chance(struct world *w, int per_mille)
{
    return (int)rng_below(&w->rng, 1000) < per_mille;
}

void world_count(struct world *w UNUSED, enum fault f UNUSED)
{
}

void checker_opened(struct world *w UNUSED, const struct db_run *r UNUSED)
{
}

void checker_settled(struct world *w UNUSED, const struct db_run *r UNUSED, int slice UNUSED,
                     const char *verdicts UNUSED)
{
}

void checker_notified(struct world *w UNUSED, int job UNUSED, int position UNUSED)
{
}

void checker_closed(struct world *w UNUSED, const struct db_run *r UNUSED)
{
}

void checker_limit_set(struct world *w UNUSED, int engine UNUSED, int from UNUSED)
{
}

void model_engine_judged_in_bulk(struct model_engine *e UNUSED, int run UNUSED, int position UNUSED)
{
}
