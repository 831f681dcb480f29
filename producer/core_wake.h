/* The core and its alarm clock. The core has no timer of its own: whoever tells it something (an
 * answer of the database, a delivery report, a ring) calls core_wake_rearm afterwards, and the
 * clock calls run_core_tick when the core asked to be woken. Decides nothing. */
#ifndef REVEILLE_CORE_WAKE_H
#define REVEILLE_CORE_WAKE_H

#include "err.h"
#include "loop.h"
#include "run_core.h"

struct core_wake;

/* Borrows both for its life. The clock stands until core_wake_start. */
struct core_wake *core_wake_new(struct loop *loop, struct run_core *core, struct err *err);
void core_wake_free(struct core_wake *w);

/* From now on the core is woken, the first time at once. */
void core_wake_start(struct core_wake *w);

/* Lent: the core, for telling it what happened. */
struct run_core *core_wake_core(struct core_wake *w);

/* Sets the clock to what the core wants now; nothing before core_wake_start. */
void core_wake_rearm(struct core_wake *w);

#endif
