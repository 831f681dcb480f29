/* Tests slice_store.c on a real PostgreSQL, in the worker's role: what the functions answer comes
 * to the right place, and what cannot be asked, or is never answered, is told as failed. What a
 * claim means is tests/sql's. */
#include "schema_world.h"

#include "clock.h"
#include "slice_store.h"

#define STALE_MS 10000

struct bench {
    struct world w;
    struct schema *s;
    struct slice_store *store;
    struct uuid run; /* of two slices: mentors 1 to 3, and 4 to 6 */
    bool calling;    /* within a call of the store: nothing may be told now */
    int claims, touches, releases;
    struct pool_ref ref;
    struct claim *claim; /* the last one told */
    int touched;
    struct pool_ref touched_refs[4];
    bool ours[4], no_ours, failed;
};

static void on_claimed(void *arg, struct pool_ref ref, struct claim *claim)
{
    struct bench *b = arg;
    assert_false(b->calling);
    claim_free(b->claim);
    b->claims++;
    b->ref = ref;
    b->claim = claim;
    loop_stop(b->w.loop);
}

static void on_touched(void *arg, const struct pool_ref *refs, int n, const bool *ours, bool failed)
{
    struct bench *b = arg;
    assert_false(b->calling);
    assert_in_range(n, 0, 4);
    b->touches++;
    b->touched = n;
    b->failed = failed;
    b->no_ours = ours == NULL;
    for (int i = 0; i < n; i++) {
        b->touched_refs[i] = refs[i];
        b->ours[i] = ours != NULL && ours[i];
    }
    loop_stop(b->w.loop);
}

static void on_released(void *arg, bool failed)
{
    struct bench *b = arg;
    assert_false(b->calling);
    b->releases++;
    b->failed = failed;
    loop_stop(b->w.loop);
}

static void make_store(struct bench *b, int stale_ms)
{
    struct slice_store_config cfg = {.claims = b->w.db,
                                     .renewals = b->w.db,
                                     .worker_name = "w1",
                                     .stale_ms = stale_ms,
                                     .on_claimed = on_claimed,
                                     .on_touched = on_touched,
                                     .on_released = on_released,
                                     .arg = b};
    b->store = slice_store_new(b->w.loop, &cfg, NULL);
    assert_non_null(b->store);
}

/* A store before a run of two slices. */
static void bench_open(struct bench *b, void **state, const char *role, int stale_ms)
{
    *b = (struct bench){.s = schema_of(state)};
    char *run = schema_text(b->s->pg, "select test.run('u', 3)");
    assert_true(uuid_parse(run, &b->run));
    free(run);
    schema_open(b->s, &b->w, role, 2);
    make_store(b, stale_ms);
}

/* A store whose database never answers. Returns a descriptor to close. */
static int bench_nowhere(struct bench *b)
{
    char nowhere[96];
    int fd;
    *b = (struct bench){.s = NULL};
    schema_nowhere(nowhere, &fd);
    world_open(&b->w);
    world_connect(&b->w, nowhere, 1);
    make_store(b, STALE_MS);
    return fd;
}

static void bench_close(struct bench *b)
{
    db_free(TAKE(b->w.db));
    slice_store_free(b->store);
    claim_free(b->claim);
    if (b->s != NULL) {
        schema_exec(b->s->pg, "select reveille.cancel_run(run_id, 'cancelled', 'test')"
                              "  from reveille.run where state = 'running'");
    }
    world_close(&b->w);
}

static void start_claim(struct bench *b, uint32_t slot, int32_t slice)
{
    b->calling = true;
    slice_store_claim(b->store, (struct pool_ref){slot, 7}, "noop", &b->run, slice);
    b->calling = false;
}

static const struct claim *claimed(struct bench *b, uint32_t slot, int32_t slice)
{
    int before = b->claims;
    start_claim(b, slot, slice);
    WAIT_UNTIL(&b->w, b->claims > before);
    assert_int_equal(b->claims, before + 1);
    assert_int_equal(b->ref.slot, slot);
    assert_int_equal(b->ref.generation, 7);
    return b->claim;
}

/* Renews slices 1 and 0, in this order. */
static void start_touch(struct bench *b)
{
    const struct pool_ref refs[] = {{1, 7}, {0, 7}};
    const struct uuid runs[] = {b->run, b->run};
    const int32_t slices[] = {1, 0}, calls[] = {2, 1};
    const char *classes[] = {"network_error", NULL};
    b->calling = true;
    slice_store_touch(b->store, refs, runs, slices, calls, classes, 2);
    b->calling = false;
}

static void touch(struct bench *b)
{
    int before = b->touches;
    start_touch(b);
    WAIT_UNTIL(&b->w, b->touches > before);
    assert_int_equal(b->touched, 2);
    assert_int_equal(b->touched_refs[0].slot, 1);
    assert_int_equal(b->touched_refs[1].slot, 0);
}

static void start_release(struct bench *b, int32_t slice)
{
    b->calling = true;
    slice_store_release(b->store, &b->run, &slice, 1);
    b->calling = false;
}

/* ---- what is answered ---------------------------------------------------------------------- */

static void a_claim_is_told_with_its_place(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", STALE_MS);
    schema_exec(b.s->pg, "update reveille.slice set claimed_by = 'w2', moved_at ="
                         " clock_timestamp() where state = 'pending' and slice_no = 1");
    assert_int_equal(claimed(&b, 5, 0)->outcome, CLAIM_OURS);
    assert_int_equal(b.claim->n, 3);
    assert_int_equal(b.claim->attempt, 1);
    assert_int_equal(claimed(&b, 0, 1)->outcome, CLAIM_BUSY);
    assert_in_range(b.claim->stale_ms, STALE_MS / 2, STALE_MS + 1);
    assert_int_equal(claimed(&b, POOL_SLOTS - 1, 9)->outcome, CLAIM_UNKNOWN);
    schema_expect(b.s,
                  "select claimed_by from reveille.slice"
                  " where state = 'pending' and slice_no = 0",
                  "w1");
    bench_close(&b);
}

static void claims_of_many_slots_are_under_way_at_once(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", STALE_MS);
    for (uint32_t i = 0; i < 20; i++) {
        start_claim(&b, i, (int32_t)i);
    }
    WAIT_UNTIL(&b.w, b.claims == 20);
    assert_int_equal(db_backlog(b.w.db), 0);
    assert_int_equal(claimed(&b, 3, 0)->outcome, CLAIM_OURS); /* the slot is free again */
    bench_close(&b);
}

static void a_touch_tells_those_that_are_ours(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", STALE_MS);
    claimed(&b, 0, 0);
    claimed(&b, 1, 1);
    touch(&b);
    assert_true(b.ours[0] && b.ours[1] && !b.failed);
    schema_expect(b.s,
                  "select calls_done || ' ' || last_error_class from reveille.slice"
                  " where state = 'pending' and slice_no = 1",
                  "2 network_error");
    schema_exec(b.s->pg, "update reveille.slice set claimed_by = 'w2'"
                         " where state = 'pending' and slice_no = 1");
    touch(&b);
    assert_false(b.ours[0]);
    assert_true(b.ours[1] && !b.failed);
    bench_close(&b);
}

static void what_is_released_is_free(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", STALE_MS);
    claimed(&b, 0, 0);
    start_release(&b, 0);
    WAIT_UNTIL(&b.w, b.releases == 1);
    assert_false(b.failed);
    schema_expect(b.s,
                  "select claimed_by is null from reveille.slice"
                  " where state = 'pending' and slice_no = 0",
                  "t");
    bench_close(&b);
}

static void a_dead_letter_is_written_by_reference(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", STALE_MS);
    slice_store_dead_letter(b.store, "t.http", 3, 5000000000, "unreadable");
    slice_store_dead_letter(b.store, "t.http", 3, 5000000000, "unreadable"); /* redelivered */
    assert_int_equal(claimed(&b, 0, 0)->outcome, CLAIM_OURS);
    while (db_backlog(b.w.db) > 0) {
        claimed(&b, 0, 0);
    }
    schema_expect(b.s,
                  "select string_agg(topic || partition || ' ' || \"offset\" || ' ' || reason, ',')"
                  "  from reveille.dead_letter",
                  "t.http3 5000000000 unreadable");
    bench_close(&b);
}

/* ---- what is not --------------------------------------------------------------------------- */

static void a_lost_link_is_a_failed_claim(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", STALE_MS);
    schema_lock(b.s, "select from reveille.slice where state = 'pending' for update");
    start_claim(&b, 0, 0);
    schema_kill_waiting(b.s, &b.w);
    WAIT_UNTIL(&b.w, b.claims == 1);
    assert_int_equal(b.claim->outcome, CLAIM_FAILED);
    assert_true(err_is_set(&b.claim->err));
    assert_int_equal(b.claim->n, 0);
    schema_unlock(b.s);
    assert_int_equal(claimed(&b, 0, 0)->outcome, CLAIM_OURS);
    bench_close(&b);
}

static void a_refused_claim_says_why(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_reader", STALE_MS);
    assert_int_equal(claimed(&b, 0, 0)->outcome, CLAIM_FAILED);
    assert_err(b.claim->err, ERR_DATABASE);
    assert_string_equal(b.claim->err.code, "42501");
    bench_close(&b);
}

/* The deadline of a statement is 15 s; a renewal is not worth waiting for beyond its claim. */
static void a_renewal_is_given_up_when_the_claim_is_stale(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", 1000);
    claimed(&b, 0, 0);
    claimed(&b, 1, 1);
    schema_lock(b.s, "select from reveille.slice where state = 'pending' for update");
    int64_t begun = clock_mono_ms();
    touch(&b);
    assert_true(b.failed);
    assert_in_range(clock_mono_ms() - begun, 900, DB_STATEMENT_MS - 3000);
    schema_unlock(b.s);
    bench_close(&b);
}

static void what_cannot_be_asked_is_answered_in_the_next_turn(void **state)
{
    (void)state;
    struct bench b;
    int fd = bench_nowhere(&b);
    world_fill(b.w.db, WORLD_NEVER_MS);
    start_claim(&b, 2, 0);
    start_touch(&b);
    start_release(&b, 0);
    start_release(&b, 1);
    assert_int_equal(b.claims + b.touches + b.releases, 0);
    WAIT_UNTIL(&b.w, b.claims == 1 && b.touches == 1 && b.releases == 2);
    assert_int_equal(b.claim->outcome, CLAIM_FAILED);
    assert_err(b.claim->err, ERR_LIMIT);
    assert_int_equal(b.ref.slot, 2);
    assert_true(b.failed && b.no_ours);
    assert_int_equal(b.touched, 2);
    start_claim(&b, 2, 0); /* the slot is free again */
    WAIT_UNTIL(&b.w, b.claims == 2);
    assert_int_equal(b.touches, 1);
    assert_int_equal(b.releases, 2);
    bench_close(&b);
    close(fd);
}

static void dead_letters_that_wait_are_bounded(void **state)
{
    (void)state;
    struct bench b;
    int fd = bench_nowhere(&b);
    for (int i = 0; i < 2 * DEAD_LETTERS_PENDING; i++) {
        slice_store_dead_letter(b.store, "t", 0, i, "fields");
    }
    assert_int_equal(db_backlog(b.w.db), DEAD_LETTERS_PENDING);
    start_claim(&b, 0, 0); /* and a claim still has room */
    assert_int_equal(db_backlog(b.w.db), DEAD_LETTERS_PENDING + 1);
    bench_close(&b);
    close(fd);
}

static void one_that_found_no_room_does_not_count_as_waiting(void **state)
{
    (void)state;
    struct bench b;
    int fd = bench_nowhere(&b);
    world_fill(b.w.db, 1);
    for (int i = 0; i < DEAD_LETTERS_PENDING; i++) {
        slice_store_dead_letter(b.store, "t", 0, i, "fields");
    }
    while (db_backlog(b.w.db) > 0) { /* the deadlines pass */
        world_turn(&b.w);
    }
    slice_store_dead_letter(b.store, "t", 0, 0, "fields");
    assert_int_equal(db_backlog(b.w.db), 1);
    bench_close(&b);
    close(fd);
}

static void nothing_is_told_after_the_end(void **state)
{
    struct bench b;
    bench_open(&b, state, "reveille_worker", STALE_MS);
    start_claim(&b, 0, 0);
    start_touch(&b);
    bench_close(&b); /* the sanitizer sees what is left */
    assert_int_equal(b.claims + b.touches, 0);
}

static int setup(void **state)
{
    if (schema_setup(state) != 0) {
        return -1;
    }
    if (*state != NULL) {
        schema_exec(((struct schema *)*state)->pg,
                    "select test.job('u'); select test.mentors(1, 6)");
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-D4: a claim is told with the slot that asked", a_claim_is_told_with_its_place),
        TEST("claims of many slots are under way at once, each answered once",
             claims_of_many_slots_are_under_way_at_once),
        TEST("R-D4: a touch tells which claims are still ours, whatever the order of the rows",
             a_touch_tells_those_that_are_ours),
        TEST("R-P5: what is released is free", what_is_released_is_free),
        TEST("a dead letter is written by reference, once", a_dead_letter_is_written_by_reference),
        TEST("R-D4: a link lost under a claim is a failed claim, and the next one is answered",
             a_lost_link_is_a_failed_claim),
        TEST("a refused claim says why", a_refused_claim_says_why),
        TEST("R-D4: a renewal that is not answered is given up when the claim is stale",
             a_renewal_is_given_up_when_the_claim_is_stale),
        TEST("R-D4: what cannot be asked is answered as failed, once, in the next turn",
             what_cannot_be_asked_is_answered_in_the_next_turn),
        TEST("dead letters that wait are bounded, and leave room",
             dead_letters_that_wait_are_bounded),
        TEST("a dead letter that found no room does not count as waiting",
             one_that_found_no_room_does_not_count_as_waiting),
        TEST("nothing is told after the end", nothing_is_told_after_the_end),
    };
    return cmocka_run_group_tests_name("slice_store", tests, setup, schema_teardown);
}
