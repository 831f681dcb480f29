/* Tests api_query.c over a real socket, on a real PostgreSQL: a request is answered whatever the
 * database does. What the statements are, is the handlers' (the flow tests). */
#include "api_world.h"

/* ---- statements for requests --------------------------------------------------------------- */

static const char *const statements[] = {
    "select $1::text",
    "select ($1 || 'x')::date::text",
    "select $1 from no_such_table",
    "select pg_notify($1, repeat('x', 8001))::text", /* class 22 */
    "do $$ begin raise 'canary' using errcode = 'RV409'; end $$",
};

static void answer_rows(void *arg, struct http_request *req, const struct db_result *r,
                        const struct api_memo *memo)
{
    assert_ptr_equal(arg, statements);
    assert_string_equal(memo->job_name, "a memo");
    api_reply_json(req, 200, db_text(r, 0, 0));
}

static void answer_query(struct bench *b, struct http_request *req)
{
    struct api_memo memo = {.job_name = "a memo"};
    struct db_args *args = NULL;
    if (b->i < 4) {
        args = db_args_new();
        db_arg_text(args, "{}");
    }
    api_query(b->queries, req, "unit", statements[b->i], args, answer_rows,
              (void *)(uintptr_t)statements, &memo);
}

static bool is_up(void *arg)
{
    return db_is_up(((struct bench *)arg)->db);
}

static void bench_connect(struct bench *b, const char *conninfo)
{
    struct db_config cfg = {.conninfo = conninfo, .app_name = "reveille-test", .links = 1};
    b->db = db_new(b->w.loop, &cfg, NULL, NULL, NULL);
    b->queries = api_queries_new(b->db, NULL, NULL);
    assert_true(b->db != NULL && b->queries != NULL);
}

static const char *url(void)
{
    const char *found = getenv("REVEILLE_TEST_DATABASE_URL");
    if (found == NULL) {
        print_message("REVEILLE_TEST_DATABASE_URL is not set: NOT TESTED against PostgreSQL\n");
        skip();
    }
    return found;
}

static void a_statement_answers_its_request_whatever_it_says(void **state)
{
    static const int statuses[] = {200, 422, 503, 422, 500};
    struct bench b;
    const char *conninfo = url();
    (void)state;
    bench_open(&b, answer_query);
    bench_connect(&b, conninfo);
    assert_true(until(&b.w, is_up, &b, WAIT_MS));
    for (b.i = 0; b.i < 5; b.i++) {
        assert_int_equal(ask(&b), statuses[b.i]);
        assert_null(strstr(b.c.in, "canary"));
    }
    bench_close(&b);
}

/* A database that was never there is a fault of the installation, one that is away passes. */
static void without_a_database_the_answer_comes_at_once(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, answer_query);
    bench_connect(&b, "host=127.0.0.1 port=1 dbname=none user=none");
    assert_int_equal(ask(&b), 500);
    api_queries_reached(b.queries);
    assert_int_equal(ask(&b), 503);
    assert_int_equal(db_backlog(b.db), 0); /* nothing waits for it to come back */
    bench_close(&b);
}

static void forget(void *arg, enum db_outcome outcome, const struct db_result *r,
                   const struct err *err)
{
    (void)arg;
    (void)outcome;
    (void)r;
    (void)err;
}

static void answer_when_full(struct bench *b, struct http_request *req)
{
    while (db_call(b->db, "select 1", NULL, DB_STATEMENT_MS, forget, NULL, NULL) == 0) {
    }
    answer_query(b, req);
}

static void a_statement_that_finds_no_room_is_503(void **state)
{
    struct bench b;
    const char *conninfo = url();
    (void)state;
    bench_open(&b, answer_when_full);
    bench_connect(&b, conninfo);
    assert_true(until(&b.w, is_up, &b, WAIT_MS));
    assert_int_equal(ask(&b), 503);
    b.answer = answer_query;
    assert_int_equal(ask(&b), 200);
    bench_close(&b);
}

static bool was_handled(void *arg)
{
    return ((struct bench *)arg)->w.handled > 0;
}

static void what_is_under_way_at_the_end_is_forgotten(void **state)
{
    struct bench b;
    const char *conninfo = url();
    (void)state;
    bench_open(&b, answer_query);
    bench_connect(&b, conninfo);
    assert_true(until(&b.w, is_up, &b, WAIT_MS));
    client_say(&b.c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(until(&b.w, was_handled, &b, WAIT_MS));
    bench_close(&b); /* the sanitizer sees what is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a statement answers its request whatever the server says",
             a_statement_answers_its_request_whatever_it_says),
        TEST("without a database the answer comes at once: 500 if it never was there, else 503",
             without_a_database_the_answer_comes_at_once),
        TEST("a statement that finds no room is 503, and the next one is answered",
             a_statement_that_finds_no_room_is_503),
        TEST("what is under way at the end is forgotten",
             what_is_under_way_at_the_end_is_forgotten),
    };
    return cmocka_run_group_tests_name("api_query", tests, NULL, NULL);
}
