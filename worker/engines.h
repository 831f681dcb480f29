/* The engines this worker has: which kinds there are, and which of them WORKER_ENGINES asks for.
 * Another kind of judge is one more file and one more line in engines.c. */
#ifndef REVEILLE_ENGINES_H
#define REVEILLE_ENGINES_H

#include "config.h"
#include "engine.h"
#include "err.h"
#include "loop.h"

struct engines;

/* As engine_answer_fn, and which engine it was. */
typedef void (*engines_answer_fn)(void *arg, int engine, struct call_ref ref, struct answer *answer,
                                  int64_t duration_us);

/* Makes every engine of WORKER_ENGINES, in that order. CONFIG for an unknown or repeated name, or
 * when an engine lacks what it needs. cfg: borrowed during the call. */
struct engines *engines_new(struct loop *loop, struct config *cfg, engines_answer_fn on_answer,
                            void *arg, struct err *err);
void engines_free(struct engines *e);

int engines_count(const struct engines *e); /* 1 … POOL_ENGINES_MAX */
const struct engine *engines_at(const struct engines *e, int i);
const char *const *engines_names(const struct engines *e); /* lent */
/* Whether it is switched off: it answers everything and calls nobody. */
bool engines_is_off(const struct engines *e, int i);

/* Takes the secrets as they are in cfg now. */
int engines_take_secrets(struct engines *e, struct config *cfg, struct err *err) MUST_CHECK;

#endif
