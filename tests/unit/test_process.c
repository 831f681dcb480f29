/* Tests process.c: real signals to this process, and a pipe whose reader is slow. */
#include "unit.h"

#include "limits.h"
#include "process.h"

#include <fcntl.h>
#include <signal.h>

#define WAIT_MS 10000

struct life {
    struct loop *loop;
    struct loop_timer *patience;
    struct log *log;
    struct process *process;
    int ends[2]; /* of the pipe that the log writes to */
    int drains, hurries, reloads;
    const char *signal_name;
    bool late;
};

static void on_drain(void *arg, const char *signal_name)
{
    struct life *l = arg;
    l->drains++;
    l->signal_name = signal_name;
    loop_stop(l->loop);
}

static void on_hurry(void *arg)
{
    struct life *l = arg;
    l->hurries++;
    loop_stop(l->loop);
}

static void on_reload(void *arg)
{
    struct life *l = arg;
    l->reloads++;
    loop_stop(l->loop);
}

static void on_late(void *arg)
{
    struct life *l = arg;
    l->late = true;
    loop_stop(l->loop);
}

static void life_open(struct life *l, int64_t give_up_ms)
{
    *l = (struct life){.loop = loop_new(NULL)};
    assert_non_null(l->loop);
    assert_int_equal(pipe2(l->ends, O_NONBLOCK | O_CLOEXEC), 0);
    l->log = log_new(l->ends[1], "test", LOG_INFO, NULL);
    l->patience = loop_timer_new(l->loop, on_late, l, NULL);
    assert_true(l->log != NULL && l->patience != NULL);
    struct process_config cfg = {.loop = l->loop,
                                 .log = l->log,
                                 .give_up_ms = give_up_ms,
                                 .drain = on_drain,
                                 .hurry = on_hurry,
                                 .reload = on_reload,
                                 .arg = l};
    l->process = process_new(&cfg, NULL);
    assert_non_null(l->process);
}

static void life_close(struct life *l)
{
    process_free(l->process);
    loop_timer_free(l->patience);
    loop_free(l->loop);
    log_free(l->log);
    (void)close(l->ends[0]);
    (void)close(l->ends[1]);
}

/* Until a callback stops the loop. */
static void turn(struct life *l)
{
    loop_timer_arm(l->patience, WAIT_MS);
    assert_int_equal(loop_run(l->loop, NULL), 0);
    assert_false(l->late);
}

static void drains_once_then_hurries(void **state)
{
    (void)state;
    struct life l;
    life_open(&l, WAIT_MS);
    assert_int_equal(raise(SIGTERM), 0);
    turn(&l);
    assert_int_equal(l.drains, 1);
    assert_string_equal(l.signal_name, "SIGTERM");
    assert_int_equal(l.hurries, 0);
    assert_int_equal(raise(SIGINT), 0);
    turn(&l);
    assert_int_equal(l.drains, 1);
    assert_int_equal(l.hurries, 1);
    life_close(&l);
}

static void gives_up_in_the_end(void **state)
{
    (void)state;
    struct life l;
    life_open(&l, 20);
    assert_int_equal(raise(SIGINT), 0);
    turn(&l);
    assert_string_equal(l.signal_name, "SIGINT");
    turn(&l);
    assert_int_equal(l.drains, 1);
    assert_int_equal(l.hurries, 1);
    life_close(&l);
}

static void reloads_as_often_as_asked(void **state)
{
    (void)state;
    struct life l;
    life_open(&l, WAIT_MS);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(raise(SIGHUP), 0);
        turn(&l);
        assert_int_equal(l.reloads, i);
    }
    assert_int_equal(l.drains, 0);
    life_close(&l);
}

static void survives_signals_behind_its_end(void **state)
{
    (void)state;
    struct life l;
    life_open(&l, WAIT_MS);
    process_free(TAKE(l.process));
    assert_int_equal(raise(SIGTERM), 0); /* any of these would end the test */
    assert_int_equal(raise(SIGINT), 0);
    assert_int_equal(raise(SIGHUP), 0);
    assert_int_equal(raise(SIGPIPE), 0);
    life_close(&l);
}

static void read_until_flushed(void *arg, unsigned ready)
{
    struct life *l = arg;
    char bytes[65536];
    (void)ready;
    while (read(l->ends[0], bytes, sizeof(bytes)) > 0)
        ;
    if (!log_pending(l->log))
        loop_stop(l->loop);
}

static void flushes_what_had_to_wait(void **state)
{
    (void)state;
    struct life l;
    life_open(&l, WAIT_MS);
    while (!log_pending(l.log)) /* more than the pipe takes */
        log_event(l.log, EV_PROCESS_READY, log_int("after_ms", 1));
    struct loop_fd *reader =
        loop_fd_new(l.loop, l.ends[0], LOOP_READ, read_until_flushed, &l, NULL);
    assert_non_null(reader);
    turn(&l); /* nothing more is said: only the timer can flush */
    assert_false(log_pending(l.log));
    loop_fd_free(reader);
    life_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("the first SIGTERM drains, the second signal hurries", drains_once_then_hurries),
        TEST("a drain without an end ends in a hurry after give_up_ms", gives_up_in_the_end),
        TEST("every SIGHUP reloads", reloads_as_often_as_asked),
        TEST("signals behind the end of the process's watch stop nothing",
             survives_signals_behind_its_end),
        TEST("log lines that had to wait go out by themselves", flushes_what_had_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
