/* Tests worker_notes.c: which line and which number each note of the core becomes, what is said but
 * once, and that no line holds more than it may. */
#include "notes_world.h"

#include "worker_notes.h"

#define RUN_TEXT "11111111-1111-1111-1111-111111111111"
#define SUBJECT_TEXT "22222222-2222-2222-2222-222222222222"
#define USER_TEXT "33333333-3333-3333-3333-333333333333"

static const char *const engine_names[] = {"http", "noop"};

struct bench {
    struct notes_world w;
    struct worker_notes *notes;
    struct uuid run, subjects[2], users[2];
    bool eligible[2];
    char job[8], component[8];
    struct claim claim;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    notes_open(&b->w);
    b->notes = worker_notes_new(b->w.log, b->w.metrics, engine_names, NULL);
    assert_non_null(b->notes);
    memset(&b->run, 0x11, sizeof(b->run));
    memset(b->subjects, 0x22, sizeof(b->subjects));
    memset(b->users, 0x33, sizeof(b->users));
    strcpy(b->job, "nightly");
    strcpy(b->component, "web");
    b->claim = (struct claim){.outcome = CLAIM_OURS,
                              .attempt = 2,
                              .job_name = b->job,
                              .component = b->component,
                              .n = 2,
                              .subject_ids = b->subjects,
                              .user_ids = b->users,
                              .eligible = b->eligible};
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    worker_notes_free(b->notes);
    notes_close(&b->w);
    free(b);
    return 0;
}

static struct pool_note note_of(struct bench *b, enum pool_note_kind kind)
{
    return (struct pool_note){.kind = kind, .run = b->run, .slice = 4, .claim = &b->claim};
}

/* The one line of an event about the slice. */
static void expect_line(struct bench *b, const char *event, const char *component)
{
    assert_int_equal(notes_lines(&b->w, NULL), 1);
    notes_expect_text(&b->w, "event", event);
    notes_expect_text(&b->w, "invocation_id", RUN_TEXT);
    notes_expect_int(&b->w, "slice", 4);
    notes_expect_text(&b->w, "component", component);
}

/* ---- slices -------------------------------------------------------------------------------- */

static void a_claim_is_a_line(void **state)
{
    struct bench *b = *state;
    struct pool_note note = note_of(b, NOTE_CLAIMED);
    worker_notes_pool(b->notes, &note);
    expect_line(b, "slice_claimed", "web");
    notes_expect_int(&b->w, "attempt", 2);
}

static void a_redelivery_is_counted_also_of_an_unknown_job(void **state)
{
    struct bench *b = *state;
    struct pool_note note = note_of(b, NOTE_REDELIVERED);
    note.claim = NULL; /* settled long ago: nobody told whose it is */
    worker_notes_pool(b->notes, &note);
    expect_line(b, "slice_redelivered", "reveille-worker");
    notes_expect_metric(&b->w, METRIC_REDELIVERIES, NULL, NULL, 1);
    notes_expect_metric(&b->w, METRIC_SLICES, "unknown", "redelivered", 1);
}

static void a_lost_slice_says_what_it_was_doing(void **state)
{
    struct bench *b = *state;
    struct pool_note note = note_of(b, NOTE_LOST);
    note.state = "judging";
    worker_notes_pool(b->notes, &note);
    expect_line(b, "slice_lost", "web");
    notes_expect_text(&b->w, "state", "judging");
    notes_expect_metric(&b->w, METRIC_SLICES, "nightly", "lost", 1);
}

static void a_released_slice_is_counted_and_not_said(void **state)
{
    struct bench *b = *state;
    struct pool_note note = note_of(b, NOTE_RELEASED);
    worker_notes_pool(b->notes, &note);
    assert_int_equal(notes_lines(&b->w, NULL), 0);
    notes_expect_metric(&b->w, METRIC_SLICES, "nightly", "released", 1);
}

static void a_retried_settle_says_why(void **state)
{
    struct bench *b = *state;
    struct err err = ERR_INIT;
    struct pool_note note = note_of(b, NOTE_SETTLE_RETRIED);
    err_retry(&err, ERR_DATABASE, "40P01", "deadlock detected");
    note.err = &err;
    worker_notes_pool(b->notes, &note);
    expect_line(b, "settle_retried", "web");
    notes_expect_text(&b->w, "error_type", "database_error");
    notes_expect_text(&b->w, "error_code", "40P01");
}

/* One subject whom the engine wanted told twice, one whom it suppressed itself. */
static void settle(struct bench *b, int dispatched, int suppressed)
{
    struct decision two[] = {{.action = ACTION_DISPATCH}, {.action = ACTION_DISPATCHED}};
    struct decision none[] = {{.action = ACTION_SUPPRESS}};
    struct answer answers[] = {{.ok = true, .n = 2, .decisions = two},
                               {.ok = true, .n = 1, .decisions = none}};
    struct subject subjects[] = {{.state = SUBJECT_JUDGED, .answer = &answers[0]},
                                 {.state = SUBJECT_JUDGED, .answer = &answers[1]}};
    struct settle_answer settled = {.result = SETTLE_DONE,
                                    .evaluated = 2,
                                    .skipped = 3,
                                    .dispatched = dispatched,
                                    .suppressed = suppressed};
    struct pool_note note = note_of(b, NOTE_SETTLED);
    note.subjects = subjects;
    note.settled = &settled;
    note.duration_ms = 1500;
    worker_notes_pool(b->notes, &note);
}

static void a_settled_slice_is_a_line_and_its_numbers(void **state)
{
    struct bench *b = *state;
    settle(b, 2, 1);
    expect_line(b, "slice_settled", "web"); /* and no other line: the database refused nothing */
    notes_expect_int(&b->w, "evaluated", 2);
    notes_expect_int(&b->w, "skipped", 3);
    notes_expect_int(&b->w, "errors", 0);
    notes_expect_int(&b->w, "dispatched", 2);
    notes_expect_int(&b->w, "suppressed", 1);
    notes_expect_int(&b->w, "duration_ms", 1500);
    notes_expect_metric(&b->w, METRIC_SUBJECTS, "nightly", "evaluated", 2);
    notes_expect_metric(&b->w, METRIC_SUBJECTS, "nightly", "skipped", 3);
    notes_expect_metric(&b->w, METRIC_SUBJECTS, "nightly", "error", 0);
    notes_expect_metric(&b->w, METRIC_SLICES, "nightly", "settled", 1);
    notes_expect_scraped(&b->w, "reveille_slice_duration_seconds_sum 1.5");
}

static void what_the_database_refused_is_said_apart(void **state)
{
    struct bench *b = *state;
    settle(b, 1, 2);
    assert_int_equal(notes_lines(&b->w, "duplicates_suppressed"), 1);
    notes_expect_int(&b->w, "suppressed", 1); /* without the one that the engine suppressed */
    notes_expect_int(&b->w, "dispatched", 1);
    b->claim.shadow = true; /* there all is suppressed, and nothing is a duplicate */
    settle(b, 0, 3);
    assert_int_equal(notes_lines(&b->w, "duplicates_suppressed"), 1);
    assert_int_equal(notes_lines(&b->w, "slice_settled"), 2);
}

static void no_line_names_a_user(void **state)
{
    struct bench *b = *state;
    struct pool_note note = note_of(b, NOTE_CLAIMED);
    worker_notes_pool(b->notes, &note);
    settle(b, 1, 2);
    assert_false(notes_say(&b->w, USER_TEXT));
    assert_false(notes_say(&b->w, SUBJECT_TEXT)); /* only one that failed is named */
    assert_true(notes_say(&b->w, RUN_TEXT));
}

/* ---- engines and messages ------------------------------------------------------------------ */

static void an_engine_that_closes_and_opens_is_two_lines(void **state)
{
    struct bench *b = *state;
    struct pool_note note = {.kind = NOTE_ENGINE_CLOSED, .engine = 1, .outage_ms = 7000};
    worker_notes_pool(b->notes, &note);
    assert_int_equal(notes_lines(&b->w, "engine_closed"), 1);
    notes_expect_text(&b->w, "engine", "noop");
    notes_expect_int(&b->w, "outage_ms", 7000);
    note.kind = NOTE_ENGINE_OPEN;
    worker_notes_pool(b->notes, &note);
    assert_int_equal(notes_lines(&b->w, "engine_open"), 1);
    notes_expect_text(&b->w, "engine", "noop");
}

static void a_call_is_counted_by_its_result(void **state)
{
    static const struct {
        struct answer answer;
        const char *result;
    } calls[] = {
        {{.ok = true}, "ok"},
        {{.refused = true, .cls = ERR_NETWORK}, "refused"},
        {{.cls = ERR_NETWORK}, "network_error"},
        {{.cls = ERR_TIMEOUT}, "timeout_error"},
        {{.cls = ERR_LOGIC}, "evaluation_logic_error"},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        worker_notes_call(b->notes, 0, &calls[i].answer, 500000);
    }
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        notes_expect_metric(&b->w, METRIC_ENGINE_REQUESTS, "http", calls[i].result, 1);
    }
    notes_expect_scraped(&b->w, "reveille_engine_request_duration_seconds_sum 2.5");
    assert_int_equal(notes_lines(&b->w, NULL), 0);
}

static void a_dead_letter_is_said_by_reference_and_counted_by_reason(void **state)
{
    struct bench *b = *state;
    worker_notes_dead_letter(b->notes, "t.http", 3, 5000000000, "version");
    assert_int_equal(notes_lines(&b->w, "dead_letter"), 1);
    notes_expect_text(&b->w, "topic", "t.http");
    notes_expect_int(&b->w, "partition", 3);
    notes_expect_int(&b->w, "offset", 5000000000);
    notes_expect_text(&b->w, "reason", "version");
    notes_expect_metric(&b->w, METRIC_DEAD_LETTERS, "version", NULL, 1);
}

static void an_engines_numbers_are_its_gauges(void **state)
{
    struct bench *b = *state;
    struct pool_numbers numbers = {.share = 4, .current = 10, .closed = true};
    worker_notes_numbers(b->notes, 1, &numbers, 7);
    notes_expect_metric(&b->w, METRIC_ENGINE_SHARE, "noop", NULL, 4);
    notes_expect_metric(&b->w, METRIC_ENGINE_CURRENT, "noop", NULL, 10);
    notes_expect_metric(&b->w, METRIC_ENGINE_IS_CLOSED, "noop", NULL, 1);
    notes_expect_metric(&b->w, METRIC_ENGINE_IN_FLIGHT, NULL, NULL, 7);
    numbers = (struct pool_numbers){.share = 0};
    worker_notes_numbers(b->notes, 1, &numbers, 0);
    notes_expect_metric(&b->w, METRIC_ENGINE_SHARE, "noop", NULL, 0);
    notes_expect_metric(&b->w, METRIC_ENGINE_IS_CLOSED, "noop", NULL, 0);
}

/* ---- what would be said too often ---------------------------------------------------------- */

static void a_failing_statement_is_no_line_a_call(void **state)
{
    struct bench *b = *state;
    struct err err = ERR_INIT;
    struct pool_note note = note_of(b, NOTE_CLAIM_FAILED);
    err_set(&err, ERR_DATABASE, "42501", "permission denied");
    note.claim = NULL;
    note.err = &err;
    for (int i = 0; i < 1000; i++) {
        worker_notes_pool(b->notes, &note);
    }
    int lines = notes_lines(&b->w, "database_error");
    assert_in_range(lines, 1, 20); /* one a second, however slow the machine */
    notes_expect_text(&b->w, "what", "claim_slice");
    notes_expect_text(&b->w, "error_code", "42501");
}

#define WITH_BENCH(title, fn)            \
    {                                    \
        title, fn, setup, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BENCH("a claim is a line, with its attempt", a_claim_is_a_line),
        WITH_BENCH("R-D4: a redelivery is counted, also when nobody knows whose it is",
                   a_redelivery_is_counted_also_of_an_unknown_job),
        WITH_BENCH("a lost slice says what it was doing", a_lost_slice_says_what_it_was_doing),
        WITH_BENCH("a released slice is counted and not said",
                   a_released_slice_is_counted_and_not_said),
        WITH_BENCH("a settle that is tried again says why", a_retried_settle_says_why),
        WITH_BENCH("R-S6: a settled slice is a line, and its numbers are counted",
                   a_settled_slice_is_a_line_and_its_numbers),
        WITH_BENCH("R-D2: what the database refused is said apart from what the engine suppressed",
                   what_the_database_refused_is_said_apart),
        WITH_BENCH("R-S5: no line names a user, or a subject that did not fail",
                   no_line_names_a_user),
        WITH_BENCH("an engine that closes and opens is two lines",
                   an_engine_that_closes_and_opens_is_two_lines),
        WITH_BENCH("R-E2: a call is counted by its result", a_call_is_counted_by_its_result),
        WITH_BENCH("a dead letter is said by reference and counted by its reason",
                   a_dead_letter_is_said_by_reference_and_counted_by_reason),
        WITH_BENCH("an engine's numbers are its gauges, also when they fall",
                   an_engines_numbers_are_its_gauges),
        WITH_BENCH("a failing statement is not a line a call",
                   a_failing_statement_is_no_line_a_call),
    };
    return cmocka_run_group_tests_name("worker_notes", tests, NULL, NULL);
}
