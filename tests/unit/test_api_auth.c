/* Who may call: api_auth.c with real secrets from files and variables. Its database is one that
 * cannot be reached: a ring must not fail because the use of a secret cannot be written down. */
#include "unit.h"

#include "api_auth.h"
#include "loop.h"

#define FIRST "0000000000000000000000000000000000000000000000000000000000000001"
#define SECOND "0000000000000000000000000000000000000000000000000000000000000002"
#define THIRD "0000000000000000000000000000000000000000000000000000000000000003"

struct world {
    struct loop *loop;
    struct db *db;
    struct metrics *metrics;
    struct config *cfg;
    struct api_auth *auth;
};

static struct world world_of(const char *const *env)
{
    struct world w = {0};
    struct err err = ERR_INIT;
    struct db_config nowhere = {
        .conninfo = "host=/nonexistent dbname=none", .app_name = "test", .links = 1};
    assert_non_null(w.cfg = config_new(FOR_PRODUCER, env, &err));
    assert_non_null(w.loop = loop_new(&err));
    assert_non_null(w.db = db_new(w.loop, &nowhere, NULL, NULL, &err));
    assert_non_null(w.metrics = metrics_new(&err));
    assert_non_null(w.auth = api_auth_new(w.cfg, w.db, NULL, w.metrics, &err));
    return w;
}

static void world_end(struct world *w)
{
    db_free(w->db);
    api_auth_free(w->auth);
    metrics_free(w->metrics);
    loop_free(w->loop);
    config_free(w->cfg);
}

static void each_secret_has_its_power(void **state)
{
    (void)state;
    const char *const env[] = {"SCHEDULER_SECRET=" FIRST, "SCHEDULER_SECRET_NEXT=" SECOND,
                               "OPERATOR_SECRET=" THIRD, NULL};
    struct world w = world_of(env);
    assert_int_equal(api_auth_power(w.auth, FIRST), API_SCHEDULER);
    assert_int_equal(api_auth_power(w.auth, SECOND), API_SCHEDULER);
    assert_int_equal(api_auth_power(w.auth, THIRD), API_OPERATOR);
    world_end(&w);
}

static void wrong_and_missing_secrets_have_none(void **state)
{
    (void)state;
    const char *const env[] = {"SCHEDULER_SECRET=" FIRST, NULL};
    struct world w = world_of(env);
    assert_int_equal(api_auth_power(w.auth, NULL), API_NOBODY);
    assert_int_equal(api_auth_power(w.auth, ""), API_NOBODY);
    assert_int_equal(api_auth_power(w.auth, SECOND), API_NOBODY);
    assert_int_equal(api_auth_power(w.auth, FIRST "0"), API_NOBODY);
    assert_int_equal(api_auth_power(w.auth, "0"), API_NOBODY);
    world_end(&w);
}

static void without_secrets_nobody_is_let_in(void **state)
{
    (void)state;
    const char *const env[] = {NULL};
    struct world w = world_of(env);
    assert_int_equal(api_auth_power(w.auth, NULL), API_NOBODY);
    assert_int_equal(api_auth_power(w.auth, ""), API_NOBODY);
    world_end(&w);
}

static void one_secret_in_two_slots_has_the_greater_power(void **state)
{
    (void)state;
    const char *const env[] = {"SCHEDULER_SECRET=" FIRST, "OPERATOR_SECRET=" FIRST, NULL};
    struct world w = world_of(env);
    assert_int_equal(api_auth_power(w.auth, FIRST), API_OPERATOR);
    world_end(&w);
}

static void rewrite(const char *path, const char *text)
{
    char fresh[UNIT_PATH_SIZE];
    unit_file(fresh, text, strlen(text));
    assert_int_equal(rename(fresh, path), 0); /* another inode: as secrets are rotated */
}

static void a_file_that_changes_is_read_again(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE], variable[UNIT_PATH_SIZE + 32];
    unit_file(path, FIRST "\n", 65);
    snprintf(variable, sizeof variable, "SCHEDULER_SECRET_FILE=%s", path);
    const char *const env[] = {variable, NULL};
    struct world w = world_of(env);
    assert_int_equal(api_auth_power(w.auth, FIRST), API_SCHEDULER);
    rewrite(path, SECOND "\n");
    api_auth_refresh(w.auth);
    assert_int_equal(api_auth_power(w.auth, FIRST), API_NOBODY);
    assert_int_equal(api_auth_power(w.auth, SECOND), API_SCHEDULER);
    unlink(path);
    world_end(&w);
}

static void a_file_that_goes_keeps_its_secret(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE], variable[UNIT_PATH_SIZE + 32];
    unit_file(path, FIRST, 64);
    snprintf(variable, sizeof variable, "SCHEDULER_SECRET_FILE=%s", path);
    const char *const env[] = {variable, NULL};
    struct world w = world_of(env);
    unlink(path);
    api_auth_refresh(w.auth);
    assert_int_equal(api_auth_power(w.auth, FIRST), API_SCHEDULER);
    world_end(&w);
}

static void a_file_with_a_weak_secret_lets_nobody_in(void **state)
{
    (void)state;
    char path[UNIT_PATH_SIZE], variable[UNIT_PATH_SIZE + 32];
    unit_file(path, FIRST, 64);
    snprintf(variable, sizeof variable, "SCHEDULER_SECRET_FILE=%s", path);
    const char *const env[] = {variable, NULL};
    struct world w = world_of(env);
    rewrite(path, "password");
    api_auth_refresh(w.auth);
    assert_int_equal(api_auth_power(w.auth, "password"), API_NOBODY);
    unlink(path);
    world_end(&w);
}

static void the_last_use_is_a_metric_for_each_slot(void **state)
{
    (void)state;
    const char *const env[] = {"SCHEDULER_SECRET=" FIRST, "SCHEDULER_SECRET_NEXT=" SECOND, NULL};
    struct world w = world_of(env);
    assert_int_equal(api_auth_power(w.auth, SECOND), API_SCHEDULER);
    assert_true(metrics_get(w.metrics, METRIC_SECRET_LAST_USED, "scheduler_next", NULL) > 1e9);
    assert_true(metrics_get(w.metrics, METRIC_SECRET_LAST_USED, "scheduler", NULL) < 1);
    world_end(&w);
}

static void a_use_is_written_down_once_in_ten_seconds(void **state)
{
    (void)state;
    const char *const env[] = {"SCHEDULER_SECRET=" FIRST, NULL};
    struct world w = world_of(env);
    for (int i = 0; i < 100; i++)
        assert_int_equal(api_auth_power(w.auth, FIRST), API_SCHEDULER);
    assert_int_equal(db_backlog(w.db), 1);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-T12: the scheduler's and the operator's secrets have different power",
             each_secret_has_its_power),
        TEST("R-T9: a wrong or missing secret has no power", wrong_and_missing_secrets_have_none),
        TEST("R-T9: without configured secrets nobody is let in", without_secrets_nobody_is_let_in),
        TEST("one secret in two slots has the greater power",
             one_secret_in_two_slots_has_the_greater_power),
        TEST("R-T10: a secret's file that changes is read again",
             a_file_that_changes_is_read_again),
        TEST("R-T10: a secret's file that goes away keeps its secret",
             a_file_that_goes_keeps_its_secret),
        TEST("R-T9: a file whose new secret is no 256-bit hex lets nobody in",
             a_file_with_a_weak_secret_lets_nobody_in),
        TEST("R-T10: the last use of each secret is visible",
             the_last_use_is_a_metric_for_each_slot),
        TEST("R-T10: a use is written down at most once in ten seconds",
             a_use_is_written_down_once_in_ten_seconds),
    };
    return cmocka_run_group_tests_name("api_auth", tests, NULL, NULL);
}
