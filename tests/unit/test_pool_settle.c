/* Tests pool_settle.c, and with it how a bulk engine's slice is judged: answer in, what is asked
 * for out. */
#include "pool_world.h"

/* ---- subject by subject ------------------------------------------------------------------ */

static void settle_results(void **state)
{
    static const struct {
        enum settle_result result;
        const char *at_once, *later;
    } table[] = {
        {SETTLE_DONE, "store 0:1;", ""},
        {SETTLE_NOT_OPEN, "store 0:1;", ""},
        {SETTLE_DUPLICATE, "settle 0 k careful;", ""},
        {SETTLE_BAD_DATA, "settle 0 k each;", ""},
        {SETTLE_TRANSIENT, "", "settle 0 k;"},
        {SETTLE_FORBIDDEN, "", "claim 0;"},
        {SETTLE_REFUSED, "", "claim 0;"},
        {SETTLE_UNKNOWN, "claim 0;", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct pool_world *w = settling();
        settled(w, 0, table[i].result);
        assert_said(w, table[i].at_once);
        passes(w, 500);
        assert_said(w, table[i].later);
        world_end(w);
    }
}

static void unknown_commit(void **state)
{
    (void)state;
    struct pool_world *w = settling();
    settled(w, 0, SETTLE_UNKNOWN);
    ours(w, 0, "n", 1); /* it was not committed: what was judged still holds */
    assert_said(w, "claim 0;settle 0 k;");
    settled(w, 0, SETTLE_UNKNOWN);
    claim_answer(w, 0, CLAIM_DONE, 0); /* it was */
    assert_said(w, "claim 0;store 0:1;");
    world_end(w);
}

static void deadlocks(void **state)
{
    (void)state;
    struct pool_world *w = settling();
    for (int i = 1; i < SETTLE_TRIES; i++) {
        settled(w, 0, SETTLE_TRANSIENT);
        for (int k = 0; k < 100 && w->said[0] == '\0'; k++)
            passes(w, 100);
        assert_string_equal(strstr(w->said, "settle"), "settle 0 k;");
        forget_said(w);
    }
    settled(w, 0, SETTLE_TRANSIENT);
    for (int k = 0; k < 100 && strstr(w->said, "claim") == NULL; k++)
        passes(w, 100);
    assert_non_null(strstr(w->said, "claim 0;"));
    world_end(w);
}

/* ---- a bulk engine ----------------------------------------------------------------------- */

/* A slice of a bulk engine, its judge under way; w->asks counts from here. */
static struct pool_world *judging(void)
{
    struct pool_world *w = world_begin_bulk();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "", 1);
    assert_said(w, "claim 0;"); /* nothing is lent yet */
    lend(w, 1);
    assert_said(w, "judge 0;");
    return w;
}

static void a_judged_slice_takes_one_place(void **state)
{
    (void)state;
    struct pool_world *w = world_begin_bulk();
    for (int i = 0; i < 4; i++)
        rung(w, i % 2, i);
    assigned(w, 2);
    assert_said(w, "claim 0;claim 1;");
    ours(w, 0, "", 1);
    ours(w, 1, "", 1);
    lend(w, 1);
    assert_said(w, "judge 0;");
    lend(w, 2);
    assert_non_null(strstr(w->said, "judge 1;"));
    assert_null(strstr(w->said, "judge 0;"));
    passes(w, SHARE_ASK_MS);
    assert_int_equal(w->wanted, 2); /* of four slices, two at a time */
    forget_said(w);
    settled(w, 0, SETTLE_DONE);
    assert_non_null(strstr(w->said, "store 0:1;"));
    world_end(w);
}

static void judge_results(void **state)
{
    static const struct {
        enum settle_result result;
        const char *at_once, *later;
        const char *sign; /* what the engine's health hears of it */
    } table[] = {
        {SETTLE_DONE, "store 0:1;", "", "."},
        {SETTLE_NOT_OPEN, "claim 0;", "", "."},
        {SETTLE_DUPLICATE, "judge 0 careful;", "", "."},
        {SETTLE_BAD_DATA, "judge 0 each;", "", "."},
        {SETTLE_TRANSIENT, "", "judge 0;", "."},
        {SETTLE_FORBIDDEN, "", "claim 0;", "."},
        {SETTLE_REFUSED, "", "claim 0;", "x"},
        {SETTLE_UNKNOWN, "claim 0;", "", "x"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct pool_world *w = judging();
        settled(w, 0, table[i].result);
        assert_said(w, table[i].at_once);
        passes(w, 500);
        lend(w, 1);
        assert_said(w, table[i].later);
        passes(w, SHARE_ASK_MS);
        assert_string_equal(w->tries, table[i].sign);
        assert_int_equal(w->ok, table[i].result == SETTLE_DONE);
        world_end(w);
    }
}

/* Until the pool has asked for something. */
static void passes_until_asked(struct pool_world *w)
{
    for (int k = 0; k < 100 && w->said[0] == '\0'; k++)
        passes(w, 100);
}

static void a_forbidden_judge(void **state)
{
    (void)state;
    struct pool_world *w = judging();
    for (int i = 1; i <= SETTLE_TRIES; i++) {
        settled(w, 0, SETTLE_FORBIDDEN);
        passes_until_asked(w);
        assert_said(w, "claim 0;");
        ours(w, 0, "", 1);
        lend(w, 1);
        assert_said(w, i < SETTLE_TRIES ? "judge 0;" : "judge 0 each;");
    }
    settled(w, 0, SETTLE_DONE);
    assert_said(w, "store 0:1;");
    world_end(w);
}

static void a_forbidden_settle(void **state)
{
    (void)state;
    struct pool_world *w = settling();
    for (int i = 1; i <= 2 * SETTLE_TRIES; i++) {
        settled(w, 0, SETTLE_FORBIDDEN);
        passes_until_asked(w);
        assert_said(w, "claim 0;");
        ours(w, 0, "n", 1);
        assert_said(w, "settle 0 k;");
    }
    world_end(w);
}

static void a_judge_again_waits_for_its_place(void **state)
{
    (void)state;
    struct pool_world *w = judging();
    lend(w, 0); /* the limit was lowered meanwhile */
    settled(w, 0, SETTLE_BAD_DATA);
    assert_said(w, "");
    lend(w, 1);
    assert_said(w, "judge 0 each;");
    settled(w, 0, SETTLE_BAD_DATA); /* even so: whose is it? */
    passes(w, 500);
    assert_said(w, "claim 0;");
    ours(w, 0, "", 1);
    lend(w, 1);
    assert_said(w, "judge 0 each;");
    settled(w, 0, SETTLE_DONE);
    assert_said(w, "store 0:1;");
    world_end(w);
}

static void judged_alone(void **state)
{
    (void)state;
    struct pool_world *w = world_begin_bulk();
    rung(w, 0, 0);
    rung(w, 0, 1);
    assigned(w, 1);
    lend(w, 2);
    ours(w, 0, "", ALONE_FROM_ATTEMPT);
    ours(w, 1, "", 1);
    assert_said(w, "claim 0;claim 1;judge 0;release 1;");
    settled(w, 0, SETTLE_DONE);
    assert_said(w, "store 0:1;claim 1;");
    ours(w, 1, "", 1);
    assert_said(w, "judge 1;");
    world_end(w);
}

static void a_drain_waits_for_a_judge(void **state)
{
    (void)state;
    struct pool_world *w = judging();
    rung(w, 0, 1);
    pool_messages_waiting(w->pool);
    ours(w, 1, "", 1);
    forget_said(w);
    pool_drain(w->pool, 5000);
    assert_said(w, "release 1;");
    pool_released(w->pool, false);
    settled(w, 0, SETTLE_DONE);
    assert_said(w, "store 0:1;leave;");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("what follows each result of a settle", settle_results),
        TEST("after an unknown commit the slice is claimed before anything else", unknown_commit),
        TEST("a settle that fails again and again looks whether the slice is still ours",
             deadlocks),
        TEST("R-E3: a bulk engine's slice takes one place, and so many are judged at a time",
             a_judged_slice_takes_one_place),
        TEST("R-D4: what follows each result of a judge, and what is reported of it",
             judge_results),
        TEST("R-E2: a judge that is asked again, one by one, waits for its place",
             a_judge_again_waits_for_its_place),
        TEST("R-E2: a judge that is refused for good is asked one by one after so many tries",
             a_forbidden_judge),
        TEST("a settle that may not write waits for its right", a_forbidden_settle),
        TEST("a bulk engine's slice is judged alone from its third attempt on", judged_alone),
        TEST("a drain waits for a judge that is under way", a_drain_waits_for_a_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
