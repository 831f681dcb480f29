/* What the core notes, as log events and metrics. The only place that knows both; it decides
 * nothing. Its sentences about people hold an id and our own words. */
#ifndef REVEILLE_WORKER_NOTES_H
#define REVEILLE_WORKER_NOTES_H

#include "log.h"
#include "metrics.h"
#include "pool_core.h"

struct worker_notes;

/* engine_names: in the engines' order; all borrowed for its life. */
struct worker_notes *worker_notes_new(struct log *log, struct metrics *metrics,
                                      const char *const *engine_names, struct err *err);
void worker_notes_free(struct worker_notes *n);

void worker_notes_pool(struct worker_notes *n, const struct pool_note *note);
void worker_notes_call(struct worker_notes *n, int engine, const struct answer *a,
                       int64_t duration_us);
void worker_notes_judge(struct worker_notes *n, int engine, const struct settle_answer *a,
                        int64_t duration_us);
void worker_notes_dead_letter(struct worker_notes *n, const char *topic, int32_t partition,
                              int64_t offset, const char *reason);
/* Gauges of one engine, for a scrape; in_flight is the sum over all engines. */
void worker_notes_numbers(struct worker_notes *n, int engine, const struct pool_numbers *numbers,
                          int in_flight);
/* What did not work with the database, at most once a second. what: a constant. */
void worker_notes_database(struct worker_notes *n, const char *what, const struct err *err);
/* What librdkafka complains of. */
void worker_notes_broker(struct worker_notes *n, const struct err *err);

#endif
