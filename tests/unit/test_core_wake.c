/* Tests core_wake.c: the core is woken when it asked to be, not before its start, and not forgotten
 * when it asked for an instant that has passed or for none at all. */
#include "core_witness.h"

#include "clock.h"

struct bench {
    struct run_core core;
    struct core_wake *wake;
    struct loop_timer *timer;
    bool timer_came;
};

static void stop(void *arg)
{
    struct bench *b = arg;
    b->timer_came = true;
    loop_stop(b->core.loop);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->core.loop = loop_new(NULL);
    b->core.next_wake = INT64_MAX;
    b->wake = core_wake_new(b->core.loop, &b->core, NULL);
    b->timer = loop_timer_new(b->core.loop, stop, b, NULL);
    assert_true(b->wake != NULL && b->timer != NULL);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    core_wake_free(b->wake);
    loop_timer_free(b->timer);
    loop_free(b->core.loop);
    free(b);
    return 0;
}

/* Runs until the core is told something, or for so long. True: it was. */
static bool told_within(struct bench *b, int64_t ms)
{
    int before = b->core.told;
    b->timer_came = false;
    loop_timer_arm(b->timer, ms);
    while (b->core.told == before && !b->timer_came) {
        assert_int_equal(loop_run(b->core.loop, NULL), 0);
    }
    loop_timer_disarm(b->timer);
    return b->core.told > before;
}

static void before_the_start_nothing_wakes_it(void **state)
{
    struct bench *b = *state;
    b->core.next_wake = 0;
    core_wake_rearm(b->wake);
    assert_false(told_within(b, 0));
    core_wake_start(b->wake);
    assert_int_equal(b->core.ticks, 0); /* from the loop, not from within */
    assert_true(told_within(b, 30000));
    assert_ptr_equal(core_wake_core(b->wake), &b->core);
}

static void it_wakes_when_the_core_asked_and_again_behind_it(void **state)
{
    struct bench *b = *state;
    core_wake_start(b->wake);
    assert_true(told_within(b, 30000));
    int64_t at = clock_mono_ms() + 50;
    b->core.next_wake = at;
    core_wake_rearm(b->wake);
    assert_true(told_within(b, 30000));
    assert_true(clock_mono_ms() >= at);
    b->core.next_wake = clock_mono_ms() + 1; /* asked behind the tick, without a rearm */
    assert_true(told_within(b, 30000));
    assert_int_equal(b->core.ticks, 3);
}

static void what_is_overdue_is_woken_at_once(void **state)
{
    static const int64_t past[] = {0, INT64_MIN / 2, -1};
    struct bench *b = *state;
    core_wake_start(b->wake);
    for (size_t i = 0; i < COUNT_OF(past); i++) {
        b->core.next_wake = past[i];
        core_wake_rearm(b->wake);
        assert_true(told_within(b, 30000));
    }
}

/* "Never" must not become "at once" by an overflow, and an earlier wish moves the clock. */
static void never_is_not_at_once_and_can_be_taken_back(void **state)
{
    static const int64_t far[] = {INT64_MAX, INT64_MAX - 1};
    struct bench *b = *state;
    core_wake_start(b->wake);
    assert_true(told_within(b, 30000));
    for (size_t i = 0; i < COUNT_OF(far); i++) {
        b->core.next_wake = far[i];
        core_wake_rearm(b->wake);
        assert_false(told_within(b, 0));
        assert_false(told_within(b, 0));
    }
    b->core.next_wake = clock_mono_ms() + 5;
    core_wake_rearm(b->wake);
    b->core.next_wake = INT64_MAX;
    assert_true(told_within(b, 30000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"before the start nothing wakes the core, then it is woken at once",
         before_the_start_nothing_wakes_it, setup, teardown, NULL},
        {"it wakes when the core asked to, and again behind each tick",
         it_wakes_when_the_core_asked_and_again_behind_it, setup, teardown, NULL},
        {"R-P4: what is overdue is woken at once", what_is_overdue_is_woken_at_once, setup,
         teardown, NULL},
        {"never is not at once, and can be taken back", never_is_not_at_once_and_can_be_taken_back,
         setup, teardown, NULL},
    };
    return cmocka_run_group_tests_name("core_wake", tests, NULL, NULL);
}
