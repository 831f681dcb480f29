/* Tests run_core.c, run_reconcile.c and run_state.c: event in, what is asked for out. Publishing is
 * test_run_publish.c's, the rare orders of events are the simulator's (tests/sim). */
#include "run_world.h"

/* A run of ten slices, all drawn and delivered at offsets 0 … 4 of both partitions, and noted. */
static struct run_world *published(void)
{
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 8, false);
    draws(w, 0, 0, 8);
    for (int i = 0; i < 8; i++) {
        delivered(w, i, i / 2);
        run_core_noted(w->core, w->ref[0], false);
    }
    forget_said(w);
    run_core_tick(w->core);
    assert_said(w, "");
    return w;
}

/* ---- planning ---------------------------------------------------------------------------- */

static void first_page_alone(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_PLANNING, 0, false);
    assert_said(w, "open;plan 1;");
    plans(w, PLAN_MORE, 1);
    assert_said(w, "plan 10;draw -1+8;"); /* publishing does not wait for planning */
    plans(w, PLAN_MORE, 11);
    assert_said(w, "plan 10;");
    plans(w, PLAN_LAST, 15);
    assert_said(w, "");
    world_end(w);
}

static void plan_without_an_answer(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    struct planned_pages lost = {.failed = true};
    opens(w, 0, RUN_PLANNING, 0, false);
    run_core_planned(w->core, w->ref[0], &lost);
    forget_said(w);
    passes(w, 199);
    assert_said(w, "");
    passes(w, 1);
    assert_said(w, "plan 1;");
    plans(w, PLAN_STALE, 1); /* it had been done */
    assert_said(w, "renew;");
    run_core_renewed(w->core, w->ref[0], RENEWED);
    assert_said(w, "plan 10;draw -1+8;");
    world_end(w);
}

/* The database refuses page after page for good, each asked for when the back-off is over. */
static void refuses(struct run_world *w, int times)
{
    struct planned_pages refused = {.failed = true, .refused = "22012: division by zero"};
    for (int i = 0; i < times; i++) {
        run_core_planned(w->core, w->ref[0], &refused);
        passes(w, PLAN_AGAIN_MAX_MS);
        run_core_renewed(w->core, w->ref[0], RENEWED);
    }
}

static void refused_for_good(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_PLANNING, 0, false);
    refuses(w, LIMIT_PLAN_REFUSALS - 1);
    assert_null(strstr(w->said, "fail"));
    refuses(w, 1);
    assert_non_null(strstr(w->said, "fail 22012: division by zero;"));
    forget_said(w);
    passes(w, PLAN_AGAIN_MAX_MS);
    assert_null(strstr(w->said, "plan"));            /* while it is being failed */
    run_core_closed(w->core, w->ref[0], true, NULL); /* not known: the database is away */
    passes(w, PLAN_AGAIN_MAX_MS);
    assert_non_null(strstr(w->said, "plan 1;"));
    refuses(w, 1);
    assert_non_null(strstr(w->said, "fail"));
    run_core_closed(w->core, w->ref[0], false, "{}");
    assert_int_equal(run_core_leads(w->core), 0);
    world_end(w);
}

static void refusals_in_between(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    struct planned_pages lost = {.failed = true};
    opens(w, 0, RUN_PLANNING, 0, false);
    for (int i = 0; i < 50; i++) {
        run_core_planned(w->core, w->ref[0], &lost);
        passes(w, PLAN_AGAIN_MAX_MS);
        run_core_renewed(w->core, w->ref[0], RENEWED);
        forget_said(w);
    }
    refuses(w, LIMIT_PLAN_REFUSALS - 1);
    plans(w, PLAN_MORE, 1); /* it was mended */
    refuses(w, LIMIT_PLAN_REFUSALS - 1);
    assert_null(strstr(w->said, "fail"));
    world_end(w);
}

static void lease_lost(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_PLANNING, 0, false);
    plans(w, PLAN_STALE, 4);
    assert_said(w, "open;plan 1;renew;");
    run_core_opened(w->core, false, NULL);
    run_core_renewed(w->core, w->ref[0], RENEW_LOST);
    assert_int_equal(run_core_leads(w->core), 0);
    assert_said(w, "open;");
    world_end(w);
}

static void lease_is_renewed(void **state)
{
    (void)state;
    struct run_world *w = published();
    passes(w, LEASE_RENEW_MS);
    assert_non_null(strstr(w->said, "renew;"));
    run_core_renewed(w->core, w->ref[0], RENEW_FAILED);
    forget_said(w);
    passes(w, 200);
    assert_said(w, "renew;");
    world_end(w);
}

static void takeover(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    w->tells_progress = true;
    opens(w, 0, RUN_RUNNING, 30, true);
    assert_said(w, "open;progress;draw -1+8;"); /* from the plan, whatever was published before */
    draws(w, 0, 20, 8);
    assert_said(w, "publish 20;publish 21;publish 22;publish 23;publish 24;publish 25;publish 26;"
                   "publish 27;");
    world_end(w);
}

/* ---- ring again -------------------------------------------------------------------------- */

static void rings_what_was_read(void **state)
{
    (void)state;
    struct run_world *w = published();
    passes(w, RECONCILE_MS);
    overdue(w, 2, 1);
    assert_said(w, "overdue;committed;");
    committed(w, 2, 0); /* the group is past offset 1 of partition 0 */
    assert_said(w, "publish 2;");
    overdue(w, 2, 1);
    assert_said(w, ""); /* it is under way */
    world_end(w);
}

static void not_into_a_lag(void **state)
{
    (void)state;
    struct run_world *w = published();
    passes(w, RECONCILE_MS);
    overdue(w, 2, 1);
    committed(w, 1, 0);
    assert_said(w, "overdue;committed;");
    run_core_committed(w->core, "http", NULL, 0);
    assert_said(w, "");
    world_end(w);
}

/* Looks every second, as the core does, and says at which second it rang. */
static int second_of_the_ring(struct run_world *w, int64_t committed_offset)
{
    for (int second = 1; second < 200; second++) {
        passes(w, 1000);
        run_core_renewed(w->core, w->ref[0], RENEWED);
        forget_said(w);
        overdue(w, 6, 3);
        committed(w, committed_offset, 0);
        if (strstr(w->said, "publish 6;") != NULL)
            return second;
    }
    return -1;
}

static void stands_still(void **state)
{
    (void)state;
    struct run_world *w = published();
    assert_int_equal(second_of_the_ring(w, 1), 1 + OFFSET_STILL_MS / 1000);
    world_end(w);
}

static void still_for_want_of_messages(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 8, false);
    draws(w, 0, 0, 8);
    for (int second = 0; second < 100; second++) { /* all is read, and nothing comes */
        passes(w, 1000);
        overdue(w, 1, 0);
        committed(w, 3, 0);
    }
    delivered(w, 6, 3);
    run_core_noted(w->core, w->ref[0], false);
    assert_true(second_of_the_ring(w, 3) >= OFFSET_STILL_MS / 1000);
    world_end(w);
}

static void not_seen_is_not_still(void **state)
{
    (void)state;
    struct run_world *w = published();
    passes(w, RECONCILE_MS);
    overdue(w, 6, 3);
    committed(w, 1, 0);
    passes(w, 24 * 3600 * 1000); /* nobody looked all day: nothing was overdue */
    assert_true(second_of_the_ring(w, 1) >= OFFSET_STILL_MS / 1000);
    world_end(w);
}

static void offsets_fell(void **state)
{
    (void)state;
    struct run_world *w = published();
    passes(w, RECONCILE_MS);
    overdue(w, 6, 9);
    committed(w, 4, 4);
    assert_null(strstr(w->said, "publish 6;"));
    passes(w, RECONCILE_MS);
    overdue(w, 6, 9);
    committed(w, -1, -1); /* the broker came back empty */
    assert_non_null(strstr(w->said, "publish 6;"));
    world_end(w);
}

static void log_made_anew(void **state)
{
    (void)state;
    struct run_world *w = published();
    passes(w, RECONCILE_MS);
    overdue(w, 0, -1);
    committed(w, 4, 4);
    forget_said(w);
    delivered(w, 0, 0); /* below the offsets before: this is another log */
    run_core_noted(w->core, w->ref[0], false);
    forget_said(w);
    passes(w, RECONCILE_MS);
    overdue(w, 6, 3);
    committed(w, 0, 0);
    assert_non_null(strstr(w->said, "publish 6;"));
    world_end(w);
}

static void not_drawn_yet(void **state)
{
    (void)state;
    struct run_world *w = published();
    passes(w, RECONCILE_MS);
    overdue(w, 8, -1); /* the publisher has not come to it: it will be drawn */
    committed(w, 0, 0);
    assert_said(w, "overdue;committed;");
    world_end(w);
}

/* ---- the end ----------------------------------------------------------------------------- */

static void closes_once(void **state)
{
    (void)state;
    struct run_world *w = published();
    progresses(w, 0, RUN_PLANNING, 8, 0);
    assert_said(w, ""); /* more may come */
    progresses(w, 0, RUN_RUNNING, 8, 1);
    assert_said(w, "");
    progresses(w, 0, RUN_RUNNING, 8, 0);
    progresses(w, 0, RUN_RUNNING, 8, 0);
    assert_said(w, "close;");
    run_core_closed(w->core, w->ref[0], true, NULL);
    progresses(w, 0, RUN_COMPLETED, 8, 0); /* it was: the summary is still to come */
    assert_said(w, "renew;close;");
    run_core_closed(w->core, w->ref[0], false, "{}");
    assert_int_equal(run_core_leads(w->core), 0);
    world_end(w);
}

static void drain_gives_leases_up(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_PLANNING, 0, false);
    run_core_opened(w->core, false, NULL);
    forget_said(w);
    run_core_drain(w->core);
    assert_said(w, ""); /* the plan under way is waited for */
    plans(w, PLAN_MORE, 1);
    assert_said(w, "give_up;");
    run_core_given_up(w->core, w->ref[0]);
    assert_said(w, "stopped;");
    assert_int_equal(run_core_next_wake(w->core), INT64_MAX);
    run_core_topic(w->core, "http", false);
    run_core_rung(w->core);
    passes(w, 60000);
    assert_said(w, "");
    world_end(w);
}

static void open_in_a_drain(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    run_core_drain(w->core);
    assert_said(w, "");
    opens(w, 0, RUN_PLANNING, 0, false); /* it was on its way: it is led, and so given up */
    assert_said(w, "give_up;");
    run_core_given_up(w->core, (struct lead_ref){0, 1});
    assert_said(w, "stopped;");
    world_end(w);
}

static void polls_for_requests(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    run_core_opened(w->core, false, NULL);
    passes(w, INBOX_POLL_MS - 1);
    assert_said(w, "");
    passes(w, 1);
    assert_said(w, "open;");
    run_core_rung(w->core); /* while that is under way */
    run_core_opened(w->core, false, NULL);
    assert_said(w, "open;");
    run_core_opened(w->core, false, NULL);
    run_core_listening(w->core, true);
    run_core_opened(w->core, false, NULL);
    forget_said(w);
    passes(w, INBOX_POLL_LISTENING_MS - 1);
    assert_said(w, "");
    passes(w, 1);
    assert_said(w, "open;");
    world_end(w);
}

static void the_watchdog(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    assert_int_equal(w->watches, 1);
    passes(w, WATCHDOG_MS - 1);
    assert_int_equal(w->watches, 1);
    assert_true(run_core_next_wake(w->core) <= w->now + 1);
    passes(w, 1);
    assert_int_equal(w->watches, 2);
    run_core_drain(w->core);
    passes(w, WATCHDOG_MS);
    assert_int_equal(w->watches, 2);
    world_end(w);
}

static void state_names(void **state)
{
    enum run_state s;
    (void)state;
    for (int i = RUN_PLANNING; i <= RUN_FAILED; i++) {
        assert_true(run_state_parse(run_state_name((enum run_state)i), &s));
        assert_int_equal(s, i);
        assert_int_equal(run_state_ended(s), i > RUN_RUNNING);
    }
    assert_false(run_state_parse("asleep", &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("the first page is planned alone, then ten at a time", first_page_alone),
        TEST("a plan without an answer is asked again; if it had been done, it is gone on with",
             plan_without_an_answer),
        TEST("R-S3: a run whose page is refused for good is failed, after a few tries",
             refused_for_good),
        TEST("a page that is only not answered is asked for again and again", refusals_in_between),
        TEST("a stale plan and a lost lease: somebody else leads the run", lease_lost),
        TEST("the lease is renewed, and soon again after a failure", lease_is_renewed),
        TEST("a run taken over is published from the plan", takeover),
        TEST("a slice whose message was read is rung again, once at a time", rings_what_was_read),
        TEST("a slice whose message was not read yet is not rung", not_into_a_lag),
        TEST("unless the group stands still for a minute", stands_still),
        TEST("a group with nothing to read does not stand still", still_for_want_of_messages),
        TEST("a group that nobody looked at did not stand still", not_seen_is_not_still),
        TEST("and unless the log was made anew", log_made_anew),
        TEST("or the group's offsets fell, as on a broker that came back empty", offsets_fell),
        TEST("a slice that is still to be drawn is not rung", not_drawn_yet),
        TEST("a run is closed once, when nothing is pending any more", closes_once),
        TEST("a drain gives the leases up, stops, and is silent", drain_gives_leases_up),
        TEST("a run opened in a drain is given up", open_in_a_drain),
        TEST("requests are polled for, more often where LISTEN has not proven itself",
             polls_for_requests),
        TEST("R-T13: the watchdog looks at the start and every 30 s, and not in a drain",
             the_watchdog),
        TEST("a state's name is its name in the database", state_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
