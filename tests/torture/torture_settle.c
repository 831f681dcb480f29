/* Memory runs out while a slice is claimed and settled, on a real PostgreSQL: it is claimed, or
 * said not to be; settled once and rightly, or to be tried again; whatever failed, the row tells.
 */
#include "schema_world.h"

#include "failing_alloc.h"

#include "settle.h"
#include "slice_store.h"

#define MOST 600
#define HASH "580de2dfb76fbb9f" /* the first digits of sha256 of ["inactivity"] */
#define DROUGHT_MS 20           /* how long there is no memory at all: then the links come back */

struct bench {
    struct world w;
    struct schema *s;
    struct slice_store *store;
    struct settle *settle;
    struct loop_timer *rain;
    struct uuid run; /* of two slices: mentors 1 to 3, and 4 to 6 */
    struct claim *claim;
    int claims, settles;
    enum settle_result result;
};

static void on_claimed(void *arg, struct pool_ref ref, struct claim *claim)
{
    struct bench *b = arg;
    (void)ref;
    b->claims++;
    b->claim = claim;
    loop_stop(b->w.loop);
}

static void on_settled(void *arg, struct pool_ref ref, const struct settle_answer *answer)
{
    struct bench *b = arg;
    (void)ref;
    b->settles++;
    b->result = answer->result;
    loop_stop(b->w.loop);
}

static void never_touched(void *arg, const struct pool_ref *refs, int n, const bool *ours, bool no)
{
    fail_msg("%p %p %d %p %d", arg, (const void *)refs, n, (const void *)ours, no);
}

static void never_released(void *arg, bool failed)
{
    fail_msg("%p %d", arg, failed);
}

static void it_rains(void *arg)
{
    (void)arg;
    (void)alloc_heal();
}

static void bench_open(struct bench *b, void **state)
{
    *b = (struct bench){.s = schema_of(state)};
    char *run = schema_text(b->s->pg, "select test.run('torture', 3)");
    assert_true(uuid_parse(run, &b->run));
    free(run);
    schema_open(b->s, &b->w, "reveille_worker", 1);
    struct slice_store_config cfg = {.claims = b->w.db,
                                     .renewals = b->w.db,
                                     .worker_name = "w1",
                                     .stale_ms = 10000,
                                     .on_claimed = on_claimed,
                                     .on_touched = never_touched,
                                     .on_released = never_released,
                                     .arg = b};
    b->store = slice_store_new(b->w.loop, &cfg, NULL);
    b->settle = settle_new(b->w.loop, b->w.db, "w1", on_settled, b, NULL);
    b->rain = loop_timer_new(b->w.loop, it_rains, b, NULL);
    assert_true(b->store != NULL && b->settle != NULL && b->rain != NULL);
}

static void bench_close(struct bench *b)
{
    db_free(TAKE(b->w.db));
    slice_store_free(b->store);
    settle_free(b->settle);
    loop_timer_free(b->rain);
    schema_exec(b->s->pg, "select reveille.cancel_run(run_id, 'cancelled', 'test')"
                          "  from reveille.run where state = 'running'");
    world_close(&b->w);
}

static void drought(struct bench *b, long n, bool and_after)
{
    loop_timer_arm(b->rain, DROUGHT_MS);
    alloc_fail_at(n, and_after);
}

/* The links are as they were: what a lost one costs is not left over for the next run. */
static void rain(struct bench *b)
{
    (void)alloc_heal();
    loop_timer_disarm(b->rain);
    WAIT_UNTIL(&b->w, db_is_up(b->w.db));
}

/* ---- claim --------------------------------------------------------------------------------- */

static void claim_once(struct bench *b)
{
    int before = b->claims;
    slice_store_claim(b->store, (struct pool_ref){0, 7}, "noop", &b->run, 0);
    WAIT_UNTIL(&b->w, b->claims > before);
    assert_int_equal(b->claims, before + 1);
}

static void claim_path(void *arg, long n, bool and_after)
{
    struct bench *b = arg;
    drought(b, n, and_after);
    claim_once(b);
    rain(b);
    if (b->claim == NULL || b->claim->outcome == CLAIM_FAILED) {
        claim_free(TAKE(b->claim));
        claim_once(b); /* again, as the core does */
    }
    assert_int_equal(b->claim->outcome, CLAIM_OURS);
    assert_int_equal(b->claim->attempt, 1); /* the same incarnation all along */
    assert_int_equal(b->claim->n, 3);
    assert_string_equal(b->claim->scenarios_hash, HASH); /* the engine's idempotency key has it */
    claim_free(TAKE(b->claim));
}

static void a_slice_is_claimed_or_not(void **state)
{
    struct bench b;
    bench_open(&b, state);
    assert_true(alloc_torture(claim_path, &b, MOST) > 5);
    bench_close(&b);
}

/* ---- settle -------------------------------------------------------------------------------- */

static void settle_once(struct bench *b, const struct pool_outcome *out)
{
    int before = b->settles;
    settle_start(b->settle, (struct pool_ref){0, 7}, out);
    WAIT_UNTIL(&b->w, b->settles > before);
    assert_int_equal(b->settles, before + 1);
}

static void settle_path(void *arg, long n, bool and_after)
{
    struct bench *b = arg;
    struct decision due = {.scenario_type = (char *)"inactivity", .action = ACTION_DISPATCH};
    struct answer told = {.ok = true, .n = 1, .decisions = &due};
    struct answer failed = {.cls = ERR_LOGIC, .text = "nonsense"};
    const struct subject subjects[3] = {{.state = SUBJECT_JUDGED, .answer = &told},
                                        {.state = SUBJECT_FAILED, .answer = &failed},
                                        {.state = SUBJECT_SKIPPED}};
    schema_exec(b->s->pg, "select test.unsettle()");
    claim_once(b);
    const struct pool_outcome out = {
        .run = b->run, .claim = b->claim, .subjects = subjects, .careful = false};
    drought(b, n, and_after);
    settle_once(b, &out);
    rain(b);
    assert_true(b->result == SETTLE_DONE || b->result == SETTLE_TRANSIENT ||
                b->result == SETTLE_UNKNOWN || b->result == SETTLE_REFUSED);
    if (b->result != SETTLE_DONE) {
        bool may_be = b->result == SETTLE_UNKNOWN;
        settle_once(b, &out);
        assert_true(b->result == SETTLE_DONE || (may_be && b->result == SETTLE_NOT_OPEN));
    }
    claim_free(TAKE(b->claim));
    schema_expect(b->s, "select test.settled()",
                  "done 1 1 1 0 1 0; 1 notified, 1 waiting, 1 error");
}

static void a_slice_is_settled_once(void **state)
{
    struct bench b;
    bench_open(&b, state);
    assert_true(alloc_torture(settle_path, &b, MOST) > 5);
    bench_close(&b);
}

/* A job with a scenario, and the slice as it was, and what has become of it. */
static int set_up(void **state)
{
    int result = schema_setup(state);
    if (*state != NULL)
        schema_exec(
            ((struct schema *)*state)->pg,
            "select test.job('torture'); select test.mentors(1, 6);"
            "create function test.unsettle() returns void language sql as $$"
            "    delete from reveille.outbox; delete from reveille.notification;"
            "    delete from reveille.cooldown; delete from reveille.subject_error;"
            "    update reveille.slice set state = 'pending', evaluated = 0, skipped = 0,"
            "           errors = 0, unreached = 0, dispatched = 0, suppressed = 0,"
            "           skipped_ids = '{}', by_scenario = default, done_at = null"
            "     where slice_no = 0 and state = 'done' $$;"
            "create function test.settled() returns text language sql as $$"
            "    select concat_ws(' ', s.state, evaluated, skipped, errors, unreached, dispatched,"
            "                     suppressed) || '; ' ||"
            "           (select count(*) from reveille.notification) || ' notified, ' ||"
            "           (select count(*) from reveille.outbox) || ' waiting, ' ||"
            "           (select count(*) from reveille.subject_error) || ' error'"
            "      from reveille.slice s join reveille.run using (run_id)"
            "     where slice_no = 0 and run.state = 'running' $$;");
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("whichever allocation fails, a slice is claimed, or is the next time",
             a_slice_is_claimed_or_not),
        TEST("R-D4: whichever allocation fails, a slice is settled once, with the right totals",
             a_slice_is_settled_once),
    };
    return cmocka_run_group_tests_name("torture_settle", tests, set_up, schema_teardown);
}
