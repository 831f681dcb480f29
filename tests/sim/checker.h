/* What must hold, at every instant and at the end. It keeps its own books beside the models', from
 * what passes by, and breaks the world when they differ. It changes nothing. */
#ifndef REVEILLE_SIM_CHECKER_H
#define REVEILLE_SIM_CHECKER_H

#include "pool_core.h"
#include "world.h"

struct checker;
struct db_run;
struct member;

struct checker *checker_new(void);
void checker_free(struct checker *c);

/* ---- in the database (as a statement runs) */
void checker_opened(struct world *w, const struct db_run *r);
void checker_settled(struct world *w, const struct db_run *r, int slice,
                     const char *verdicts); /* NULL: worker_lost */
void checker_notified(struct world *w, int job, int position);
void checker_closed(struct world *w, const struct db_run *r);
void checker_claimed_in_db(struct world *w, int run, int slice, int64_t worker); /* or renewed */
void checker_released_in_db(struct world *w, int run, int slice, int64_t worker);
void checker_shares_forgotten(struct world *w);
void checker_limit_set(struct world *w, int engine, int from); /* it has just been changed */
void checker_plans(struct world *w, const struct db_run *r, int64_t holder); /* adds pages to it */

/* ---- in a worker (as it asks, and as it is answered) */
void checker_started(struct world *w, struct address a);
void checker_claim_answer(struct world *w, struct address a, struct pool_ref hand, int run,
                          int slice, enum claim_outcome outcome);
void checker_call(struct world *w, struct address a, int engine, struct pool_ref hand, int run);
void checker_judge(struct world *w, struct address a, int engine, struct pool_ref hand, int run);
void checker_judged(struct world *w, struct address a, struct pool_ref hand);
void checker_dropped(struct world *w, struct address a,
                     struct pool_ref hand); /* not held any more */
/* Settled, by it or by somebody. */
void checker_slice_over(struct world *w, struct address a, struct pool_ref hand, int run,
                        int slice);
void checker_gives_back(struct world *w, struct address a, int run,
                        int slice); /* asks to release it */
void checker_touching(struct world *w, struct address a);
void checker_touched(struct world *w, struct address a);
void checker_releasing(struct world *w, struct address a);
void checker_released(struct world *w, struct address a);
/* What it is lent, and what an outage has to do with it (engine's limit: checker_engine.c). */
void checker_lent(struct world *w, struct address a, int engine, int64_t asked_at,
                  int64_t outage_ms);
void checker_settling(struct world *w, struct address a, struct pool_ref hand,
                      const struct pool_outcome *out);
void checker_draining(struct world *w, struct address a, int64_t drain_ms);
void checker_left(struct world *w, struct address a);

/* ---- in Kafka */
void checker_unassigned(struct world *w, const struct member *m);
void checker_committed(struct world *w, int engine, int partition, int64_t from, int64_t to);
void checker_published(struct world *w, struct address a, int engine, int run,
                       int slice); /* as the core asks for it */

/* ---- from time to time */
void checker_watch(struct world *w);

/* ---- at the end */
void checker_at_rest(struct world *w);

#endif
