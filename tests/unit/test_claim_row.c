/* Tests claim_row.c: rows in the form of claim_slice's, made by a real server, so that their types
 * are the ones that the wire has. That the function itself answers so is tests/sql's. */
#include "db_world.h"

#include "claim_row.h"

#define ONE "00000001-0000-4000-8000-000000000000"
#define TWO "00000002-0000-4000-8000-000000000000"

/* A row of claim_slice's: what stands before the arrays, and the arrays. */
#define ROW(outcome, stale, attempt, job, date, arrays)                                        \
    "select " outcome "::text, " stale "::int, " attempt "::int, " job "::text, 'web'::text, " \
    "to_char(" date "::date, 'FMYYYY-MM-DD'), '[\"inactivity\"]'::text, false, " arrays
#define ARRAYS \
    "array['" ONE "', '" TWO "']::uuid[], array['" ONE "', null]::uuid[], '{t,f}'::bool[]"

struct asked {
    struct world *w;
    struct claim *claim; /* NULL: not answered yet */
};

static void read_it(void *arg, enum db_outcome outcome, const struct db_result *r,
                    const struct err *err)
{
    struct asked *a = arg;
    if (outcome != DB_OK) {
        fail_msg("%s", err->text);
    }
    a->claim = calloc(1, sizeof(*a->claim));
    claim_row_read(r, a->claim);
    loop_stop(a->w->loop);
}

/* Returns owned: the claim that a statement's answer is read as. */
static struct claim *claim_of(const char *sql)
{
    const char *url = world_url();
    struct world w;
    world_open(&w);
    world_connect(&w, url, 1);
    struct asked a = {.w = &w};
    assert_int_equal(db_call(w.db, sql, NULL, DB_STATEMENT_MS, read_it, &a, NULL), 0);
    WAIT_UNTIL(&w, a.claim != NULL);
    world_close(&w);
    return a.claim;
}

static void a_claim_is_read_whole(void **state)
{
    (void)state;
    struct claim *c = claim_of(ROW("'claimed'", "null", "3", "'nightly'", "'2026-11-21'", ARRAYS));
    assert_int_equal(c->outcome, CLAIM_OURS);
    assert_int_equal(c->attempt, 3);
    assert_string_equal(c->job_name, "nightly");
    assert_string_equal(c->component, "web");
    assert_string_equal(c->evaluation_date, "2026-11-21");
    assert_string_equal(c->scenarios, "[\"inactivity\"]");
    /* sha256sum's first 16 digits: the key is the same in every worker and every release */
    assert_string_equal(c->scenarios_hash, "580de2dfb76fbb9f");
    assert_false(c->shadow);
    assert_int_equal(c->n, 2);
    assert_int_equal(c->subject_ids[1].b[3], 2);
    assert_int_equal(c->user_ids[0].b[3], 1);
    struct uuid nil = {{0}};
    assert_true(uuid_equal(&c->user_ids[1], &nil)); /* gone since the plan */
    assert_true(c->eligible[0]);
    assert_false(c->eligible[1]);
    claim_free(c);
}

static void a_slice_without_subjects_is_read(void **state)
{
    (void)state;
    struct claim *c = claim_of(ROW("'claimed'", "null", "1", "'j'", "'2026-11-21'",
                                   "'{}'::uuid[], null::uuid[], null::bool[]"));
    assert_int_equal(c->outcome, CLAIM_OURS);
    assert_int_equal(c->n, 0);
    claim_free(c);
}

/* Settled by the claim itself: what log lines need of it is there, its users are not. */
static void a_lost_slice_names_its_subjects_without_users(void **state)
{
    (void)state;
    struct claim *c = claim_of(ROW("'lost'", "null", "6", "'nightly'", "'2026-11-21'",
                                   "array['" ONE "', '" TWO "']::uuid[], null::uuid[],"
                                   " null::bool[]"));
    assert_int_equal(c->outcome, CLAIM_LOST);
    assert_int_equal(c->n, 2);
    assert_int_equal(c->subject_ids[1].b[3], 2);
    assert_string_equal(c->job_name, "nightly");
    claim_free(c);
}

static void what_is_not_ours_needs_nothing_else(void **state)
{
    static const struct {
        const char *sql;
        enum claim_outcome outcome;
        int stale_ms;
    } rows[] = {
#define NULLS "null::uuid[], null::uuid[], null::bool[]"
        {ROW("'busy'", "4321", "null", "null", "null", NULLS), CLAIM_BUSY, 4321},
        {ROW("'done'", "null", "null", "null", "null", NULLS), CLAIM_DONE, 0},
        {ROW("'unknown'", "null", "null", "null", "null", NULLS), CLAIM_UNKNOWN, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct claim *c = claim_of(rows[i].sql);
        assert_int_equal(c->outcome, rows[i].outcome);
        assert_int_equal(c->stale_ms, rows[i].stale_ms);
        assert_false(err_is_set(&c->err));
        assert_null(c->subject_ids);
        claim_free(c);
    }
}

static void what_does_not_hold_together_is_no_claim(void **state)
{
    static const struct {
        const char *sql, *code;
    } rows[] = {
        {ROW("'claimed'", "null", "1", "'j'", "'2026-11-21'", ARRAYS) " where false", "rows"},
        {ROW("'claimed'", "null", "1", "'j'", "'2026-11-21'", ARRAYS) " from generate_series(1, 2)",
         "rows"},
        {ROW("'CLAIMED'", "null", "1", "'j'", "'2026-11-21'", ARRAYS), "outcome"},
        {ROW("''", "null", "1", "'j'", "'2026-11-21'", ARRAYS), "outcome"},
        {ROW("null", "null", "1", "'j'", "'2026-11-21'", ARRAYS), "outcome"},
        {ROW("'claimed'", "null", "1", "'j'", "null", ARRAYS), "date"},
        {ROW("'claimed'", "null", "1", "'j'", "'12026-11-21'", ARRAYS), "date"},
        {ROW("'claimed'", "null", "1", "'j'", "'2026-11-21'",
             "array['" ONE "', '" TWO "']::uuid[], array['" ONE "']::uuid[], '{t,f}'::bool[]"),
         "arrays"},
        {ROW("'claimed'", "null", "1", "'j'", "'2026-11-21'",
             "array['" ONE "']::uuid[], array['" ONE "']::uuid[], '{t,f}'::bool[]"),
         "arrays"},
        {ROW("'claimed'", "null", "1", "'j'", "'2026-11-21'",
             "array['" ONE "']::uuid[], null::uuid[], null::bool[]"),
         "arrays"},
        {ROW("'claimed'", "null", "1", "'j'", "'2026-11-21'",
             "array[array['" ONE "'], array['" TWO "']]::uuid[], '{}'::uuid[], '{}'::bool[]"),
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        print_message("row %zu\n", i);
        struct claim *c = claim_of(rows[i].sql);
        assert_int_equal(c->outcome, CLAIM_FAILED);
        assert_err(c->err, ERR_PROTOCOL);
        if (rows[i].code != NULL) {
            assert_string_equal(c->err.code, rows[i].code);
        }
        claim_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-D4: a claim's row is read whole, who is gone since the plan among them",
             a_claim_is_read_whole),
        TEST("a slice without subjects is a claim", a_slice_without_subjects_is_read),
        TEST("R-E2: a slice that was lost names its subjects, without users",
             a_lost_slice_names_its_subjects_without_users),
        TEST("R-D4: busy, done and unknown need no other column",
             what_is_not_ours_needs_nothing_else),
        TEST("R-D4: a row that does not hold together is a failed claim, never half of one",
             what_does_not_hold_together_is_no_claim),
    };
    return cmocka_run_group_tests_name("claim_row", tests, NULL, NULL);
}
