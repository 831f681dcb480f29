/* Tests db_args.c and db_result.c together: every type goes to a real server and comes back. */
#include "db_internal.h"
#include "db_world.h"

#include <signal.h>
#include <sys/wait.h>

static const struct uuid id_a = {{0x6f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xe5}};
static const struct uuid nil = {{0}};
static const struct uuid ids[] = {{{1}}, {{2}}, {{3}}};
static struct world world;

static int setup(void **state)
{
    (void)state;
    if (getenv("REVEILLE_TEST_DATABASE_URL") != NULL) {
        world_open(&world);
        world_connect(&world, getenv("REVEILLE_TEST_DATABASE_URL"), 1);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (world.loop != NULL) {
        world_close(&world);
    }
    world = (struct world){.loop = NULL};
    return 0;
}

static void ask(const char *sql, struct db_args *args, void (*look)(const struct db_result *r))
{
    struct world_answer a = {.look = look};
    world_call(&world, &a, sql, args, DB_STATEMENT_MS);
    WAIT_UNTIL(&world, a.calls > 0);
    if (a.outcome != DB_OK) {
        fail_msg("%s", a.err.text);
    }
}

static void look_scalars(const struct db_result *r)
{
    assert_int_equal(db_rows(r), 1);
    assert_true(db_bool(r, 0, 0));
    assert_false(db_bool(r, 0, 1));
    assert_int_equal(db_int(r, 0, 2), INT32_MIN);
    assert_true(db_bigint(r, 0, 3) == INT64_MIN + 7);
    assert_string_equal(db_text(r, 0, 4), "blåbær 'x' \\");
    assert_string_equal(db_text(r, 0, 5), "{\"a\": [1, \"é\"]}");
    struct uuid id = db_uuid(r, 0, 6);
    assert_true(uuid_equal(&id, &id_a));
    assert_string_equal(db_text(r, 0, 7), "uuid jsonb integer bigint boolean");
}

static void scalars(void **state)
{
    (void)state;
    (void)world_url();
    struct db_args *a = db_args_new();
    db_arg_bool(a, true);
    db_arg_bool(a, false);
    db_arg_int(a, INT32_MIN);
    db_arg_bigint(a, INT64_MIN + 7);
    db_arg_text(a, "blåbær 'x' \\");
    db_arg_json(a, "{\"a\":[1,\"é\"]}");
    db_arg_uuid(a, &id_a);
    ask("SELECT $1, $2, $3, $4, $5, $6, $7, concat_ws(' ', pg_typeof($7), pg_typeof($6),"
        " pg_typeof($3), pg_typeof($4), pg_typeof($1))",
        a, look_scalars);
}

static void look_nulls(const struct db_result *r)
{
    struct uuid *u = (struct uuid *)1;
    size_t n = 99;
    for (int col = 0; col < 6; col++) {
        assert_true(db_is_null(r, 0, col));
    }
    assert_string_equal(db_text(r, 0, 0), "");
    assert_string_equal(db_text(r, 0, 1), "");
    struct uuid id = db_uuid(r, 0, 2);
    assert_true(uuid_equal(&id, &nil));
    assert_int_equal(db_int(r, 0, 3), 0);
    assert_false(db_bool(r, 0, 4));
    assert_int_equal(db_uuid_array(r, 0, 5, &u, &n, NULL), 0);
    assert_true(u == NULL && n == 0);
}

static void nulls(void **state)
{
    (void)state;
    (void)world_url();
    struct db_args *a = db_args_new();
    db_arg_text(a, NULL);
    db_arg_json(a, NULL);
    db_arg_uuid(a, NULL);
    ask("SELECT $1, $2, $3, NULL::int, NULL::bool, NULL::uuid[]", a, look_nulls);
}

static void look_arrays(const struct db_result *r)
{
    struct uuid *u = NULL;
    bool *b = NULL;
    char *t = NULL;
    size_t n = 0;
    assert_string_equal(db_text(r, 0, 0), "{-1,2147483647,0}");
    assert_int_equal(db_bigint(r, 0, 1), INT64_MAX - 1);
    assert_int_equal(db_uuid_array(r, 0, 2, &u, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_true(uuid_equal(&u[0], &ids[0]) && uuid_equal(&u[1], &nil) &&
                uuid_equal(&u[2], &ids[2]));
    assert_int_equal(db_text_array(r, 0, 3, &t, &n, NULL), 0);
    assert_int_equal(n, 4);
    assert_memory_equal(t, "one\0\0\0å\0", 9);
    assert_int_equal(db_bool_array(r, 0, 4, &b, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_true(b[0] && !b[1] && !b[2]);
    assert_int_equal(db_int(r, 0, 5), 1);
    free(u);
    free(b);
    free(t);
}

static void arrays(void **state)
{
    (void)state;
    (void)world_url();
    const int32_t ints[] = {-1, INT32_MAX, 0};
    const int64_t bigints[] = {INT64_MAX, -1};
    const bool is_null[] = {false, true, false};
    const char *texts[] = {"one", NULL, "", "å"};
    struct db_args *a = db_args_new();
    db_arg_int_array(a, ints, 3);
    db_arg_bigint_array(a, bigints, 2);
    db_arg_uuid_array(a, ids, is_null, 3);
    db_arg_text_array(a, texts, 4);
    ask("SELECT $1::text, (SELECT sum(x)::bigint FROM unnest($2) x), $3, $4,"
        " ARRAY[true, false, NULL], (SELECT count(*)::int FROM unnest($4) t WHERE t IS NULL)",
        a, look_arrays);
}

static void look_empty(const struct db_result *r)
{
    void *v = &world;
    size_t n = 99;
    assert_int_equal(db_uuid_array(r, 0, 0, (struct uuid **)&v, &n, NULL), 0);
    assert_true(v == NULL && n == 0);
    v = &world;
    assert_int_equal(db_text_array(r, 0, 1, (char **)&v, &n, NULL), 0);
    assert_true(v == NULL && n == 0);
    assert_int_equal(db_int(r, 0, 2), 0);
}

static void empty_arrays(void **state)
{
    (void)state;
    (void)world_url();
    struct db_args *a = db_args_new();
    db_arg_int_array(a, NULL, 0);
    db_arg_text_array(a, NULL, 0);
    db_arg_uuid_array(a, NULL, NULL, 0);
    db_arg_bigint_array(a, NULL, 0);
    ask("SELECT $3, $2, cardinality($1) + cardinality($4)", a, look_empty);
}

static void look_square(const struct db_result *r)
{
    struct err err = ERR_INIT;
    bool *v = (bool *)1;
    size_t n = 99;
    assert_int_equal(db_bool_array(r, 0, 0, &v, &n, &err), -1);
    assert_err(err, ERR_PROTOCOL);
    assert_true(v == (bool *)1 && n == 99);
}

static void only_one_dimension(void **state)
{
    (void)state;
    (void)world_url();
    ask("SELECT ARRAY[[true, false], [false, true]]", NULL, look_square);
}

static void look_widths(const struct db_result *r)
{
    assert_int_equal(db_int(r, 0, 0), -2);
    assert_int_equal(db_bigint(r, 0, 1), -3);
    assert_string_equal(db_text(r, 0, 2), "v");
    assert_string_equal(db_text(r, 0, 3), "n");
    assert_string_equal(db_text(r, 0, 4), "[1]");
}

static void narrower_types_fit(void **state)
{
    (void)state;
    (void)world_url();
    ask("SELECT -2::int2, -3::int4, 'v'::varchar, 'n'::name, '[1]'::json", NULL, look_widths);
}

/* Whether reading stops the program; in a child, so that ours goes on. */
static bool stops(const struct db_result *r, void (*read)(const struct db_result *r))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        read(r);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void read_bigint_as_int(const struct db_result *r)
{
    (void)db_int(r, 0, 0);
}

static void read_uuid_as_text(const struct db_result *r)
{
    (void)db_text(r, 0, 1);
}

static void read_row_that_is_not_there(const struct db_result *r)
{
    (void)db_bigint(r, 1, 0);
}

static void read_column_that_is_not_there(const struct db_result *r)
{
    (void)db_is_null(r, 0, 2);
}

static void look_wrongly(const struct db_result *r)
{
    assert_true(stops(r, read_bigint_as_int));
    assert_true(stops(r, read_uuid_as_text));
    assert_true(stops(r, read_row_that_is_not_there));
    assert_true(stops(r, read_column_that_is_not_there));
}

static void a_wrong_type_stops_the_program(void **state)
{
    (void)state;
    (void)world_url();
    ask("SELECT 1::bigint, gen_random_uuid()", NULL, look_wrongly);
}

static void a_thousand_subjects_fit(void **state)
{
    (void)state;
    (void)world_url();
    enum { MANY = LIMIT_PAGE_MAX };
    struct uuid *many = calloc(MANY, sizeof(*many));
    for (size_t i = 0; i < MANY; i++) {
        many[i].b[14] = (uint8_t)(i >> 8);
        many[i].b[15] = (uint8_t)i;
    }
    struct db_args *a = db_args_new();
    db_arg_uuid_array(a, many, NULL, MANY);
    free(many); /* copied */
    assert_int_equal(world_number(&world, "SELECT count(DISTINCT u)::int FROM unnest($1) u", a),
                     MANY);
}

static void too_much_is_reported_by_the_call(void **state)
{
    (void)state;
    (void)world_url();
    struct err err = ERR_INIT;
    char *huge = calloc(1, DB_RESULT_MAX + 2);
    memset(huge, 'x', DB_RESULT_MAX + 1);
    struct db_args *a = db_args_new();
    db_arg_int(a, 1);
    db_arg_text(a, huge);
    db_arg_int(a, 2);
    free(huge);
    struct world_answer answer = {.w = &world};
    assert_int_equal(
        db_call(world.db, "SELECT $1", a, DB_STATEMENT_MS, world_on_answer, &answer, &err), -1);
    assert_err(err, ERR_LIMIT);
}

#define WORLD(sentence, function)                     \
    {                                                 \
        (sentence), (function), setup, teardown, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD("every scalar goes out and comes back, with its type", scalars),
        WORLD("nulls go out and read as nothing", nulls),
        WORLD("arrays go out and come back, nulls among their elements", arrays),
        WORLD("empty arrays go out and come back", empty_arrays),
        WORLD("an array of two dimensions is refused and leaves the outputs alone",
              only_one_dimension),
        WORLD("narrower integers and other texts are read as well", narrower_types_fit),
        WORLD("a value asked for as another type stops the program",
              a_wrong_type_stops_the_program),
        WORLD("a whole slice of subjects is one parameter", a_thousand_subjects_fit),
        WORLD("parameters over the cap are reported by db_call", too_much_is_reported_by_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
