/* What the models ask of the rest of the simulator, where there is none: nobody keeps books (the
 * real database is what they are held against), no fault strikes. */
#include "checker.h"
#include "model_engine.h"

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
