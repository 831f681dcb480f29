/* Tests run_store.c on a real PostgreSQL, in the producer's role: each call's answer reaches the
 * core as what it is, and what is refused, lost or cannot be asked reaches it as not known. What
 * the functions do is tests/sql's. */
#include "run_store_world.h"

/* ---- open ---------------------------------------------------------------------------------- */

static void nothing_to_open_is_no_failure(void **state)
{
    struct bench b;
    bench_open(&b, state);
    TOLD(&b, run_store_open(b.store));
    assert_int_equal(b.core.opens, 1);
    assert_true(b.core.none);
    assert_false(b.core.failed);
    bench_close(&b);
}

static void an_opened_run_is_told_whole(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    const struct opened_run *r = &b.run;
    assert_string_equal(r->job_name, "u");
    assert_string_equal(r->engine, "noop");
    assert_string_equal(r->component, "reveille");
    assert_string_equal(r->triggered_by, "manual");
    assert_int_equal(r->state, RUN_PLANNING);
    assert_int_equal(r->fence, 1);
    assert_int_equal(r->topic_partitions, 12);
    assert_int_equal(r->slices, 0);
    assert_int_equal(r->page_size, 3);
    assert_int_equal(r->rate, 0);
    assert_false(r->takeover || r->has_cursor);
    assert_true(r->waited_ms >= 0);
    assert_true(uuid_equal(&b.aged, &r->run_id));
    assert_int_equal(b.opens_before, 0);
    assert_true(b.age_ms >= 0);
    char sql[128];
    snprintf(sql, sizeof(sql), "select evaluation_date = '%s' from reveille.run",
             r->evaluation_date);
    schema_expect(b.s, sql, "t");
    bench_close(&b);
}

static void a_takeover_is_told_as_one_with_its_cursor(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    plan(&b, 1);
    schema_exec(b.s->pg, "update reveille.run_lease set holder = 'p0', lease_until ="
                         " clock_timestamp() - interval '1 s';"
                         "update reveille.run set started_at = started_at - interval '1 h'");
    TOLD(&b, run_store_open(b.store));
    assert_true(b.core.run.takeover);
    assert_int_equal(b.core.run.fence, 2);
    assert_int_equal(b.core.run.slices, 1);
    assert_true(b.core.run.has_cursor);
    assert_int_equal(b.core.run.cursor.b[3], 3); /* the third mentor */
    assert_int_equal(b.core.run.waited_ms, -1);  /* its wait was counted by who opened it */
    assert_true(b.age_ms >= 3600000);
    bench_close(&b);
}

static void a_replay_is_told_as_new_with_its_rate(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_planned_run(&b);
    schema_exec(b.s->pg, "select reveille.cancel_run(run_id) from reveille.run;"
                         "select reveille.open_replay(run_id, '{\"unreached\": true}', 2, 7)"
                         " from reveille.run");
    TOLD(&b, run_store_open(b.store));
    const struct opened_run *r = &b.core.run;
    assert_string_equal(r->triggered_by, "replay");
    assert_int_equal(r->state, RUN_RUNNING);
    assert_int_equal(r->fence, 1);
    assert_int_equal(r->slices, 3);
    assert_int_equal(r->page_size, 2);
    assert_int_equal(r->rate, 7);
    assert_false(r->takeover);
    schema_exec(b.s->pg, "update reveille.run_lease set lease_until = '-infinity'");
    TOLD(&b, run_store_open(b.store));
    assert_true(b.core.run.takeover);
    assert_int_equal(b.core.run.rate, 7); /* whoever leads it */
    bench_close(&b);
}

/* In the database the run is ours by then: its lease ends, and it is opened again. */
static void a_run_that_cannot_be_described_is_a_failed_open(void **state)
{
    struct bench b;
    bench_open(&b, state);
    schema_exec(b.s->pg, "select reveille.request('u', 'manual');"
                         "revoke select on reveille.job from reveille_producer");
    TOLD(&b, run_store_open(b.store));
    assert_true(b.core.failed && b.core.none);
    schema_expect(b.s, "select holder from reveille.run_lease", "p1");
    assert_int_equal(notes_lines(&b.notes, "database_error"), 1);
    notes_expect_text(&b.notes, "what", "run");
    notes_expect_text(&b.notes, "error_code", "42501");
    schema_exec(b.s->pg, "grant select on reveille.job to reveille_producer");
    bench_close(&b);
}

/* ---- plan and publish ---------------------------------------------------------------------- */

static void pages_are_told_with_their_cursor_until_the_last(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    plan(&b, 1);
    assert_false(b.core.failed);
    assert_int_equal(b.core.pages.outcome, PLAN_MORE);
    assert_int_equal(b.core.pages.state, RUN_PLANNING);
    assert_int_equal(b.core.pages.slices, 1);
    assert_true(b.core.pages.has_cursor);
    assert_int_equal(b.core.pages.cursor.b[3], 3);
    plan(&b, 1); /* with the old cursor: what is, is told */
    assert_false(b.core.failed);
    assert_int_equal(b.core.pages.outcome, PLAN_STALE);
    assert_int_equal(b.core.pages.slices, 1);
    assert_int_equal(b.core.pages.cursor.b[3], 3);
    b.run.has_cursor = true;
    b.run.cursor = b.core.pages.cursor;
    plan(&b, 10);
    assert_int_equal(b.core.pages.outcome, PLAN_LAST);
    assert_int_equal(b.core.pages.state, RUN_RUNNING);
    assert_int_equal(b.core.pages.slices, 2);
    schema_expect(b.s, "select string_agg(distinct topic, ',') from reveille.slice", "unit.noop");
    bench_close(&b);
}

static void slices_are_drawn_until_they_are_noted(void **state)
{
    struct bench b;
    const int32_t first = 0;
    const int64_t offset = 5000000000;
    bench_open(&b, state);
    open_planned_run(&b);
    TOLD_WITH_REF(&b, run_store_draw(b.store, REF, &b.run.run_id, -1, 8));
    assert_int_equal(b.core.n, 2);
    assert_int_equal(b.core.drawn[1].slice_no, 1);
    assert_in_range(b.core.drawn[1].partition, 0, 11);
    TOLD_WITH_REF(&b, run_store_draw(b.store, REF, &b.run.run_id, 0, 8));
    assert_int_equal(b.core.n, 1);
    TOLD_WITH_REF(&b, run_store_note_published(b.store, REF, &b.run.run_id, &first, &offset, 1));
    assert_int_equal(b.core.notes, 1);
    TOLD_WITH_REF(&b, run_store_draw(b.store, REF, &b.run.run_id, -1, 8));
    assert_int_equal(b.core.n, 1);
    assert_int_equal(b.core.drawn[0].slice_no, 1);
    assert_false(b.core.failed);
    bench_close(&b);
}

static void what_is_overdue_is_told_with_its_offset(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_planned_run(&b);
    schema_exec(b.s->pg, "update reveille.slice set published_at = clock_timestamp() - interval"
                         " '1 min', published_offset = 5000000000, rings = 1 where slice_no = 1");
    TOLD_WITH_REF(&b, run_store_overdue(b.store, REF, &b.run.run_id, 8));
    assert_int_equal(b.core.n, 2);
    assert_int_equal(b.core.overdue[0].published_offset, -1); /* never published */
    assert_int_equal(b.core.overdue[1].slice_no, 1);
    assert_true(b.core.overdue[1].published_offset == 5000000000);
    TOLD_WITH_REF(&b, run_store_overdue(b.store, REF, &b.run.run_id, 1));
    assert_int_equal(b.core.n, 1);
    bench_close(&b);
}

static void progress_is_told_also_of_a_run_that_is_gone(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    TOLD_WITH_REF(&b, run_store_progress(b.store, REF, &b.run.run_id));
    assert_true(b.core.progress.found);
    assert_int_equal(b.core.progress.state, RUN_PLANNING);
    assert_int_equal(b.core.progress.planned, -1);
    plan(&b, 10);
    TOLD_WITH_REF(&b, run_store_progress(b.store, REF, &b.run.run_id));
    assert_int_equal(b.core.progress.state, RUN_RUNNING);
    assert_int_equal(b.core.progress.slices, 2);
    assert_int_equal(b.core.progress.pending, 2);
    assert_int_equal(b.core.progress.planned, 6);
    b.run.run_id.b[0] ^= 1;
    TOLD_WITH_REF(&b, run_store_progress(b.store, REF, &b.run.run_id));
    assert_false(b.core.progress.found);
    assert_false(b.core.progress.failed);
    bench_close(&b);
}

/* ---- lease and end ------------------------------------------------------------------------- */

static void a_lease_is_renewed_or_lost(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    TOLD_WITH_REF(&b, run_store_renew(b.store, REF, &b.run));
    assert_int_equal(b.core.renewed, RENEWED);
    b.run.fence++;
    TOLD_WITH_REF(&b, run_store_renew(b.store, REF, &b.run));
    assert_int_equal(b.core.renewed, RENEW_LOST);
    b.run.fence--;
    TOLD_WITH_REF(&b, run_store_give_up(b.store, REF, &b.run));
    assert_int_equal(b.core.give_ups, 1);
    schema_expect(b.s, "select lease_until < clock_timestamp() from reveille.run_lease", "t");
    bench_close(&b);
}

static void a_close_tells_the_summary_once_it_has_ended_whoever_ended_it(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_planned_run(&b);
    TOLD_WITH_REF(&b, run_store_close(b.store, REF, &b.run));
    assert_true(b.core.none);
    assert_false(b.core.failed);
    schema_exec(b.s->pg, "select test.settle(run_id, slice_no) from reveille.slice");
    TOLD_WITH_REF(&b, run_store_close(b.store, REF, &b.run));
    assert_non_null(strstr(b.core.summary, "\"completed\""));
    TOLD_WITH_REF(&b, run_store_close(b.store, REF, &b.run)); /* its first answer was lost */
    assert_false(b.core.none);
    assert_non_null(strstr(b.core.summary, "\"completed\""));
    bench_close(&b);
}

/* ---- what is not known --------------------------------------------------------------------- */

static void a_word_that_is_not_known_is_no_answer(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    char *kept = schema_replace(b.s, "plan_page",
                                "begin return query select 'odd', 'running', null::uuid, 0,"
                                " '{}'::int[], 0; end");
    plan(&b, 1);
    assert_true(b.core.failed);
    schema_restore(b.s, kept);
    kept = schema_replace(b.s, "plan_page",
                          "begin return query select 'last', 'odd', null::uuid, 0, '{}'::int[], 0;"
                          " end");
    plan(&b, 1);
    assert_true(b.core.failed);
    schema_restore(b.s, kept);
    plan(&b, 1);
    assert_false(b.core.failed);
    bench_close(&b);
}

/* Only what the server says for good may end a run. */
static void a_page_refused_for_good_is_told_why(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    char *kept = schema_replace(b.s, "plan_page",
                                "begin raise 'no way' using errcode = '42P01';"
                                " end");
    plan(&b, 1);
    assert_true(b.core.failed);
    assert_string_equal(b.core.refused, "42P01: no way");
    schema_restore(b.s, kept);
    kept = schema_replace(b.s, "plan_page", "begin raise 'busy' using errcode = '55P03'; end");
    plan(&b, 1);
    assert_true(b.core.failed);
    assert_string_equal(b.core.refused, "");
    schema_restore(b.s, kept);
    plan(&b, 1);
    assert_string_equal(b.core.refused, "");
    bench_close(&b);
}

static void a_failed_run_is_told_by_its_summary_with_the_reason(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    TOLD_WITH_REF(&b, run_store_fail(b.store, REF, &b.run, "42P01: no way"));
    assert_false(b.core.failed || b.core.none);
    assert_non_null(strstr(b.core.summary, "\"failed\""));
    assert_non_null(strstr(b.core.summary, "42P01: no way"));
    TOLD_WITH_REF(&b, run_store_fail(b.store, REF, &b.run, "another")); /* the answer was lost */
    assert_non_null(strstr(b.core.summary, "42P01: no way"));
    bench_close(&b);
}

static void a_refused_statement_is_not_known_and_said_once_a_second(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    char *kept = schema_replace(b.s, "renew_lease", "select (1 / 0)::boolean");
    for (int i = 0; i < 50; i++) {
        TOLD_WITH_REF(&b, run_store_renew(b.store, REF, &b.run));
        assert_int_equal(b.core.renewed, RENEW_FAILED);
    }
    schema_restore(b.s, kept);
    assert_in_range(notes_lines(&b.notes, "database_error"), 1, 20);
    notes_expect_text(&b.notes, "what", "renew_lease");
    notes_expect_text(&b.notes, "error_code", "22012");
    bench_close(&b);
}

static void a_lost_link_is_not_known_and_the_next_question_is_answered(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    schema_lock(b.s, "select from reveille.run for update");
    b.core.asking = true;
    run_store_plan(b.store, REF, &b.run, 1);
    b.core.asking = false;
    schema_kill_waiting(b.s, &b.w);
    WAIT_UNTIL(&b.w, b.core.plans == 1);
    assert_true(b.core.failed);
    schema_unlock(b.s);
    plan(&b, 1);
    assert_false(b.core.failed);
    bench_close(&b);
}

static void ask_everything(struct bench *b)
{
    const int32_t slice = 0;
    const int64_t offset = 0;
    const struct uuid *run = &b->run.run_id;
    b->core.asking = true;
    run_store_open(b->store);
    run_store_plan(b->store, REF, &b->run, 1);
    run_store_draw(b->store, REF, run, -1, 8);
    run_store_note_published(b->store, REF, run, &slice, &offset, 1);
    run_store_progress(b->store, REF, run);
    run_store_overdue(b->store, REF, run, 8);
    run_store_renew(b->store, REF, &b->run);
    run_store_close(b->store, REF, &b->run);
    run_store_give_up(b->store, REF, &b->run);
    run_store_fail(b->store, REF, &b->run, "why");
    b->core.asking = false;
}

static void what_cannot_be_asked_is_not_known_in_the_next_turn(void **state)
{
    (void)state;
    char nowhere[96];
    int fd;
    struct bench b = {.s = NULL};
    schema_nowhere(nowhere, &fd);
    world_open(&b.w);
    world_connect(&b.w, nowhere, 1);
    world_fill(b.w.db, WORLD_NEVER_MS);
    make_store(&b);
    for (int round = 1; round <= 2; round++) {
        ask_everything(&b);
        WAIT_UNTIL(&b.w, b.core.told >= 10 * round);
        world_turn(&b.w);
        assert_int_equal(b.core.told, 10 * round);
        assert_int_equal(b.core.opens, round);
        assert_int_equal(b.core.plans, round);
        assert_int_equal(b.core.draws, round);
        assert_int_equal(b.core.notes, round);
        assert_int_equal(b.core.progresses, round);
        assert_int_equal(b.core.overdues, round);
        assert_int_equal(b.core.renewals, round);
        assert_int_equal(b.core.closes, 2 * round); /* fail is answered so, too */
        assert_int_equal(b.core.give_ups, round);
    }
    assert_int_equal(b.core.renewed, RENEW_FAILED);
    assert_true(b.core.pages.failed && b.core.progress.failed && b.core.none);
    ask_everything(&b);
    bench_close(&b); /* what was about to be told is forgotten: the sanitizer looks */
    close(fd);
}

static void what_is_under_way_is_not_told_with_what_cannot_be_asked(void **state)
{
    struct bench b;
    bench_open(&b, state);
    open_run(&b);
    schema_lock(b.s, "select from reveille.run for update");
    run_store_plan(b.store, REF, &b.run, 1);
    world_fill(b.w.db, WORLD_NEVER_MS);
    run_store_renew(b.store, REF, &b.run);
    WAIT_UNTIL(&b.w, b.core.renewals == 1);
    assert_int_equal(b.core.renewed, RENEW_FAILED);
    world_turn(&b.w);
    assert_int_equal(b.core.plans, 0);
    schema_unlock(b.s);
    WAIT_UNTIL(&b.w, b.core.plans == 1);
    assert_false(b.core.failed);
    bench_close(&b);
}

static void nothing_is_told_after_the_end(void **state)
{
    struct bench b;
    bench_open(&b, state);
    ask_everything(&b);
    bench_close(&b);
    assert_int_equal(b.core.told, 0);
}

static int setup(void **state)
{
    if (schema_setup(state) != 0) {
        return -1;
    }
    if (*state != NULL) {
        schema_exec(((struct schema *)*state)->pg,
                    "select test.job('u'); select test.mentors(1, 6)");
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("nothing to open is no failure", nothing_to_open_is_no_failure),
        TEST("R-T13: an opened run is told whole, its age first", an_opened_run_is_told_whole),
        TEST("R-P4: a takeover is told as one, with the cursor it goes on at",
             a_takeover_is_told_as_one_with_its_cursor),
        TEST("R-X1: a replay is told as a new run, with its rate, and keeps it in a takeover",
             a_replay_is_told_as_new_with_its_rate),
        TEST("R-P4: a run that cannot be described is a failed open",
             a_run_that_cannot_be_described_is_a_failed_open),
        TEST("R-P4: pages are told with their cursor until the last; a stale one as what is",
             pages_are_told_with_their_cursor_until_the_last),
        TEST("R-P5: slices are drawn until they are noted as published",
             slices_are_drawn_until_they_are_noted),
        TEST("R-D4: what is overdue is told with its offset, or that it has none",
             what_is_overdue_is_told_with_its_offset),
        TEST("progress is told, also of a run that is gone",
             progress_is_told_also_of_a_run_that_is_gone),
        TEST("R-P4: a lease is renewed or lost, and given up", a_lease_is_renewed_or_lost),
        TEST("R-S1: a close tells the summary once the run has ended, whoever ended it",
             a_close_tells_the_summary_once_it_has_ended_whoever_ended_it),
        TEST("a word that is not known is no answer", a_word_that_is_not_known_is_no_answer),
        TEST("R-P4: a page refused for good is told why; one refused for now is not known",
             a_page_refused_for_good_is_told_why),
        TEST("R-S4: a failed run is told by its summary, with the reason",
             a_failed_run_is_told_by_its_summary_with_the_reason),
        TEST("a refused statement is not known, and said once a second at most",
             a_refused_statement_is_not_known_and_said_once_a_second),
        TEST("R-P4: a lost link is not known, and the next question is answered",
             a_lost_link_is_not_known_and_the_next_question_is_answered),
        TEST("R-P4: what cannot be asked is told as not known, once, in the next turn",
             what_cannot_be_asked_is_not_known_in_the_next_turn),
        TEST("what is under way is not told together with what cannot be asked",
             what_is_under_way_is_not_told_with_what_cannot_be_asked),
        TEST("nothing is told after the end", nothing_is_told_after_the_end),
    };
    return cmocka_run_group_tests_name("run_store", tests, setup, schema_teardown);
}
