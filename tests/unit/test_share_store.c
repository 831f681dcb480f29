/* Tests share_store.c on a real PostgreSQL, in the worker's role: what is reported arrives, what is
 * lent is read, and what gets no answer is told as none. What is lent to whom is tests/sql's. */
#include "schema_world.h"

#include "share_store.h"

struct bench {
    struct world w;
    struct schema *s;
    struct share_store *store;
    bool calling; /* within share_store_ask: nothing may be told now */
    int answers, engine;
    struct share_answer answer;
};

static void on_answer(void *arg, int engine, const struct share_answer *answer)
{
    struct bench *b = arg;
    assert_false(b->calling);
    b->answers++;
    b->engine = engine;
    b->answer = *answer;
    loop_stop(b->w.loop);
}

static void make_store(struct bench *b)
{
    b->store = share_store_new(b->w.loop, b->w.db, "w1", on_answer, b, NULL);
    assert_non_null(b->store);
}

static void bench_open(struct bench *b, void **state)
{
    *b = (struct bench){.s = schema_of(state)};
    schema_exec(b->s->pg, "delete from reveille.engine_share where worker <> '';"
                          "update reveille.engine set current = concurrency, closed_since = null,"
                          " paused_until = null, recent = '', last_success_at = null,"
                          " moved_at = clock_timestamp()");
    schema_open(b->s, &b->w, "reveille_worker", 1);
    make_store(b);
}

static void bench_close(struct bench *b)
{
    db_free(TAKE(b->w.db));
    share_store_free(b->store);
    world_close(&b->w);
}

static void start_ask(struct bench *b, int engine, const char *name, int want,
                      const struct share_report *report)
{
    b->calling = true;
    share_store_ask(b->store, engine, name, want, report);
    b->calling = false;
}

static const struct share_answer *asked(struct bench *b, int engine, const char *name, int want,
                                        const struct share_report *report)
{
    int before = b->answers;
    start_ask(b, engine, name, want, report);
    WAIT_UNTIL(&b->w, b->answers > before);
    assert_int_equal(b->answers, before + 1);
    assert_int_equal(b->engine, engine);
    return &b->answer;
}

static const struct share_answer *none(struct bench *b)
{
    assert_false(b->answer.arrived);
    assert_int_equal(b->answer.outage_ms, -1);
    return &b->answer;
}

/* ---- what is answered ---------------------------------------------------------------------- */

static void what_is_lent_is_read(void **state)
{
    struct bench b;
    bench_open(&b, state);
    const struct share_answer *a = asked(&b, 3, "http", 4, &(struct share_report){.seq = 1});
    assert_true(a->arrived);
    assert_int_equal(a->granted, 4);
    assert_int_equal(a->lease_ms, SHARE_LEASE_MS); /* limits.h says what the function lends */
    assert_false(a->probe);
    assert_int_equal(a->retry_ms, SHARE_ASK_MS);
    assert_int_equal(a->outage_ms, -1);
    assert_int_equal(a->current, 10);
    bench_close(&b);
}

static void a_closed_engine_is_lent_for_one_call(void **state)
{
    struct bench b;
    bench_open(&b, state);
    schema_exec(b.s->pg, "update reveille.engine set current = 1, closed_since ="
                         " clock_timestamp() - interval '1 min', last_success_at ="
                         " clock_timestamp() - interval '2 min', paused_until ="
                         " clock_timestamp() - interval '1 s' where engine = 'http'");
    const struct share_answer *a = asked(&b, 0, "http", 4, &(struct share_report){.seq = 1});
    assert_true(a->probe);
    assert_int_equal(a->granted, 1);
    assert_int_equal(a->current, 1);
    assert_in_range(a->outage_ms, 120000, 180000);
    bench_close(&b);
}

/* Every field at its longest: a report that is cut would be no JSON, and never arrive. */
static void a_full_report_arrives_whole(void **state)
{
    struct share_report r = {.seq = INT64_MAX,
                             .busy = INT32_MAX,
                             .ok = INT32_MAX,
                             .retry_after_ms = INT32_MAX,
                             .partitions = INT32_MAX,
                             .slices = INT32_MAX};
    struct bench b;
    memset(r.tries, '.', sizeof(r.tries) - 1);
    bench_open(&b, state);
    assert_true(asked(&b, 0, "http", 1, &r)->arrived);
    schema_expect(b.s,
                  "select report - 'version' = jsonb_build_object('seq', 9223372036854775807,"
                  " 'busy', 2147483647, 'tries', repeat('.', 64), 'ok', 2147483647,"
                  " 'partitions', 2147483647, 'slices', 2147483647, 'retry_after_ms', 2147483647)"
                  "  and report ->> 'version' = '" REVEILLE_VERSION "'"
                  "  from reveille.engine_share where worker = 'w1'",
                  "t");
    bench_close(&b);
}

static void no_wish_of_the_engine_is_not_reported_as_one(void **state)
{
    struct bench b;
    bench_open(&b, state);
    assert_true(asked(&b, 0, "http", 1, &(struct share_report){.seq = 1, .tries = "x."})->arrived);
    schema_expect(b.s,
                  "select report ? 'retry_after_ms' from reveille.engine_share"
                  " where worker = 'w1'",
                  "f");
    schema_expect(b.s, "select recent from reveille.engine where engine = 'http'", "x.");
    bench_close(&b);
}

/* ---- what is not --------------------------------------------------------------------------- */

static void an_ask_that_comes_late_has_no_answer(void **state)
{
    struct bench b;
    bench_open(&b, state);
    assert_true(asked(&b, 0, "http", 1, &(struct share_report){.seq = 5})->arrived);
    asked(&b, 0, "http", 1, &(struct share_report){.seq = 5});
    none(&b);
    bench_close(&b);
}

static void a_refused_ask_has_no_answer(void **state)
{
    struct bench b;
    bench_open(&b, state);
    asked(&b, 7, "no_such_engine", 1, &(struct share_report){.seq = 1});
    none(&b);
    bench_close(&b);
}

static void a_lost_link_is_no_answer_and_the_next_ask_has_one(void **state)
{
    struct bench b;
    bench_open(&b, state);
    schema_lock(b.s, "select from reveille.engine where engine = 'http' for update");
    start_ask(&b, 1, "http", 2, &(struct share_report){.seq = 1});
    schema_kill_waiting(b.s, &b.w);
    WAIT_UNTIL(&b.w, b.answers == 1);
    none(&b);
    schema_unlock(b.s);
    assert_true(asked(&b, 1, "http", 2, &(struct share_report){.seq = 2})->arrived);
    assert_int_equal(b.answer.granted, 2);
    bench_close(&b);
}

static void what_cannot_be_asked_is_told_in_the_next_turn(void **state)
{
    (void)state;
    char nowhere[96];
    int fd;
    struct bench b = {.s = NULL};
    schema_nowhere(nowhere, &fd);
    world_open(&b.w);
    world_connect(&b.w, nowhere, 1);
    world_fill(b.w.db, WORLD_NEVER_MS);
    make_store(&b);
    start_ask(&b, 1, "http", 2, &(struct share_report){.seq = 1});
    start_ask(&b, POOL_ENGINES_MAX - 1, "noop", 2, &(struct share_report){.seq = 1});
    assert_int_equal(b.answers, 0);
    WAIT_UNTIL(&b.w, b.answers == 2);
    assert_int_equal(b.engine, POOL_ENGINES_MAX - 1);
    none(&b);
    start_ask(&b, 1, "http", 2, &(struct share_report){.seq = 2});
    WAIT_UNTIL(&b.w, b.answers == 3); /* the first two are not told again */
    assert_int_equal(b.engine, 1);
    bench_close(&b);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-E1: what is lent is read, and for which engine", what_is_lent_is_read),
        TEST("R-E2: a closed engine is lent for one call, and for how long it has been down",
             a_closed_engine_is_lent_for_one_call),
        TEST("R-E1: a report with every field at its longest arrives whole",
             a_full_report_arrives_whole),
        TEST("an engine that wished nothing is not reported to have",
             no_wish_of_the_engine_is_not_reported_as_one),
        TEST("R-E1: an ask that comes later than a newer one has no answer, and is told so",
             an_ask_that_comes_late_has_no_answer),
        TEST("a refused ask has no answer, and is told so", a_refused_ask_has_no_answer),
        TEST("R-E1: a lost link is no answer, and the next ask has one",
             a_lost_link_is_no_answer_and_the_next_ask_has_one),
        TEST("R-E1: an ask that finds no room is told so, once, in the next turn",
             what_cannot_be_asked_is_told_in_the_next_turn),
    };
    return cmocka_run_group_tests_name("share_store", tests, schema_setup, schema_teardown);
}
