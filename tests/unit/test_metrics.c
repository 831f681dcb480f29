/* Tests metrics.c: the numbers, and the text that Prometheus reads. */
#include "metrics.h"
#include "unit.h"

static char *rendered(const struct metrics *m)
{
    struct buf b;
    buf_init(&b, 1024 * 1024);
    assert_int_equal(metrics_render(m, &b, NULL), 0);
    char *text = strdup(b.data);
    assert_non_null(text);
    buf_release(&b);
    return text;
}

/* Whether the text has exactly this line. */
static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *p = text; (p = strstr(p, line)) != NULL; p++)
        if ((p == text || p[-1] == '\n') && p[len] == '\n')
            return true;
    return false;
}

static void counts(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(NULL);
    metrics_add(m, METRIC_RUNS, "reminder_eval", "completed", 1);
    metrics_add(m, METRIC_RUNS, "reminder_eval", "completed", 2);
    metrics_add(m, METRIC_RUNS, "reminder_eval", "failed", 1);
    metrics_set(m, METRIC_ENGINE_SHARE, "http", NULL, 10);
    metrics_set(m, METRIC_ENGINE_SHARE, "http", NULL, 5);
    assert_true(metrics_get(m, METRIC_RUNS, "reminder_eval", "completed") == 3);
    assert_true(metrics_get(m, METRIC_RUNS, "reminder_eval", "partial") == 0);
    char *text = rendered(m);
    assert_true(has_line(text, "# TYPE reveille_runs_total counter"));
    assert_true(
        has_line(text, "# HELP reveille_runs_total Runs that ended, by their final state."));
    assert_true(
        has_line(text, "reveille_runs_total{job=\"reminder_eval\",status=\"completed\"} 3"));
    assert_true(has_line(text, "reveille_runs_total{job=\"reminder_eval\",status=\"failed\"} 1"));
    assert_true(has_line(text, "# TYPE reveille_engine_share gauge"));
    assert_true(has_line(text, "reveille_engine_share{engine=\"http\"} 5"));
    free(text);
    metrics_free(m);
}

static void starts_from_zero(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(NULL);
    char *text = rendered(m);
    assert_true(has_line(text, "reveille_redeliveries_total 0"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_count 0"));
    assert_null(strstr(text, "reveille_runs_total"));
    assert_null(strstr(text, "reveille_engine_in_flight"));
    free(text);
    metrics_add(m, METRIC_REDELIVERIES, NULL, NULL, 1);
    text = rendered(m);
    assert_true(has_line(text, "reveille_redeliveries_total 1"));
    assert_null(strstr(text, "reveille_redeliveries_total 0"));
    free(text);
    metrics_free(m);
}

static void fills_buckets(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(NULL);
    const double seconds[] = {0.0005, 0.001, 0.002, 0.5, 60, 61};
    for (size_t i = 0; i < COUNT_OF(seconds); i++)
        metrics_observe(m, METRIC_SLICE_DURATION, seconds[i]);
    char *text = rendered(m);
    assert_true(has_line(text, "# TYPE reveille_slice_duration_seconds histogram"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_bucket{le=\"0.001\"} 2"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_bucket{le=\"0.0025\"} 3"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_bucket{le=\"0.25\"} 3"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_bucket{le=\"0.5\"} 4"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_bucket{le=\"60\"} 5"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_bucket{le=\"+Inf\"} 6"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_sum 121.5035"));
    assert_true(has_line(text, "reveille_slice_duration_seconds_count 6"));
    assert_true(metrics_get(m, METRIC_SLICE_DURATION, NULL, NULL) == 6);
    free(text);
    metrics_free(m);
}

static void escapes_labels(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(NULL);
    metrics_add(m, METRIC_DEAD_LETTERS, "a\"b\\c\nd", NULL, 1);
    metrics_set(m, METRIC_LAST_COMPLETED, "j", NULL, 1795240800.125);
    char *text = rendered(m);
    assert_true(has_line(text, "reveille_dead_letters_total{reason=\"a\\\"b\\\\c\\nd\"} 1"));
    assert_true(
        has_line(text, "reveille_last_completed_timestamp_seconds{job=\"j\"} 1795240800.125"));
    free(text);
    metrics_free(m);
}

static void is_bounded(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(NULL);
    char label[16];
    for (int i = 0; i < 2 * METRICS_SERIES_MAX; i++) {
        snprintf(label, sizeof label, "l%d", i);
        metrics_add(m, METRIC_DEAD_LETTERS, label, NULL, 1);
    }
    assert_true(metrics_get(m, METRIC_DEAD_LETTERS, "l63", NULL) == 1);
    assert_true(metrics_get(m, METRIC_DEAD_LETTERS, "l64", NULL) == 0);
    struct buf b;
    struct err err = ERR_INIT;
    buf_init(&b, 100);
    assert_int_equal(metrics_render(m, &b, &err), -1);
    assert_err(err, ERR_LIMIT);
    buf_release(&b);
    metrics_free(m);
}

static void takes_null(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    metrics_add(NULL, METRIC_RUNS, "a", "b", 1);
    metrics_set(NULL, METRIC_RUNS, "a", "b", 1);
    metrics_observe(NULL, METRIC_SLICE_DURATION, 1);
    assert_true(metrics_get(NULL, METRIC_RUNS, "a", "b") == 0);
    assert_int_equal(metrics_render(NULL, &b, NULL), 0);
    assert_int_equal(b.len, 0);
    metrics_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("counters add up and gauges are set, a series for each pair of labels", counts),
        TEST("counters without labels and histograms appear as 0 before they are touched",
             starts_from_zero),
        TEST("a histogram's buckets cumulate, and a bound belongs to its bucket", fills_buckets),
        TEST("label values are escaped, and times keep their fraction", escapes_labels),
        TEST("series and text are bounded", is_bounded),
        TEST("without metrics nothing is counted", takes_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
