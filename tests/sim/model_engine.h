/* The trigger engine: how long a call takes, what comes of it, how many are in flight. A call ends
 * in the engine even if nobody waits for the answer any more. */
#ifndef REVEILLE_SIM_MODEL_ENGINE_H
#define REVEILLE_SIM_MODEL_ENGINE_H

#include "pool_core.h"
#include "world.h"

enum weather { FAIR, DOWN, HANGS, SLOWER, BROKEN, GARBAGE };

struct model_engine;

struct model_engine *model_engine_new(struct world *w);
void model_engine_free(struct model_engine *e);

/* One call for subject `position` of the job; answered through worker_answered. */
void model_engine_call(struct model_engine *e, struct address worker, int engine,
                       struct call_ref ref, int run, int job, int position);
void model_engine_abort(struct model_engine *e, struct address worker, int engine,
                        struct pool_ref slice);
int model_engine_in_flight(const struct model_engine *e, int engine);
/* Calls of that worker that it still waits for, of one engine or of all (-1). */
int model_engine_calls_of(const struct model_engine *e, struct address worker, int engine);
/* Whether a verdict on that subject was ever given in that run. */
bool model_engine_judged(const struct model_engine *e, int run, int position);
void model_engine_judged_in_bulk(struct model_engine *e, int run, int position);
void model_engine_weather(struct model_engine *e, int engine, enum weather now);
/* Whether a judge of whole slices is refused now, for the engine's weather. */
bool model_engine_refuses(struct model_engine *e, int engine);

#endif
