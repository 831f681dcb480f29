/* Tests the core of the worker where it lets go: revoked and lost partitions, work that outlives
 * them, the drain. */
#include "pool_world.h"

static void revoke_gives_back_first(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    rung(w, 0, 1);
    assigned(w, 1);
    ours(w, 0, "yy", 1);
    ours(w, 1, "yy", 1);
    forget_said(w);
    lend(w, 1);
    pool_revoked(w->pool, false);
    assert_said(w, "call 0/0;release 1;"); /* 0 has begun and may end, 1 has not */
    pool_released(w->pool, false);
    judged(w, 0, 0);
    judged(w, 0, 1);
    assert_said(w, "call 0/1;settle 0 jj;");
    settled(w, 0, SETTLE_DONE);
    assert_said(w, "store 0:1;unassign;");
    world_end(w);
}

static void revoke_has_an_end(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "yy", 1);
    lend(w, 1);
    pool_revoked(w->pool, false);
    forget_said(w);
    passes(w, REVOKE_GRACE_MS - 1);
    assert_said(w, "");
    passes(w, 1);
    assert_said(w, "abort 0;release 0;");
    passes(w, REVOKE_GRACE_MS); /* the database does not answer */
    assert_said(w, "unassign;");
    world_end(w);
}

static void a_lost_assignment_does_not_wait(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "yy", 1);
    lend(w, 1);
    forget_said(w);
    pool_revoked(w->pool, true);
    pool_released(w->pool, false);
    assert_said(w, "abort 0;release 0;unassign;");
    world_end(w);
}

static void late_work_stores_nothing(void **state)
{
    (void)state;
    struct pool_world *w = settling();
    pool_revoked(w->pool, false);
    passes(w, 2 * REVOKE_GRACE_MS);
    assert_said(w, "unassign;");
    struct pool_ref orphan = w->ref[0];
    struct settle_answer done = {.result = SETTLE_DONE};
    pool_settled(w->pool, orphan, &done);
    assert_said(w, "");
    world_end(w);
}

static void next_life_keeps_its_claim(void **state)
{
    (void)state;
    struct pool_world *w = settling();
    pool_revoked(w->pool, false);
    passes(w, 2 * REVOKE_GRACE_MS);
    struct pool_ref orphan = w->ref[0];
    w->next[0] = 0; /* the partition comes back, and the message with it */
    assigned(w, 1);
    ours(w, 0, "y", 1);
    forget_said(w);
    struct settle_answer unknown = {.result = SETTLE_UNKNOWN};
    pool_settled(w->pool, orphan, &unknown);
    w->ref[0] = orphan;
    ours(w, 0, "n", 1);
    assert_said(w, "claim 0;"); /* and no release: the claim is the next life's */
    world_end(w);
}

static void drain(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    rung(w, 0, 1);
    rung(w, 0, 2);
    assigned(w, 1);
    ours(w, 0, "y", 1);
    forget_said(w);
    lend(w, 1);
    pool_drain(w->pool, 5000);
    assert_said(w, "call 0/0;");
    claim_answer(w, 1, CLAIM_FAILED, 0); /* it may be ours */
    assert_said(w, "release 1;");
    pool_released(w->pool, false);
    judged(w, 0, 0);
    settled(w, 0, SETTLE_DONE);
    assert_said(w, "settle 0 j;store 0:1;leave;");
    assert_int_equal(pool_next_wake(w->pool), INT64_MAX);
    int asks = w->asks;
    lend(w, 5);
    pool_messages_waiting(w->pool);
    passes(w, 60000);
    assert_said(w, "");
    assert_int_equal(w->asks, asks);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("on a revoke claims are given back before unassign", revoke_gives_back_first),
        TEST("a revoke ends in time even if nobody answers", revoke_has_an_end),
        TEST("a lost assignment waits for no call", a_lost_assignment_does_not_wait),
        TEST("work that outlives its partition stores no offset", late_work_stores_nothing),
        TEST("work that outlives its partition does not release what has been claimed anew",
             next_life_keeps_its_claim),
        TEST("a drain ends what has begun, gives back the rest, leaves, and is silent", drain),
    };
    return cmocka_run_group_tests_name("pool_leave", tests, NULL, NULL);
}
