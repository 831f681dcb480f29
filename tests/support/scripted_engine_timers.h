/* One deadline a connection: a heap of due times, addressed by the connection's slot. It knows no
 * clock; times are microseconds on whatever clock the caller counts. */
#ifndef REVEILLE_SCRIPTED_ENGINE_TIMERS_H
#define REVEILLE_SCRIPTED_ENGINE_TIMERS_H

#include "scripted_engine_why.h"

#include <stdint.h>

#define TIMERS_NEVER INT64_MAX

struct timers;

struct timers *timers_new(int slots,
                          struct why *why); /* slots 0 … slots - 1; NULL without memory */
void timers_free(struct timers *t);

void timers_set(struct timers *t, int slot, int64_t due); /* replaces the slot's own */
void timers_clear(struct timers *t, int slot);            /* nothing happens if it has none */

int64_t timers_next(const struct timers *t); /* the earliest, TIMERS_NEVER if there is none */

/* Takes out the earliest that is due by now and returns its slot; -1 if none is. */
int timers_take(struct timers *t, int64_t now);

#endif
