/* Tests engine_sql.c, and settle_row.c's reading of a row, against a real server: what judge_slices
 * is given and what becomes of its answers. In its place stands a function of the same form that
 * answers by the slice's number; the real one has tests/sql/10_judging.sql. */
#define answer world_answer /* the core's is another */
#include "db_world.h"
#undef answer

#include "engine_sql.h"

#define WORKER "a worker"
#define FORM                                                                               \
    "create schema reveille;"                                                              \
    "create table public.asked(run uuid, slices int[], worker text, each boolean,"         \
    "                          stale interval, careful boolean);"                          \
    "create function reveille.judge_slices("                                               \
    "    p_run uuid, p_slices int[], p_worker text, p_each boolean default false,"         \
    "    p_stale interval default '10 s', p_careful boolean default false)"                \
    "returns table(slice_no int, evaluated int, skipped int, errors int, dispatched int,"  \
    "    suppressed int, error_ids uuid[], error_classes text[], error_texts text[])"      \
    "language plpgsql as $$ begin"                                                         \
    "    insert into public.asked values (p_run, p_slices, p_worker, p_each, p_stale,"     \
    "                                     p_careful);"                                     \
    "    if p_slices = '{1}' then return;"                                                 \
    "    elsif p_slices = '{2}' then raise 'a row it does not understand';"                \
    "    elsif p_slices = '{3}' then perform pg_terminate_backend(pg_backend_pid());"      \
    "    elsif p_slices = '{4}' then raise 'no' using errcode = 'insufficient_privilege';" \
    "    end if;"                                                                          \
    "    return query select 5, 7, 1, 2, 3, 4,"                                            \
    "        array[uuid '00000000-0000-4000-8000-000000000001',"                           \
    "              uuid '00000000-0000-4000-8000-000000000002'],"                          \
    "        '{database_error,evaluation_logic_error}'::text[],"                           \
    "        '{22012,unusable decision}'::text[];"                                         \
    "end $$"

struct judging {
    struct world w;     /* its db is a new database */
    struct world owner; /* its db makes that and drops it */
    struct engine_sql *sql;
    char database[64];
    int told;
    int engine;
    struct pool_ref ref;
    struct settle_answer answer;
    struct subject_failure failures[4];
    char texts[4][64];
};

static void on_judged(void *arg, int engine, struct pool_ref ref, const struct settle_answer *a,
                      int64_t duration_us)
{
    struct judging *j = arg;
    assert_true(duration_us >= 0);
    j->told++;
    j->engine = engine;
    j->ref = ref;
    j->answer = *a;
    for (int i = 0; i < a->failure_count && i < 4; i++) {
        j->failures[i] = a->failures[i]; /* lent: what it points to is gone when this returns */
        snprintf(j->texts[i], sizeof(j->texts[i]), "%s %s", a->failures[i].cls,
                 a->failures[i].text);
    }
    loop_stop(j->w.loop);
}

static void judging_open(struct judging *j)
{
    const char *url = world_url();
    char sql[128];
    *j = (struct judging){.told = 0};
    world_open(&j->owner);
    world_connect(&j->owner, url, 1);
    snprintf(j->database, sizeof(j->database), "reveille_engine_sql_%d", (int)getpid());
    snprintf(sql, sizeof(sql), "create database %s", j->database);
    world_do(&j->owner, sql);
    const char *pairs[] = {"dbname", j->database, NULL};
    char *conninfo = world_conninfo(url, pairs);
    world_open(&j->w);
    world_connect(&j->w, conninfo, 1);
    free(conninfo);
    struct engine_sql_config cfg = {
        .db = j->w.db, .worker_name = WORKER, .stale_ms = 6000, .on_judged = on_judged, .arg = j};
    j->sql = engine_sql_new(j->w.loop, &cfg, NULL);
    assert_non_null(j->sql);
    world_do(&j->w, "do $do$ begin execute $x$" FORM "$x$; end $do$");
}

static void judging_close(struct judging *j)
{
    char sql[128];
    db_free(TAKE(j->w.db));
    engine_sql_free(j->sql);
    world_close(&j->w);
    snprintf(sql, sizeof(sql), "drop database %s with (force)", j->database);
    world_do(&j->owner, sql);
    world_close(&j->owner);
}

static enum settle_result judge(struct judging *j, int32_t slice, bool each, bool careful)
{
    struct pool_judge what = {.slice = slice, .each = each, .careful = careful};
    what.run.b[15] = 9;
    j->told = 0;
    engine_sql_judge(j->sql, 3, (struct pool_ref){4, 5}, &what);
    assert_int_equal(j->told, 0); /* never from within */
    WAIT_UNTIL(&j->w, j->told > 0);
    assert_int_equal(j->told, 1);
    assert_true(j->engine == 3 && j->ref.slot == 4 && j->ref.generation == 5);
    return j->answer.result;
}

static void numbers_and_failures(void **state)
{
    (void)state;
    struct judging j;
    judging_open(&j);
    assert_int_equal(judge(&j, 5, true, false), SETTLE_DONE);
    assert_true(j.answer.evaluated == 7 && j.answer.skipped == 1 && j.answer.errors == 2 &&
                j.answer.dispatched == 3 && j.answer.suppressed == 4);
    assert_int_equal(j.answer.failure_count, 2);
    assert_int_equal(j.failures[0].subject.b[15], 1);
    assert_int_equal(j.failures[1].subject.b[15], 2);
    assert_string_equal(j.texts[0], "database_error 22012");
    assert_string_equal(j.texts[1], "evaluation_logic_error unusable decision");
    assert_int_equal(judge(&j, 6, false, true), SETTLE_DONE);
    assert_int_equal(
        world_number(&j.w,
                     "select count(*) from public.asked where worker = '" WORKER "'"
                     " and stale = '6 s' and run = '00000000-0000-0000-0000-000000000009'"
                     " and (slices, each, careful) in (('{5}', true, false), ('{6}', false, true))",
                     NULL),
        2);
    judging_close(&j);
}

static void refusals(void **state)
{
    (void)state;
    struct judging j;
    judging_open(&j);
    assert_int_equal(judge(&j, 1, false, false), SETTLE_NOT_OPEN);
    assert_int_equal(judge(&j, 2, false, false), SETTLE_BAD_DATA);
    assert_string_equal(j.answer.err.code, "P0001");
    assert_int_equal(judge(&j, 4, false, false), SETTLE_FORBIDDEN);
    assert_int_equal(judge(&j, 3, false, false), SETTLE_UNKNOWN); /* its link was lost */
    assert_int_equal(judge(&j, 5, false, false), SETTLE_DONE);    /* on a new one */
    judging_close(&j);
}

static void its_entry(void **state)
{
    (void)state;
    struct engine e = engine_sql_entry();
    assert_string_equal(e.name, "sql");
    assert_true(e.bulk >= 1 && e.timeout_ms < SHARE_LEASE_MS);
    assert_true(e.start == NULL && e.abort_slice == NULL && e.free == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-E3, R-S4: one call a slice; its numbers, and whose the errors are",
             numbers_and_failures),
        TEST("R-E2: what the database refuses, and why, is told as a settle's is", refusals),
        TEST("a bulk engine has a name and a bound, and no calls a subject", its_entry),
    };
    return cmocka_run_group_tests_name("engine_sql", tests, NULL, NULL);
}
