/* The engine that judges nothing: every subject is answered, none is due anything. For drills, and
 * for what a worker costs without an engine. */
#ifndef REVEILLE_ENGINE_NOOP_H
#define REVEILLE_ENGINE_NOOP_H

#include "engine.h"
#include "err.h"
#include "loop.h"

/* Fills *ret_engine, whose free gives everything back. Answers come in the next turn of the loop.
 */
int engine_noop_new(struct loop *loop, engine_answer_fn on_answer, void *arg,
                    struct engine *ret_engine, struct err *err) MUST_CHECK;

#endif
