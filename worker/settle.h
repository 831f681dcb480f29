/* Writes a slice's outcome: one call of settle_slice, in which the database decides what goes out
 * and what was sent before. Makes its arrays from the core's outcome. Retries nothing: the core
 * does. */
#ifndef REVEILLE_SETTLE_H
#define REVEILLE_SETTLE_H

#include "db.h"
#include "loop.h"
#include "pool_core.h"

struct settle;

/* From the loop, never from within settle_start. answer: lent during the call. */
typedef void (*settle_fn)(void *arg, struct pool_ref ref, const struct settle_answer *answer);

/* worker_name: borrowed for its life. */
struct settle *settle_new(struct loop *loop, struct db *db, const char *worker_name,
                          settle_fn on_settled, void *arg, struct err *err);
void settle_free(struct settle *s);

/* One at a time for a slot of the core; out is read before this returns. */
void settle_start(struct settle *s, struct pool_ref ref, const struct pool_outcome *out);

#endif
