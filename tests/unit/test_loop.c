/* Tests loop.c: real pipes, real signals, real time; nothing is waited for longer than it takes. */
#include "clock.h"
#include "loop.h"
#include "unit.h"

#include <signal.h>
#include <unistd.h>

#define WATCHDOG_MS 30000

/* What callbacks did, in order, and the handles they may free. */
struct world {
    struct loop *loop;
    struct loop_timer *watchdog;
    struct loop_timer *timers[3];
    struct loop_fd *fd;
    struct loop_signal *sig;
    char log[64];
    size_t n;
    int pipe[2];
    int64_t at_ms;
};

static void say(struct world *w, char what)
{
    if (w->n < sizeof(w->log) - 1) {
        w->log[w->n++] = what;
    }
}

static void on_watchdog(void *arg)
{
    struct world *w = arg;
    say(w, '!');
    loop_stop(w->loop);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->loop = loop_new(NULL);
    assert_non_null(w->loop);
    w->watchdog = loop_timer_new(w->loop, on_watchdog, w, NULL);
    loop_timer_arm(w->watchdog, WATCHDOG_MS);
    assert_int_equal(pipe(w->pipe), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < COUNT_OF(w->timers); i++) {
        loop_timer_free(w->timers[i]);
    }
    loop_fd_free(w->fd);
    loop_signal_free(w->sig);
    loop_timer_free(w->watchdog);
    loop_free(w->loop);
    (void)close(w->pipe[0]);
    (void)close(w->pipe[1]);
    free(w);
    return 0;
}

static void say_0(void *arg)
{
    say(arg, '0');
}

static void say_1(void *arg)
{
    say(arg, '1');
}

static void say_2_and_stop(void *arg)
{
    struct world *w = arg;
    say(w, '2');
    loop_stop(w->loop);
}

static void three_timers(struct world *w)
{
    const loop_timer_fn fns[] = {say_0, say_1, say_2_and_stop};
    for (size_t i = 0; i < 3; i++) {
        w->timers[i] = loop_timer_new(w->loop, fns[i], w, NULL);
        assert_non_null(w->timers[i]);
    }
}

static void timers_fire_in_time_order(void **state)
{
    struct world *w = *state;
    three_timers(w);
    loop_timer_arm(w->timers[2], 30);
    loop_timer_arm(w->timers[1], 15);
    loop_timer_arm(w->timers[0], -1);
    assert_true(loop_timer_armed(w->timers[0]));
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "012");
    assert_false(loop_timer_armed(w->timers[0]));
}

static void arming_again_moves_and_disarming_cancels(void **state)
{
    struct world *w = *state;
    three_timers(w);
    loop_timer_arm(w->timers[0], 1);
    loop_timer_arm(w->timers[1], 1);
    loop_timer_arm(w->timers[0], WATCHDOG_MS * 2);
    loop_timer_disarm(w->timers[1]);
    assert_false(loop_timer_armed(w->timers[1]));
    loop_timer_arm(w->timers[2], 20);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "2");
}

static void spin_ms(int64_t ms)
{
    for (int64_t end_us = clock_mono_us() + ms * 1000; clock_mono_us() < end_us;) {
    }
}

static void note_time_and_stop(void *arg)
{
    struct world *w = arg;
    w->at_ms = clock_mono_us() - w->at_ms;
    loop_stop(w->loop);
}

static void spin_then_arm(void *arg)
{
    struct world *w = arg;
    spin_ms(30);
    w->at_ms = clock_mono_us();
    loop_timer_arm(w->timers[1], 20);
}

static void a_timer_is_never_early(void **state)
{
    struct world *w = *state;
    w->timers[0] = loop_timer_new(w->loop, spin_then_arm, w, NULL);
    w->timers[1] = loop_timer_new(w->loop, note_time_and_stop, w, NULL);
    loop_timer_arm(w->timers[0], 0);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_true(w->at_ms >= 20000);
}

static void arm_itself(void *arg)
{
    struct world *w = arg;
    loop_timer_arm(w->timers[0], 0);
}

static void on_ready(void *arg, unsigned ready)
{
    struct world *w = arg;
    say(w, ready == LOOP_READ ? 'r' : 'w');
    if (w->n == 2) {
        loop_stop(w->loop);
    }
}

static void a_timer_that_arms_itself_starves_nothing(void **state)
{
    struct world *w = *state;
    w->timers[0] = loop_timer_new(w->loop, arm_itself, w, NULL);
    loop_timer_arm(w->timers[0], 0);
    w->fd = loop_fd_new(w->loop, w->pipe[0], LOOP_READ, on_ready, w, NULL);
    assert_int_equal(write(w->pipe[1], "x", 1), 1);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "rr");
}

static void descriptors_are_level_triggered(void **state)
{
    struct world *w = *state;
    w->fd = loop_fd_new(w->loop, w->pipe[1], LOOP_WRITE, on_ready, w, NULL);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "ww");
}

static void no_interest_means_no_callback(void **state)
{
    struct world *w = *state;
    three_timers(w);
    w->fd = loop_fd_new(w->loop, w->pipe[1], LOOP_READ | LOOP_WRITE, on_ready, w, NULL);
    assert_int_equal(loop_fd_set(w->fd, 0, NULL), 0);
    loop_timer_arm(w->timers[2], 10);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "2");
    assert_int_equal(loop_fd_set(w->fd, LOOP_WRITE, NULL), 0);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "2w");
}

static void free_fd(void *arg, unsigned ready)
{
    struct world *w = arg;
    (void)ready;
    say(w, 'f');
    loop_fd_free(TAKE(w->fd));
}

static void free_timer(void *arg)
{
    struct world *w = arg;
    say(w, 't');
    loop_timer_free(TAKE(w->timers[0]));
}

static void free_signal(void *arg, int signo)
{
    struct world *w = arg;
    say(w, signo == SIGUSR1 ? 's' : '?');
    loop_signal_free(TAKE(w->sig));
}

static void all_may_be_freed_by_their_callbacks(void **state)
{
    struct world *w = *state;
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    /* Readable and writable at once would be two callbacks: the second must not come. */
    assert_int_equal(write(pair[1], "x", 1), 1);
    w->fd = loop_fd_new(w->loop, pair[0], LOOP_READ | LOOP_WRITE, free_fd, w, NULL);
    w->timers[0] = loop_timer_new(w->loop, free_timer, w, NULL);
    w->timers[2] = loop_timer_new(w->loop, say_2_and_stop, w, NULL);
    w->sig = loop_signal_new(w->loop, SIGUSR1, free_signal, w, NULL);
    assert_non_null(w->sig);
    assert_int_equal(raise(SIGUSR1), 0);
    loop_timer_arm(w->timers[0], 5);
    loop_timer_arm(w->timers[2], 20);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_int_equal(w->n, 4);
    assert_non_null(strchr(w->log, 'f'));
    assert_non_null(strchr(w->log, 't'));
    assert_non_null(strchr(w->log, 's'));
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void stop_and_free_the_other(void *arg)
{
    struct world *w = arg;
    say(w, '0');
    loop_timer_free(TAKE(w->timers[1]));
    loop_stop(w->loop);
}

static void what_is_freed_is_not_called_even_when_due(void **state)
{
    struct world *w = *state;
    w->timers[0] = loop_timer_new(w->loop, stop_and_free_the_other, w, NULL);
    w->timers[1] = loop_timer_new(w->loop, say_1, w, NULL);
    loop_timer_arm(w->timers[0], 1);
    loop_timer_arm(w->timers[1], 2);
    spin_ms(5); /* both are due in one turn */
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "0");
}

static void stop_lets_due_callbacks_run(void **state)
{
    struct world *w = *state;
    w->timers[0] = loop_timer_new(w->loop, say_2_and_stop, w, NULL);
    w->timers[1] = loop_timer_new(w->loop, say_1, w, NULL);
    loop_timer_arm(w->timers[0], 1);
    loop_timer_arm(w->timers[1], 2);
    spin_ms(5);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    assert_string_equal(w->log, "21");
}

static void an_empty_loop_is_an_error(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    loop_timer_disarm(w->watchdog);
    assert_int_equal(loop_run(w->loop, &err), -1);
    assert_err(err, ERR_SYSTEM);
}

#define WORLD(sentence, function)                     \
    {                                                 \
        (sentence), (function), setup, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD("timers fire in the order of their times", timers_fire_in_time_order),
        WORLD("arming again moves a timer, disarming cancels it",
              arming_again_moves_and_disarming_cancels),
        WORLD("a timer armed late in a long turn is not early, and the turn's length is told",
              a_timer_is_never_early),
        WORLD("a timer that arms itself at once starves no descriptor",
              a_timer_that_arms_itself_starves_nothing),
        WORLD("a descriptor that stays ready calls again", descriptors_are_level_triggered),
        WORLD("a watch without interest is silent and can be woken", no_interest_means_no_callback),
        WORLD("watches, timers and signals may be freed by their own callbacks",
              all_may_be_freed_by_their_callbacks),
        WORLD("what is freed is not called, even when it is due in the same turn",
              what_is_freed_is_not_called_even_when_due),
        WORLD("loop_stop lets the callbacks run that are due", stop_lets_due_callbacks_run),
        WORLD("a loop with nothing to wait for says so instead of hanging",
              an_empty_loop_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
