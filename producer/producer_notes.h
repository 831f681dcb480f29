/* What the producer says of its runs: the core's notes become log events (requirement S4) and
 * metrics. The only place that reads a summary's JSON. Decides nothing. */
#ifndef REVEILLE_PRODUCER_NOTES_H
#define REVEILLE_PRODUCER_NOTES_H

#include "err.h"
#include "log.h"
#include "metrics.h"
#include "run_core.h"

struct producer_notes;

/* Borrows both. */
struct producer_notes *producer_notes_new(struct log *log, struct metrics *metrics,
                                          struct err *err);
void producer_notes_free(struct producer_notes *n);

/* How old a run is that is about to be led, by the database's clock. */
void producer_notes_age(struct producer_notes *n, const struct uuid *run, int64_t age_ms);

/* One note of the core; borrowed. */
void producer_notes_take(struct producer_notes *n, const struct run_note *note);

/* Sets the gauges of the runs that are led now; to be called before metrics are shown. */
void producer_notes_refresh(struct producer_notes *n, const struct run_core *core);

#endif
