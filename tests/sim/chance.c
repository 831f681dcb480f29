/* Memory and chance of a world: all that the models need of it, also where they are held against
 * the real database (against/unwatched.c). */
#include "world.h"

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
