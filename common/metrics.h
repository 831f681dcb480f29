/* Counters, gauges and histograms from one list (metrics.def), written as Prometheus text.
 * Not the place for a run's totals: those are sums over slice rows in the database. */
#ifndef REVEILLE_METRICS_H
#define REVEILLE_METRICS_H

#include "buf.h"
#include "err.h"

#include <stdint.h>

enum metric {
#define METRIC(id, name, kind, labels, help) METRIC_##id,
#include "limits.h"
#include "metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics;
struct metrics *metrics_new(struct err *err);
void metrics_free(struct metrics *m);

/* a and b are the values of the metric's first and second label; NULL where it has fewer. A series
 * is made when it is first named; at most METRICS_SERIES_MAX a metric, beyond it a value is lost
 * (labels are our own words, so that does not happen). m may be NULL: nothing is counted. */
void metrics_add(struct metrics *m, enum metric id, const char *a, const char *b, double n);
void metrics_set(struct metrics *m, enum metric id, const char *a, const char *b, double value);
void metrics_observe(struct metrics *m, enum metric id, double seconds); /* histograms, no labels */
double metrics_get(const struct metrics *m, enum metric id, const char *a, const char *b);

/* Appends the whole text (METRICS_TEXT_MAX is enough); counters that were never touched and have no
 * labels appear as 0. */
int metrics_render(const struct metrics *m, struct buf *out, struct err *err) MUST_CHECK;
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
