/* Tests producer_notes.c: which lines and numbers a run's beginning and end become (requirement
 * S4), whatever its summary holds. The gauges of runs under way need a core that leads some: the
 * flow tests look at them. */
#include "notes_world.h"

#include "producer_notes.h"

#define RUN_TEXT "11111111-1111-1111-1111-111111111111"
#define NUMBERS                                                                            \
    "\"total_active_mentors\":10,\"total_evaluated\":6,\"total_dispatched\":4,"            \
    "\"total_suppressed\":2,\"total_skipped\":1,\"total_errors\":1,\"pages_processed\":5," \
    "\"by_scenario\":{\"inactivity\":{\"evaluated\":6}},\"duration_ms\":1234"

struct bench {
    struct notes_world w;
    struct producer_notes *notes;
    struct opened_run run;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    notes_open(&b->w);
    b->notes = producer_notes_new(b->w.log, b->w.metrics, NULL);
    assert_non_null(b->notes);
    b->run = (struct opened_run){.job_name = "nightly",
                                 .component = "web",
                                 .engine = "http",
                                 .triggered_by = "pg_cron",
                                 .evaluation_date = "2026-11-21",
                                 .waited_ms = 500};
    memset(&b->run.run_id, 0x11, sizeof(b->run.run_id));
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    producer_notes_free(b->notes);
    notes_close(&b->w);
    free(b);
    return 0;
}

static void take(struct bench *b, enum run_note_kind kind, const char *summary)
{
    struct run_note note = {
        .kind = kind, .run = &b->run, .slices = 3, .subjects = 250, .summary = summary};
    producer_notes_take(b->notes, &note);
}

static void expect_line(struct bench *b, const char *event)
{
    assert_int_equal(notes_lines(&b->w, event), 1);
    notes_expect_text(&b->w, "invocation_id", RUN_TEXT);
    notes_expect_text(&b->w, "component", "web");
}

static void a_started_run_is_told_with_what_rang_it(void **state)
{
    struct bench *b = *state;
    take(b, RUN_NOTE_STARTED, NULL);
    expect_line(b, "scheduler_run_started");
    notes_expect_text(&b->w, "triggered_by", "pg_cron");
    notes_expect_text(&b->w, "job_name", "nightly");
    notes_expect_text(&b->w, "evaluation_date", "2026-11-21");
    assert_int_equal(strlen(json_string_value(json_object_get(b->w.line, "timestamp"))), 24);
    notes_expect_scraped(&b->w, "reveille_trigger_latency_seconds_sum 0.5");
    b->run.waited_ms = -1; /* a takeover waited for nobody's ring */
    take(b, RUN_NOTE_STARTED, NULL);
    notes_expect_scraped(&b->w, "reveille_trigger_latency_seconds_count 1");
}

static void each_step_is_a_line(void **state)
{
    static const struct {
        enum run_note_kind kind;
        const char *event;
        bool slices;
    } steps[] = {
        {RUN_NOTE_TAKEN_OVER, "scheduler_run_taken_over", false},
        {RUN_NOTE_PLANNED, "scheduler_run_planned", true},
        {RUN_NOTE_LOST, "scheduler_run_lost", false},
        {RUN_NOTE_RUNG_AGAIN, "slices_rung_again", true},
        {RUN_NOTE_DELIVERY_FAILED, "delivery_failed", true},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        take(b, steps[i].kind, NULL);
        expect_line(b, steps[i].event);
        if (steps[i].slices) {
            notes_expect_int(&b->w, "slices", 3);
        }
    }
    assert_int_equal(notes_lines(&b->w, NULL), COUNT_OF(steps));
    notes_expect_metric(&b->w, METRIC_REPUBLISHED, NULL, NULL, 3);
}

static void a_completed_run_is_one_line_with_all_its_totals(void **state)
{
    struct bench *b = *state;
    take(b, RUN_NOTE_ENDED,
         "{\"status\":\"completed\",\"remaining_unprocessed_count\":0,\"completed\":true," NUMBERS
         "}");
    assert_int_equal(notes_lines(&b->w, NULL), 1);
    expect_line(b, "scheduler_run_completed");
    notes_expect_text(&b->w, "status", "completed");
    notes_expect_int(&b->w, "total_active_mentors", 10);
    notes_expect_int(&b->w, "total_evaluated", 6);
    notes_expect_int(&b->w, "total_dispatched", 4);
    notes_expect_int(&b->w, "total_suppressed", 2);
    notes_expect_int(&b->w, "total_skipped", 1);
    notes_expect_int(&b->w, "total_errors", 1);
    notes_expect_int(&b->w, "remaining_unprocessed_count", 0);
    notes_expect_int(&b->w, "pages_processed", 5);
    notes_expect_int(&b->w, "duration_ms", 1234);
    assert_true(json_is_true(json_object_get(b->w.line, "completed")));
    const json_t *scenario =
        json_object_get(json_object_get(b->w.line, "by_scenario"), "inactivity");
    assert_int_equal(json_integer_value(json_object_get(scenario, "evaluated")), 6);
    notes_expect_metric(&b->w, METRIC_RUNS, "nightly", "completed", 1);
    assert_true(metrics_get(b->w.metrics, METRIC_LAST_COMPLETED, "nightly", NULL) > 1.7e9);
}

static void what_no_worker_has_seen_is_counted_and_said_apart(void **state)
{
    struct bench *b = *state;
    take(b, RUN_NOTE_ENDED,
         "{\"status\":\"partial\",\"remaining_unprocessed_count\":2,\"completed\":false," NUMBERS
         "}");
    assert_int_equal(notes_lines(&b->w, NULL), 2);
    expect_line(b, "scheduler_run_completed");
    assert_true(json_is_false(json_object_get(b->w.line, "completed")));
    expect_line(b, "scheduler_run_partial");
    notes_expect_int(&b->w, "remaining_unprocessed_count", 2);
    notes_expect_metric(&b->w, METRIC_SUBJECTS, "nightly", "unreached", 2);
    notes_expect_metric(&b->w, METRIC_RUNS, "nightly", "partial", 1);
    notes_expect_metric(&b->w, METRIC_LAST_COMPLETED, "nightly", NULL, 0);
}

static void a_failed_run_is_said_as_failed_and_not_as_completed(void **state)
{
    struct bench *b = *state;
    take(b, RUN_NOTE_ENDED,
         "{\"status\":\"failed\",\"total_active_mentors\":null,"
         "\"remaining_unprocessed_count\":0}");
    assert_int_equal(notes_lines(&b->w, NULL), 1);
    expect_line(b, "scheduler_run_failed");
    notes_expect_metric(&b->w, METRIC_RUNS, "nightly", "failed", 1);
}

/* The summary is the database's; a newer one may say what this program does not know. */
static void a_summary_that_cannot_be_read_still_ends_the_run(void **state)
{
    static const char *const summaries[] = {"", "{", "[]", "null", "{\"status\":7}", "{}"};
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT_OF(summaries); i++) {
        take(b, RUN_NOTE_ENDED, summaries[i]);
        assert_int_equal(notes_lines(&b->w, "scheduler_run_completed"), i + 1);
        notes_expect_text(&b->w, "status", "unknown");
        notes_expect_int(&b->w, "total_evaluated", 0);
    }
    notes_expect_metric(&b->w, METRIC_RUNS, "nightly", "unknown", COUNT_OF(summaries));
}

#define WITH_BENCH(title, fn)            \
    {                                    \
        title, fn, setup, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BENCH("R-S4: a started run is told with what rang it, and how long it waited",
                   a_started_run_is_told_with_what_rang_it),
        WITH_BENCH("R-S4: each step of a run is a line", each_step_is_a_line),
        WITH_BENCH("R-S4: a completed run is one line with all its totals",
                   a_completed_run_is_one_line_with_all_its_totals),
        WITH_BENCH("R-S4: what no worker has seen is counted, and said apart",
                   what_no_worker_has_seen_is_counted_and_said_apart),
        WITH_BENCH("R-S4: a failed run is said as failed, and not as completed",
                   a_failed_run_is_said_as_failed_and_not_as_completed),
        WITH_BENCH("a summary that cannot be read still ends the run",
                   a_summary_that_cannot_be_read_still_ends_the_run),
    };
    return cmocka_run_group_tests_name("producer_notes", tests, NULL, NULL);
}
