/* See metrics.h. A series is a pair of label values and a number; a histogram is one array of
 * counts. Linear search: a metric has a handful of series. */
#include "metrics.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum kind { COUNTER, GAUGE, HISTOGRAM };

struct family {
    const char *name;
    enum kind kind;
    const char *labels; /* "", "first" or "first second" */
    const char *help;
};

static const struct family families[METRIC_COUNT] = {
#define METRIC(id, name, kind, labels, help) [METRIC_##id] = {name, kind, labels, help},
#include "metrics.def"
#undef METRIC
};

/* Seconds: from a fast statement to a slow slice. */
static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                0.5,   1,      2.5,   5,    10,    25,   60};

struct series {
    char *a, *b; /* owned; NULL where there is no such label */
    double value;
};

struct metrics {
    struct series series[METRIC_COUNT][METRICS_SERIES_MAX];
    size_t series_count[METRIC_COUNT];
    struct {
        uint64_t counts[COUNT_OF(bounds) + 1]; /* not cumulated; the last is +Inf */
        double sum;
    } histograms[METRIC_COUNT];
};

struct metrics *metrics_new(struct err *err)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m)
        err_errno(err, "metrics");
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (size_t id = 0; id < METRIC_COUNT; id++) {
        for (size_t i = 0; i < m->series_count[id]; i++) {
            free(m->series[id][i].a);
            free(m->series[id][i].b);
        }
    }
    free(m);
}

/* ---- counting ---------------------------------------------------------------------------- */

static bool same(const char *x, const char *y)
{
    return x && y ? strcmp(x, y) == 0 : x == y;
}

static const struct series *find(const struct metrics *m, enum metric id, const char *a,
                                 const char *b)
{
    for (size_t i = 0; i < m->series_count[id]; i++) {
        const struct series *s = &m->series[id][i];
        if (same(s->a, a) && same(s->b, b))
            return s;
    }
    return NULL;
}

/* The series, made when it is new; NULL when there are too many, or no memory: a number that is
 * lost must not stop the program. */
static struct series *obtain(struct metrics *m, enum metric id, const char *a, const char *b)
{
    const struct series *found = find(m, id, a, b);
    if (found)
        return &m->series[id][found - m->series[id]];
    if (m->series_count[id] == METRICS_SERIES_MAX)
        return NULL;
    struct series fresh = {.a = a ? strdup(a) : NULL, .b = b ? strdup(b) : NULL};
    if ((a && !fresh.a) || (b && !fresh.b)) {
        free(fresh.a);
        free(fresh.b);
        return NULL;
    }
    struct series *s = &m->series[id][m->series_count[id]++];
    *s = fresh;
    return s;
}

void metrics_add(struct metrics *m, enum metric id, const char *a, const char *b, double n)
{
    struct series *s = m ? obtain(m, id, a, b) : NULL;
    if (s)
        s->value += n;
}

void metrics_set(struct metrics *m, enum metric id, const char *a, const char *b, double value)
{
    struct series *s = m ? obtain(m, id, a, b) : NULL;
    if (s)
        s->value = value;
}

void metrics_observe(struct metrics *m, enum metric id, double seconds)
{
    if (!m)
        return;
    assert(families[id].kind == HISTOGRAM);
    size_t i = 0;
    while (i < COUNT_OF(bounds) && seconds > bounds[i])
        i++;
    m->histograms[id].counts[i]++;
    m->histograms[id].sum += seconds;
}

static uint64_t observed(const struct metrics *m, enum metric id)
{
    uint64_t n = 0;
    for (size_t i = 0; i < COUNT_OF(m->histograms[id].counts); i++)
        n += m->histograms[id].counts[i];
    return n;
}

/* Of a histogram: how many were observed. */
double metrics_get(const struct metrics *m, enum metric id, const char *a, const char *b)
{
    if (!m)
        return 0;
    if (families[id].kind == HISTOGRAM)
        return (double)observed(m, id);
    const struct series *s = find(m, id, a, b);
    return s ? s->value : 0;
}

/* ---- writing ----------------------------------------------------------------------------- */

static int put_header(const struct family *f, struct buf *out, struct err *err)
{
    static const char *const kinds[] = {
        [COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
    return buf_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
                      kinds[f->kind]);
}

static int put_escaped(const char *value, struct buf *out, struct err *err)
{
    for (; *value; value++) {
        const char *escape = *value == '\\' ? "\\\\" : *value == '"' ? "\\\"" : "\\n";
        bool plain = *value != '\\' && *value != '"' && *value != '\n';
        if (plain ? buf_append(out, value, 1, err) : buf_str(out, escape, err))
            return -1;
    }
    return 0;
}

static int put_label(const char *name, size_t len, const char *value, struct buf *out,
                     struct err *err)
{
    if (buf_append(out, name, len, err) || buf_str(out, "=\"", err) ||
        put_escaped(value ? value : "", out, err))
        return -1;
    return buf_str(out, "\"", err);
}

static int put_series(const struct family *f, const struct series *s, struct buf *out,
                      struct err *err)
{
    size_t first = strcspn(f->labels, " ");
    const char *second = f->labels[first] ? f->labels + first + 1 : NULL;
    if (buf_str(out, f->name, err))
        return -1;
    if (first > 0) {
        if (buf_str(out, "{", err) || put_label(f->labels, first, s->a, out, err))
            return -1;
        if (second && (buf_str(out, ",", err) || put_label(second, strlen(second), s->b, out, err)))
            return -1;
        if (buf_str(out, "}", err))
            return -1;
    }
    return buf_printf(out, err, " %.15g\n", s->value);
}

static int put_histogram(const struct metrics *m, enum metric id, struct buf *out, struct err *err)
{
    const char *name = families[id].name;
    uint64_t n = 0;
    for (size_t i = 0; i < COUNT_OF(bounds); i++) {
        n += m->histograms[id].counts[i];
        if (buf_printf(out, err, "%s_bucket{le=\"%g\"} %llu\n", name, bounds[i],
                       (unsigned long long)n))
            return -1;
    }
    unsigned long long all = observed(m, id);
    return buf_printf(out, err, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.15g\n%s_count %llu\n", name,
                      all, name, m->histograms[id].sum, name, all);
}

static int put_family(const struct metrics *m, enum metric id, struct buf *out, struct err *err)
{
    static const struct series zero;
    const struct family *f = &families[id];
    size_t n = m->series_count[id];
    bool from_zero = f->kind == COUNTER && f->labels[0] == '\0' && n == 0;
    if (n == 0 && !from_zero && f->kind != HISTOGRAM)
        return 0;
    if (put_header(f, out, err))
        return -1;
    if (f->kind == HISTOGRAM)
        return put_histogram(m, id, out, err);
    if (from_zero)
        return put_series(f, &zero, out, err);
    for (size_t i = 0; i < n; i++)
        if (put_series(f, &m->series[id][i], out, err))
            return -1;
    return 0;
}

int metrics_render(const struct metrics *m, struct buf *out, struct err *err)
{
    for (size_t id = 0; m && id < METRIC_COUNT; id++)
        if (put_family(m, (enum metric)id, out, err))
            return -1;
    return 0;
}
