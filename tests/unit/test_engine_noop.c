/* Tests engine_noop.c, and with it what every engine owes (engine.h): each call is answered once,
 * never from within its start, and not at all when its slice was aborted. */
#include "unit.h"

#include "engine_noop.h"
#include "limits.h"
#include "loop.h"

struct bench {
    struct loop *loop;
    struct loop_timer *timer; /* ends a wait */
    struct engine engine;
    bool starting;
    int answers, wanted;
    int restarts;           /* an answer starts so many calls anew */
    bool aborting;          /* the first answer aborts slot 1 */
    struct call_ref ref;    /* of the last answer */
    unsigned char *seen[2]; /* how often each subject of slots 0 and 1 was answered */
};

static void start(struct bench *b, uint32_t slot, uint32_t generation, int32_t subject)
{
    struct engine_call call = {.ref = {slot, generation, subject}, .traceparent = ""};
    b->starting = true;
    b->engine.start(b->engine.self, &call);
    b->starting = false;
}

static void on_answer(void *arg, struct call_ref ref, struct answer *answer, int64_t duration_us)
{
    struct bench *b = arg;
    assert_false(b->starting);
    assert_true(answer->ok);
    assert_false(answer->retry);
    assert_int_equal(answer->sign, TRY_ANSWERED);
    assert_int_equal(answer->n, 0); /* nothing is due */
    assert_true(duration_us >= 0);
    answer_free(answer);
    b->answers++;
    b->ref = ref;
    b->seen[ref.slot][ref.subject]++;
    if (b->aborting) {
        b->aborting = false;
        b->engine.abort_slice(b->engine.self, 1, 1);
    }
    if (b->restarts > 0) {
        b->restarts--;
        start(b, ref.slot, ref.generation, ref.subject);
    }
    if (b->answers == b->wanted) {
        loop_stop(b->loop);
    }
}

static void stop(void *arg)
{
    loop_stop(((struct bench *)arg)->loop);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->loop = loop_new(NULL);
    b->timer = loop_timer_new(b->loop, stop, b, NULL);
    b->seen[0] = calloc(LIMIT_SHARE_WANT, 1);
    b->seen[1] = calloc(LIMIT_SHARE_WANT, 1);
    assert_int_equal(engine_noop_new(b->loop, on_answer, b, &b->engine, NULL), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    if (b->engine.self != NULL) {
        b->engine.free(b->engine.self);
    }
    loop_timer_free(b->timer);
    loop_free(b->loop);
    free(b->seen[0]);
    free(b->seen[1]);
    free(b);
    return 0;
}

/* Runs until `wanted` answers are there. */
static void run(struct bench *b, int wanted)
{
    b->wanted = wanted;
    loop_timer_arm(b->timer, 30000);
    assert_int_equal(loop_run(b->loop, NULL), 0);
    loop_timer_disarm(b->timer);
    assert_int_equal(b->answers, wanted);
}

/* One turn, in which whatever is due comes. */
static void turn(struct bench *b)
{
    loop_timer_arm(b->timer, 0);
    assert_int_equal(loop_run(b->loop, NULL), 0);
}

static void every_call_of_a_full_share_is_answered_once(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < LIMIT_SHARE_WANT; i++) {
        start(b, 0, 1, i);
    }
    assert_int_equal(b->answers, 0);
    run(b, LIMIT_SHARE_WANT);
    for (int i = 0; i < LIMIT_SHARE_WANT; i++) {
        assert_int_equal(b->seen[0][i], 1);
    }
    start(b, 0, 2, 5); /* and the next one, when there is none left */
    run(b, LIMIT_SHARE_WANT + 1);
    assert_int_equal(b->ref.generation, 2);
}

static void an_aborted_slice_is_answered_no_more(void **state)
{
    struct bench *b = *state;
    start(b, 0, 1, 0);
    start(b, 1, 1, 1);
    start(b, 1, 2, 2); /* the slot's next slice */
    start(b, 1, 1, 3);
    b->engine.abort_slice(b->engine.self, 1, 1);
    run(b, 2);
    turn(b);
    turn(b);
    assert_int_equal(b->answers, 2);
    assert_int_equal(b->seen[0][0], 1);
    assert_int_equal(b->seen[1][2], 1);
}

static void an_answer_may_abort_what_is_left(void **state)
{
    struct bench *b = *state;
    start(b, 1, 1, 0);
    start(b, 1, 1, 1);
    start(b, 0, 1, 2); /* answered first, and aborts the others */
    b->aborting = true;
    run(b, 1);
    turn(b);
    turn(b);
    assert_int_equal(b->answers, 1);
    start(b, 0, 1, 3); /* the clock is not lost with them */
    run(b, 2);
}

/* Slices that go on and on never keep the loop from its other work, and are not forgotten. */
static void calls_that_answers_start_leave_the_loop_its_turns(void **state)
{
    struct bench *b = *state;
    b->restarts = INT32_MAX;
    start(b, 0, 1, 0);
    start(b, 0, 1, 1);
    turn(b); /* ends, because its timer had its turn, too */
    int before = b->answers;
    assert_true(before > 0);
    turn(b);
    assert_true(b->answers > before);
    b->restarts = 0;
    run(b, b->answers + 2);
}

static void nothing_is_told_after_the_end(void **state)
{
    struct bench *b = *state;
    start(b, 0, 1, 0);
    b->engine.free(b->engine.self);
    b->engine.self = NULL;
    turn(b);
    turn(b);
    assert_int_equal(b->answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"R-E1: as many calls as can be lent are answered, each once, in a later turn",
         every_call_of_a_full_share_is_answered_once, setup, teardown, NULL},
        {"R-D4: an aborted slice is answered no more; the slot's next one is",
         an_aborted_slice_is_answered_no_more, setup, teardown, NULL},
        {"an answer may abort what is left", an_answer_may_abort_what_is_left, setup, teardown,
         NULL},
        {"calls that answers start leave the loop its turns",
         calls_that_answers_start_leave_the_loop_its_turns, setup, teardown, NULL},
        {"nothing is told after the end", nothing_is_told_after_the_end, setup, teardown, NULL},
    };
    return cmocka_run_group_tests_name("engine_noop", tests, NULL, NULL);
}
