/* Tests pool_core.c, pool_slice.c, pool_calls.c, pool_window.c (pool_settle.c and pool_leave.c have
 * their own): event in, what is asked for out. The rare orders of events are the simulator's. */
#include "pool_world.h"

/* ---- window and offsets ------------------------------------------------------------------ */

static void window_and_gaps(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    for (int i = 0; i < 4; i++)
        rung(w, 0, i);
    assigned(w, 1);
    lend(w, 10);
    assert_said(w, "claim 0;claim 1;");
    ours(w, 0, "n", 1);
    ours(w, 1, "n", 1);
    assert_said(w, "settle 0 k;settle 1 k;");
    settled(w, 1, SETTLE_DONE);
    assert_said(w, "claim 2;"); /* slice 0 is not done: no offset moves */
    settled(w, 0, SETTLE_DONE);
    assert_said(w, "store 0:2;claim 3;");
    world_end(w);
}

static void dead_letters(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    w->message[0][0].bad = "unreadable";
    rung(w, 0, 1);
    assigned(w, 1);
    assert_said(w, "dead 0:0 unreadable;store 0:1;claim 1;");
    claim_answer(w, 1, CLAIM_UNKNOWN, 0);
    assert_said(w, "dead 0:1 unknown_slice;store 0:2;");
    world_end(w);
}

static void rung_twice(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 5);
    rung(w, 0, 5);
    assigned(w, 1);
    assert_said(w, "claim 5;");
    claim_answer(w, 5, CLAIM_DONE, 0);
    assert_said(w, "store 0:2;");
    world_end(w);
}

/* ---- claims ------------------------------------------------------------------------------ */

static void busy_twice(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    forget_said(w);
    claim_answer(w, 0, CLAIM_BUSY, 7000);
    passes(w, 6999);
    assert_said(w, "");
    passes(w, 1);
    assert_said(w, "claim 0;");
    claim_answer(w, 0, CLAIM_BUSY, 9000);
    assert_said(w, "store 0:1;");
    world_end(w);
}

static void claim_fails(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    forget_said(w);
    claim_answer(w, 0, CLAIM_FAILED, 0);
    assert_said(w, "");
    passes(w, 400);
    assert_said(w, "claim 0;");
    world_end(w);
}

static void claims_are_renewed(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    const bool lost[1] = {false};
    w->tells_touches = true;
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "yy", 1);
    forget_said(w);
    passes(w, CLAIM_RENEW_MS);
    assert_said(w, "touch 0;");
    lend(w, 1);
    assert_said(w, "call 0/0;");
    pool_touched(w->pool, w->touched, 1, lost, false);
    assert_said(w, "abort 0;claim 0;");
    passes(w, CLAIM_RENEW_MS); /* nothing is held now, so nothing is renewed */
    assert_said(w, "");
    ours(w, 0, "yy", 2);
    forget_said(w);
    passes(w, CLAIM_RENEW_MS);
    assert_said(w, "touch 0;");
    world_end(w);
}

/* ---- calls ------------------------------------------------------------------------------- */

static void judges_within_the_share(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "ynyy", 1);
    forget_said(w);
    lend(w, 2);
    assert_said(w, "call 0/0;call 0/2;");
    judged(w, 0, 2);
    judged(w, 0, 0);
    assert_said(w, "call 0/3;");
    fails(w, 0, 3, ERR_LOGIC); /* nonsense is not tried again */
    assert_said(w, "settle 0 jkje;");
    world_end(w);
}

static void tries_and_the_ask_behind_them(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "y", 1);
    lend(w, 1);
    forget_said(w);
    for (int i = 1; i < ENGINE_TRIES; i++) {
        fails(w, 0, 0, ERR_TIMEOUT);
        lend(w, 1);
        passes(w, 1500);
        lend(w, 1);
        assert_said(w, "call 0/0;");
    }
    int asks = w->asks;
    fails(w, 0, 0, ERR_TIMEOUT);
    assert_said(w, ""); /* it may be an outage: an ask made after the failure tells */
    passes(w, 2 * SHARE_ASK_FAILED_MS);
    assert_true(w->asks > asks);
    lend(w, 1);
    passes(w, 2 * SHARE_ASK_FAILED_MS);
    lend(w, 1);
    assert_said(w, "settle 0 e;");
    world_end(w);
}

static void an_outage_is_not_charged(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "y", 1);
    lend(w, 1);
    for (int i = 0; i < ENGINE_TRIES; i++) {
        fails(w, 0, 0, ERR_NETWORK);
        lend(w, 1);
        passes(w, 1500);
        lend(w, 1);
        if (i + 1 < ENGINE_TRIES)
            assert_said(w, i == 0 ? "claim 0;call 0/0;call 0/0;" : "call 0/0;");
    }
    assert_said(w, "settle 0 e;"); /* the same without an outage, to compare with */
    world_end(w);

    w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "y", 1);
    lend(w, 1);
    for (int i = 0; i < 2 * ENGINE_TRIES; i++) {
        fails(w, 0, 0, ERR_NETWORK);
        passes(w, 200);
        lend_in(w, 1, 60000);
        passes(w, 1500);
        lend_in(w, 1, 60000);
    }
    assert_null(strstr(w->said, "settle"));
    world_end(w);
}

/* Its claim is lost, or cannot be had for a while, between the last failure and the ask behind it.
 */
static struct pool_world *failed_and_lost(void)
{
    struct pool_world *w = world_begin();
    const bool lost[1] = {false};
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "y", 1);
    for (int i = 0; i < ENGINE_TRIES; i++) {
        lend(w, 1);
        passes(w, 1500);
        lend(w, 1);
        fails(w, 0, 0, ERR_NETWORK);
    }
    forget_said(w);
    passes(w, CLAIM_RENEW_MS);
    pool_touched(w->pool, w->touched, 1, lost, false);
    assert_said(w, "claim 0;");
    return w;
}

static void a_lost_claim_charges_nobody(void **state)
{
    (void)state;
    struct pool_world *w = failed_and_lost();
    ours(w, 0, "y", 1);
    assert_said(w, ""); /* nobody could tell of an outage yet */
    lend(w, 1);
    passes(w, 2 * SHARE_ASK_FAILED_MS);
    lend(w, 1);
    assert_said(w, "settle 0 e;");
    world_end(w);

    w = failed_and_lost();
    lend_in(w, 1, 60000); /* told while it is being claimed */
    ours(w, 0, "y", 1);
    passes(w, 2 * ENGINE_BACKOFF_MIN_MS);
    lend_in(w, 1, 60000);
    assert_said(w, "call 0/0;");
    world_end(w);

    w = failed_and_lost();
    claim_answer(w, 0, CLAIM_FAILED, 0);
    lend_in(w, 1, 60000); /* told while its claim waits to be asked for again */
    passes(w, 1000);
    ours(w, 0, "y", 1);
    lend_in(w, 1, 60000);
    assert_said(w, "claim 0;call 0/0;");
    world_end(w);
}

static void alone(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    rung(w, 0, 1);
    rung(w, 1, 2);
    assigned(w, 2);
    lend(w, 10);
    ours(w, 0, "y", 1);
    ours(w, 2, "y", ALONE_FROM_ATTEMPT);
    /* slice 2 waits for slice 0 to end, slice 1 for slice 2, and is not claimed meanwhile */
    assert_said(w, "claim 0;claim 2;call 0/0;");
    judged(w, 0, 0);
    assert_said(w, "settle 0 j;call 2/0;");
    passes(w, CLAIM_RENEW_MS);
    assert_said(w, "");
    judged(w, 2, 0);
    assert_said(w, "settle 2 j;claim 1;");
    ours(w, 1, "y", 1);
    assert_said(w, "call 1/0;");
    world_end(w);
}

/* Two that failed together: the older is worked on, the younger is not there when it kills. */
static void two_alone(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    rung(w, 0, 1);
    assigned(w, 1);
    lend(w, 10);
    assert_said(w, "claim 0;claim 1;");
    ours(w, 1, "y", ALONE_FROM_ATTEMPT);
    ours(w, 0, "y", ALONE_FROM_ATTEMPT);
    assert_said(w, "call 1/0;release 0;"); /* the answer about slice 1 came first */
    pool_released(w->pool, false);
    judged(w, 1, 0);
    assert_said(w, "settle 1 j;claim 0;");
    ours(w, 0, "y", ALONE_FROM_ATTEMPT);
    assert_said(w, "call 0/0;");
    world_end(w);
}

/* One that was claimed beside it, and has waited for a call since. */
static void alone_beside_a_claim(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    rung(w, 0, 1);
    assigned(w, 1);
    ours(w, 0, "y", ALONE_FROM_ATTEMPT);
    ours(w, 1, "y", 1);
    assert_said(w, "claim 0;claim 1;");
    lend(w, 10);
    assert_said(w, "release 1;call 0/0;");
    world_end(w);
}

/* Slices 0 and 2 hold only subjects that always fail: with the engine closed, others are claimed
 * and asked about, until one succeeds. */
static void probes_ask_about_other_slices(void **state)
{
    (void)state;
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    rung(w, 0, 1);
    rung(w, 1, 2);
    rung(w, 1, 3);
    assigned(w, 2);
    assert_said(w, "claim 0;claim 2;");
    ours(w, 0, "yyy", 1);
    ours(w, 2, "yyy", 1);
    lend_a_probe(w);
    assert_said(w, "call 0/0;");
    fails(w, 0, 0, ERR_NETWORK);
    lend_a_probe(w);
    assert_said(w, "call 2/0;");
    fails(w, 2, 0, ERR_NETWORK);
    assert_said(w, "claim 1;"); /* one that no call has failed for */
    ours(w, 1, "yyy", 1);
    lend_a_probe(w);
    assert_said(w, "call 1/0;");
    fails(w, 1, 0, ERR_NETWORK);
    assert_said(w, "claim 3;");
    ours(w, 3, "yyy", ALONE_FROM_ATTEMPT);
    lend_a_probe(w);
    assert_said(w, "call 3/0;");
    fails(w, 3, 0, ERR_NETWORK);
    lend_a_probe(w);
    assert_said(w, "call 0/1;"); /* and round again, with others */
    world_end(w);
}

static void edges(void **state)
{
    (void)state;
    int allowed = 0;
    for (int from = -1; from <= POOL_STATES; from++)
        for (int to = -1; to <= POOL_STATES; to++)
            allowed += pool_edge_allowed(from, to);
    assert_int_equal(allowed, 29);
    assert_false(pool_edge_allowed(7, 0)); /* done is the end */
    assert_false(pool_edge_allowed(5, 8)); /* what is being settled is not given up */
    assert_string_equal(pool_state_name(5), "settling");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("two unfinished slices a partition; an offset is stored only behind settled ones",
             window_and_gaps),
        TEST("an unreadable message and an unknown slice are dead letters, and stop nothing",
             dead_letters),
        TEST("a slice rung twice is claimed once", rung_twice),
        TEST("a busy slice is claimed once more when it would be stale, then left to its owner",
             busy_twice),
        TEST("a claim without an answer is asked again after a moment", claim_fails),
        TEST("claims are renewed, also after one was lost and claimed again", claims_are_renewed),
        TEST("eligible subjects are judged within the share, the others skipped",
             judges_within_the_share),
        TEST("three tries; a network failure is charged only after a later ask",
             tries_and_the_ask_behind_them),
        TEST("tries that an outage has cost are given back", an_outage_is_not_charged),
        TEST("R-E2: a claim that is lost meanwhile charges nobody for an outage either",
             a_lost_claim_charges_nobody),
        TEST("from its third attempt on a slice is worked alone", alone),
        TEST("R-E2: of two that workers did not survive one is given back", two_alone),
        TEST("R-E2: who is worked alone takes nothing along", alone_beside_a_claim),
        TEST("a probe of a closed engine asks about another slice each time",
             probes_ask_about_other_slices),
        TEST("the edges of a slice's life are those of the table", edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
