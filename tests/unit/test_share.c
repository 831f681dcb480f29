/* Tests share.c: what may start, what is reported, when to ask. */
#include "share.h"
#include "unit.h"

#define TIMEOUT 1000
#define START 50000

static const struct answer good = {.sign = TRY_ANSWERED, .ok = true};
static const struct answer failure = {.sign = TRY_FAILED, .retry = true, .cls = ERR_NETWORK};
static const struct answer slower = {
    .sign = TRY_SLOWER, .retry = true, .refused = true, .retry_after_ms = 700, .cls = ERR_NETWORK};

/* A share that has asked for `want` at START and was lent `granted`. */
static struct share lent(int want, int granted)
{
    struct share s;
    struct share_report r;
    share_init(&s, TIMEOUT, START);
    share_set_want(&s, START, want);
    assert_true(share_ask(&s, START, &r));
    struct share_answer a = {.arrived = true,
                             .granted = granted,
                             .lease_ms = SHARE_LEASE_MS,
                             .retry_ms = SHARE_ASK_MS,
                             .outage_ms = -1};
    share_lent(&s, START, &a);
    return s;
}

static void starts(struct share *s, int n)
{
    for (int i = 0; i < n; i++)
        share_call_started(s);
}

static void nothing_before_it_is_lent(void **state)
{
    (void)state;
    struct share s;
    struct share_report r;
    share_init(&s, TIMEOUT, START);
    assert_int_equal(share_room(&s, START), 0);
    share_set_want(&s, START, 5);
    assert_true(share_ask(&s, START, &r));
    assert_int_equal(s.asked_want, 5);
    assert_int_equal(share_room(&s, START), 0);
}

static void never_more_than_lent(void **state)
{
    (void)state;
    struct share s = lent(10, 3);
    assert_int_equal(share_room(&s, START), 3);
    starts(&s, 3);
    assert_int_equal(share_room(&s, START), 0);
    share_call_ended(&s, START, &good, true);
    assert_int_equal(share_room(&s, START), 1);
}

static void lease_from_before_the_ask(void **state)
{
    (void)state;
    struct share s;
    struct share_report r;
    share_init(&s, TIMEOUT, START);
    share_set_want(&s, START, 5);
    assert_true(share_ask(&s, START, &r));
    struct share_answer a = {.arrived = true,
                             .granted = 5,
                             .lease_ms = SHARE_LEASE_MS,
                             .retry_ms = SHARE_ASK_MS,
                             .outage_ms = -1};
    share_lent(&s, START + 4000, &a); /* the answer took 4 s: they count */
    int64_t last = START + SHARE_LEASE_MS - TIMEOUT - 1;
    assert_int_equal(share_room(&s, last), 5);
    assert_int_equal(share_room(&s, last + 1), 0);
}

static void reported_while_asking(void **state)
{
    (void)state;
    struct share s = lent(10, 6);
    struct share_report r;
    starts(&s, 2);
    assert_true(share_ask(&s, START + SHARE_ASK_MS, &r));
    assert_int_equal(r.busy, 2);
    assert_int_equal(share_room(&s, START + SHARE_ASK_MS), 0); /* 6 lent, but 2 were reported */
    share_call_ended(&s, START + SHARE_ASK_MS, &good, true);
    assert_int_equal(share_room(&s, START + SHARE_ASK_MS), 1);
}

static void reported_after_a_lost_answer(void **state)
{
    (void)state;
    struct share s = lent(10, 6);
    struct share_report r;
    int64_t now = START + SHARE_ASK_MS;
    starts(&s, 2);
    assert_true(share_ask(&s, now, &r));
    share_lent(&s, now + 10, &(struct share_answer){.arrived = false});
    assert_int_equal(share_room(&s, now + 10), 0);
    assert_false(share_ask(&s, now + 10 + SHARE_ASK_FAILED_MS - 1, &r));
    assert_true(share_ask(&s, now + 10 + SHARE_ASK_FAILED_MS, &r));
    assert_int_equal(r.busy, 2);
    assert_int_equal(r.seq, 3);
    share_lent(&s, now + 200,
               &(struct share_answer){.arrived = true,
                                      .granted = 6,
                                      .outage_ms = -1,
                                      .lease_ms = SHARE_LEASE_MS,
                                      .retry_ms = 1000});
    assert_int_equal(share_room(&s, now + 200), 4);
}

static void tries_are_reported_until_they_arrive(void **state)
{
    (void)state;
    struct share s = lent(10, 6);
    struct share_report r;
    int64_t now = START + SHARE_ASK_MS;
    starts(&s, 4);
    share_call_ended(&s, START, &good, true);
    share_call_ended(&s, START, &failure, true);
    share_call_ended(&s, START, &failure, false); /* a second try says nothing new */
    assert_true(share_ask(&s, now, &r));
    assert_string_equal(r.tries, ".x");
    assert_int_equal(r.ok, 1);
    share_lent(&s, now, &(struct share_answer){.arrived = false});
    share_call_ended(&s, now, &slower, true);
    now += SHARE_ASK_FAILED_MS;
    assert_true(share_ask(&s, now, &r));
    assert_string_equal(r.tries, ".xs");
    assert_int_equal(r.retry_after_ms, 700);
    share_lent(&s, now,
               &(struct share_answer){
                   .arrived = true, .outage_ms = -1, .retry_ms = 100, .lease_ms = SHARE_LEASE_MS});
    assert_true(share_ask(&s, now + 100, &r));
    assert_string_equal(r.tries, "");
    assert_int_equal(r.ok, 0);
    assert_int_equal(r.retry_after_ms, 0);
}

static void a_wish_during_an_ask_is_the_next_asks(void **state)
{
    (void)state;
    struct share s = lent(4, 4);
    struct share_report r;
    struct share_answer a = {
        .arrived = true, .granted = 4, .lease_ms = SHARE_LEASE_MS, .retry_ms = 50, .outage_ms = -1};
    starts(&s, 2);
    int64_t now = START + SHARE_ASK_MS;
    assert_true(share_ask(&s, now, &r));
    share_call_ended(&s, now + 1, &slower, true);
    share_lent(&s, now + 2, &a);
    assert_true(share_ask(&s, now + SHARE_ASK_FAILED_MS, &r));
    assert_int_equal(r.retry_after_ms, 700);
    share_lent(&s, now + SHARE_ASK_FAILED_MS, &(struct share_answer){.arrived = false});
    assert_true(share_ask(&s, now + 3 * SHARE_ASK_FAILED_MS, &r));
    assert_int_equal(r.retry_after_ms, 700); /* that answer was lost */
    share_lent(&s, now + 3 * SHARE_ASK_FAILED_MS, &a);
    assert_true(share_ask(&s, now + 3 * SHARE_ASK_FAILED_MS + 50, &r));
    assert_int_equal(r.retry_after_ms, 0);
}

static void refused_keeps_its_place(void **state)
{
    (void)state;
    struct share s = lent(10, 1);
    starts(&s, 1);
    share_call_ended(&s, START, &slower, true);
    assert_int_equal(share_room(&s, START + ENGINE_REFUSED_HOLD_MS - 1), 0);
    assert_int_equal(share_room(&s, START + ENGINE_REFUSED_HOLD_MS), 1);
}

static void probe_is_one_call(void **state)
{
    (void)state;
    struct share s;
    struct share_report r;
    share_init(&s, TIMEOUT, START);
    share_set_want(&s, START, 5);
    assert_true(share_ask(&s, START, &r));
    share_lent(&s, START,
               &(struct share_answer){.arrived = true,
                                      .granted = 1,
                                      .probe = true,
                                      .lease_ms = SHARE_LEASE_MS,
                                      .retry_ms = 1000,
                                      .outage_ms = 3000});
    assert_int_equal(s.outage_since, START - 3000);
    assert_int_equal(share_room(&s, START), 1);
    starts(&s, 1);
    share_call_ended(&s, START + 20, &failure, true);
    assert_int_equal(share_room(&s, START + 500), 0); /* spent */
    assert_true(share_ask(&s, START + 20, &r));       /* at once: everybody waits for it */
}

static void asks_when(void **state)
{
    (void)state;
    struct share_report r;
    struct share idle = lent(0, 0);
    assert_false(share_ask(&idle, START + SHARE_IDLE_MS - 1, &r));
    share_set_want(&idle, START + 10, 4); /* work comes and it holds nothing */
    assert_true(share_ask(&idle, START + 10, &r));

    struct share done = lent(4, 4);
    share_set_want(&done, START + 10, 0); /* nothing to do any more */
    assert_true(share_ask(&done, START + 10, &r));

    struct share steady = lent(4, 4);
    assert_int_equal(share_next(&steady, START), START + SHARE_ASK_MS);
    assert_false(share_ask(&steady, START + SHARE_ASK_MS - 1, &r));

    struct share hurt = lent(4, 4);
    starts(&hurt, 1);
    share_call_ended(&hurt, START + 5, &failure, true);
    assert_true(share_ask(&hurt, START + 5, &r));
    share_lent(&hurt, START + 6,
               &(struct share_answer){.arrived = true,
                                      .granted = 4,
                                      .outage_ms = -1,
                                      .lease_ms = SHARE_LEASE_MS,
                                      .retry_ms = 1000});
    starts(&hurt, 1);
    share_call_ended(&hurt, START + 7, &failure, true);
    assert_false(share_ask(&hurt, START + 7, &r)); /* at most ten a second */
    assert_true(share_ask(&hurt, START + 5 + SHARE_ASK_FAILED_MS, &r));
}

static void asks_when_down_to_a_lowered_share(void **state)
{
    (void)state;
    struct share s = lent(10, 4);
    struct share_report r;
    int64_t now = START + SHARE_ASK_MS;
    starts(&s, 4);
    assert_true(share_ask(&s, now, &r));
    share_lent(&s, now,
               &(struct share_answer){.arrived = true,
                                      .granted = 2,
                                      .outage_ms = -1,
                                      .lease_ms = SHARE_LEASE_MS,
                                      .retry_ms = 1000});
    share_call_ended(&s, now + 1, &good, true);
    assert_false(share_ask(&s, now + 1, &r));
    share_call_ended(&s, now + 2, &good, true);
    assert_int_equal(share_room(&s, now + 2), 0);
    assert_true(share_ask(&s, now + 2, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("nothing starts before something is lent", nothing_before_it_is_lent),
        TEST("never more calls than were lent", never_more_than_lent),
        TEST("the lease counts from before the ask, and no call can outlive it",
             lease_from_before_the_ask),
        TEST("while an ask is under way, never more calls than it reported", reported_while_asking),
        TEST("after a lost answer, never more calls than were reported, until one arrives",
             reported_after_a_lost_answer),
        TEST("first tries are reported until a report has arrived, and then not again",
             tries_are_reported_until_they_arrive),
        TEST("R-E1: a Retry-After that comes while an ask is under way is told with the next one",
             a_wish_during_an_ask_is_the_next_asks),
        TEST("a refused call keeps its place for a while", refused_keeps_its_place),
        TEST("a probe is exactly one call, then an ask", probe_is_one_call),
        TEST("it asks when work comes, when it is done, once a second, and after failures",
             asks_when),
        TEST("it asks when its calls have come down to a lowered share",
             asks_when_down_to_a_lowered_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
