/* Tests run_publish.c: which slices are drawn when, what becomes of their delivery, how a topic
 * grows. */
#include "run_world.h"

static void no_further_ahead(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 100, false);
    assert_said(w, "open;draw -1+8;"); /* four a partition */
    draws(w, 0, 0, 8);
    forget_said(w);
    passes(w, 500);
    assert_said(w, "");
    progresses(w, 0, RUN_RUNNING, 100, 97);
    assert_said(w, "draw 7+3;");
    world_end(w);
}

static void runs_in_turn(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 100, false);
    opens(w, 1, RUN_RUNNING, 100, false);
    draws(w, 0, 0, 8);
    forget_said(w);
    progresses(w, 0, RUN_RUNNING, 100, 96);
    assert_said(w, "draw other -1+4;");
    draws(w, 1, 0, 4);
    forget_said(w);
    progresses(w, 1, RUN_RUNNING, 100, 98);
    assert_said(w, "draw 7+2;");
    world_end(w);
}

/* A run that goes at a rate: what one tick draws, with all that was drawn before done by then. */
static void drawn_and_done(struct run_world *w, int *drawn, int n)
{
    draws(w, 0, *drawn, n);
    *drawn += n;
    progresses(w, 0, RUN_RUNNING, 1000, 1000 - *drawn);
    forget_said(w);
}

static void opens_with_rate(struct run_world *w, int page_size, int rate)
{
    struct opened_run r = {.fence = 1,
                           .state = RUN_RUNNING,
                           .slices = 1000,
                           .topic_partitions = 2,
                           .page_size = page_size,
                           .rate = rate};
    strcpy(r.engine, "http");
    run_core_opened(w->core, false, &r);
}

static void no_faster_than_the_rate(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    int drawn = 0;
    opens_with_rate(w, 5, 10); /* a slice each half second */
    assert_said(w, "open;draw -1+1;");
    drawn_and_done(w, &drawn, 1);
    assert_int_equal(run_core_next_wake(w->core) > w->now, true);
    passes(w, 499);
    assert_null(strstr(w->said, "draw"));
    passes(w, 1);
    assert_non_null(strstr(w->said, "draw 0+1;"));
    drawn_and_done(w, &drawn, 1);
    passes(w, 10000); /* nobody came by: what was not used is not made up for */
    assert_non_null(strstr(w->said, "draw 1+1;"));
    world_end(w);
}

static void a_high_rate_goes_in_steps(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    int drawn = 0, draws_asked = 0;
    opens_with_rate(w, 1, 50);
    assert_said(w, "open;draw -1+1;");
    drawn_and_done(w, &drawn, 1);
    for (int64_t end = w->now + 10000; w->now < end;) {
        passes(w, 20);
        const char *draw = strstr(w->said, "draw ");
        int limit = draw != NULL ? atoi(strchr(draw, '+') + 1) : 0;
        if (draw != NULL) {
            draws_asked++;
            drawn_and_done(w, &drawn, limit);
        }
        forget_said(w);
    }
    assert_int_equal(drawn, 501);       /* 50 a second, and the first */
    assert_int_equal(draws_asked, 100); /* a step of RATE_STEP_MS each */
    world_end(w);
}

static void a_rate_leaves_no_heap(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    int out = 1;
    opens_with_rate(w, 1, 2);
    draws(w, 0, 0, 1);
    forget_said(w);
    for (int i = 0; i < 100; i++) { /* no worker takes any */
        passes(w, 500);
        if (strstr(w->said, "draw ") != NULL)
            draws(w, 0, out++, 1);
        forget_said(w);
    }
    assert_int_equal(out, 2 * LIMIT_AHEAD_SPAN_MS / 1000);
    world_end(w);
}

static void a_rate_is_one_run_s(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens_with_rate(w, 5, 5);
    draws(w, 0, 0, 1);
    forget_said(w);
    opens(w, 1, RUN_RUNNING, 100, false);
    assert_non_null(strstr(w->said, "draw other -1+7;"));
    world_end(w);
}

static void queue_full(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 4, false);
    w->full = true;
    draws(w, 0, 0, 4);
    assert_said(w, "open;draw -1+8;");
    w->full = false;
    passes(w, 100);
    assert_said(w, "draw -1+8;");
    world_end(w);
}

static void delivery_fails(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 2, false);
    draws(w, 0, 0, 2);
    forget_said(w);
    delivered(w, 0, 0);
    assert_said(w, "note 0@0;");
    run_core_delivered(w->core, w->ref[0], 1, 1, false, -1);
    assert_said(w, "ensure http/2;"); /* perhaps the topic is gone */
    run_core_topic(w->core, "http", true);
    passes(w, RECONCILE_MS);
    assert_said(w, "overdue;");
    overdue(w, 1, -1);
    assert_said(w, "committed;");
    committed(w, 0, -1);
    assert_said(w, "publish 1;");
    world_end(w);
}

static void failures_are_told_together(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 8, false);
    draws(w, 0, 0, 8);
    for (int i = 0; i < 7; i++)
        run_core_delivered(w->core, w->ref[0], i, i % 2, false, -1);
    assert_int_equal(w->failed_notes, 0);
    assert_true(run_core_next_wake(w->core) <= w->now + DELIVERY_SAY_MS);
    passes(w, DELIVERY_SAY_MS);
    run_core_delivered(w->core, w->ref[0], 7, 1, false, -1);
    assert_int_equal(w->failed_notes, 1);
    assert_int_equal(w->failed_noted[0], 7);
    run_core_renewed(w->core, w->ref[0], RENEW_LOST); /* what is left is told with the run's end */
    assert_int_equal(w->failed_notes, 2);
    assert_int_equal(w->failed_noted[1], 1);
    world_end(w);
}

static void partitions_are_raised(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    opens(w, 0, RUN_RUNNING, 8, false);
    forget_said(w);
    struct drawn_slice beyond = {0, 4}; /* planned since the engine's row was raised */
    run_core_drawn(w->core, w->ref[0], false, &beyond, 1);
    assert_said(w, "ensure http/5;"); /* never to another partition than its own */
    run_core_engine(w->core, "http", 8);
    assert_said(w, "");
    run_core_topic(w->core, "http", true);
    assert_said(w, "ensure http/8;"); /* it was raised again while that was asked */
    run_core_topic(w->core, "http", true);
    passes(w, 100);
    assert_said(w, "draw -1+32;"); /* four a partition */
    run_core_drawn(w->core, w->ref[0], false, &beyond, 1);
    assert_said(w, "publish 0;");
    run_core_engine(w->core, "http", 8);
    assert_said(w, "");
    world_end(w);
}

static void a_run_with_more_partitions(void **state)
{
    (void)state;
    struct run_world *w = world_begin();
    struct opened_run r = {.fence = 1, .state = RUN_RUNNING, .slices = 1, .topic_partitions = 6};
    strcpy(r.engine, "http");
    run_core_opened(w->core, false, &r);
    assert_non_null(strstr(w->said, "ensure http/6;"));
    run_core_topic(w->core, "http", false);
    run_core_engine(w->core, "http", 3); /* the broker adds none: it was set back */
    assert_non_null(strstr(w->said, "ensure http/3;"));
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("publishing goes no further ahead than the bound", no_further_ahead),
        TEST("the runs of an engine are published in turn", runs_in_turn),
        TEST("R-X1: a run with a rate is drawn no faster, and makes up for nothing",
             no_faster_than_the_rate),
        TEST("R-X1: a high rate is held in steps", a_high_rate_goes_in_steps),
        TEST("R-X1: a rate leaves no heap for workers that come back", a_rate_leaves_no_heap),
        TEST("R-X1: a run's rate is no other run's", a_rate_is_one_run_s),
        TEST("what Kafka does not take is drawn again", queue_full),
        TEST("a failed delivery: the topic is made sure of, and the slice rung", delivery_fails),
        TEST("failed deliveries are told once a burst, with their number",
             failures_are_told_together),
        TEST("partitions raised under a run: the topic grows, no slice goes elsewhere",
             partitions_are_raised),
        TEST("a topic grows with a run that knows of more, and shrinks with its engine's row",
             a_run_with_more_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
