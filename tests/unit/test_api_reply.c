/* Tests api_reply.c over a real socket: how each problem and each answer looks, and what a
 * statement's failure becomes for the caller. */
#include "api_world.h"

/* ---- how answers look ---------------------------------------------------------------------- */

static const struct {
    int status;
    const char *type;
} problems[] = {
#define PROBLEM(id, status, slug, title) {status, "urn:reveille:problem:" slug},
#include "api_problem.def"
#undef PROBLEM
};

static void answer_problem(struct bench *b, struct http_request *req)
{
    api_reply_problem(req, (enum api_problem)b->i);
}

static void every_problem_is_problem_json(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, answer_problem);
    for (b.i = 0; b.i < (int)(sizeof(problems) / sizeof(problems[0])); b.i++) {
        int status = problems[b.i].status;
        assert_int_equal(ask(&b), status);
        assert_true(has_header(&b, "Content-Type: application/problem+json"));
        assert_true(has_header(&b, "Cache-Control: no-store"));
        assert_int_equal(has_header(&b, "WWW-Authenticate: Bearer"), status == 401);
        assert_int_equal(has_header(&b, "Retry-After: 1"), status == 503);
        json_t *body = body_of(&b);
        assert_int_equal(json_object_size(body), 3); /* type, title, status: no more */
        assert_int_equal(json_integer_value(json_object_get(body, "status")), status);
        assert_string_equal(json_string_value(json_object_get(body, "type")), problems[b.i].type);
        assert_true(json_string_length(json_object_get(body, "title")) > 0);
        json_decref(body);
    }
    bench_close(&b);
}

#define TITLE "scenario \"x\\y\"\nis unknown"
static void answer_titled(struct bench *b, struct http_request *req)
{
    (void)b;
    api_reply_problem_titled(req, PROBLEM_BAD_PARAMETERS, TITLE);
}

static void a_title_is_escaped(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, answer_titled);
    assert_int_equal(ask(&b), 422);
    json_t *body = body_of(&b);
    assert_string_equal(json_string_value(json_object_get(body, "title")), TITLE);
    json_decref(body);
    bench_close(&b);
}

static void answer_run(struct bench *b, struct http_request *req)
{
    struct uuid id;
    memset(&id, 0x11, sizeof(id));
    if (b->i == 0) {
        api_reply_run(req, 202, &id, "{}", "wait=3");
    } else if (b->i == 1) {
        api_reply_run(req, 200, &id, "{}", NULL);
    } else {
        api_reply_queued(req, "nightly", b->i == 2 ? &id : NULL, b->i == 2 ? "wait=3" : NULL);
    }
}

#define ID "11111111-1111-1111-1111-111111111111"
static void a_run_has_a_location_only_while_it_is_to_be_asked_for(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, answer_run);
    assert_int_equal(ask(&b), 202);
    assert_true(has_header(&b, "Location: /v1/runs/" ID));
    assert_true(has_header(&b, "Preference-Applied: wait=3"));
    b.i = 1;
    assert_int_equal(ask(&b), 200);
    assert_null(strcasestr(b.c.in, "\r\nLocation:"));
    assert_null(strcasestr(b.c.in, "\r\nPreference-Applied:"));
    bench_close(&b);
}

static void a_queued_request_says_what_it_waits_for(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, answer_run);
    for (b.i = 2; b.i <= 3; b.i++) {
        assert_int_equal(ask(&b), 202);
        json_t *body = body_of(&b);
        const char *behind = json_string_value(json_object_get(body, "behind"));
        assert_string_equal(json_string_value(json_object_get(body, "status")), "queued");
        assert_string_equal(json_string_value(json_object_get(body, "job_name")), "nightly");
        assert_true(json_is_null(json_object_get(body, "run_id")));
        assert_int_equal(behind != NULL, b.i == 2);
        assert_true(behind == NULL || strcmp(behind, ID) == 0);
        assert_int_equal(has_header(&b, "Preference-Applied: wait=3"), b.i == 2);
        json_decref(body);
    }
    bench_close(&b);
}

/* ---- what a failure becomes ---------------------------------------------------------------- */

static const struct {
    enum db_outcome outcome;
    const char *code;
    int status;
} failures[] = {
    {DB_UNSENT, "", 503},       {DB_UNKNOWN, "", 503},      {DB_REFUSED, "57P01", 503},
    {DB_REFUSED, "53300", 503}, {DB_REFUSED, "40P01", 503}, {DB_REFUSED, "08006", 503},
    {DB_REFUSED, "55P03", 503}, {DB_REFUSED, "3F000", 503}, {DB_REFUSED, "42P01", 503},
    {DB_REFUSED, "42883", 503}, {DB_REFUSED, "22007", 422}, {DB_REFUSED, "22P02", 422},
    {DB_REFUSED, "42501", 500}, {DB_REFUSED, "23505", 500}, {DB_REFUSED, "55000", 500},
    {DB_REFUSED, "RV404", 500},
};

static void answer_failure(struct bench *b, struct http_request *req)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_DATABASE, failures[b->i].code, "canary");
    api_reply_database(req, failures[b->i].outcome, &err);
}

static void a_failure_says_whether_to_come_again_and_nothing_else(void **state)
{
    struct bench b;
    (void)state;
    bench_open(&b, answer_failure);
    for (b.i = 0; b.i < (int)(sizeof(failures) / sizeof(failures[0])); b.i++) {
        print_message("%s\n", failures[b.i].code);
        assert_int_equal(ask(&b), failures[b.i].status);
        assert_null(strstr(b.c.in, "canary"));
    }
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("every problem is problem+json with type, title and status, and no more",
             every_problem_is_problem_json),
        TEST("a title is escaped", a_title_is_escaped),
        TEST("R-S2: a run has a Location only while it is to be asked for again",
             a_run_has_a_location_only_while_it_is_to_be_asked_for),
        TEST("R-T13: a queued request says what it waits for",
             a_queued_request_says_what_it_waits_for),
        TEST("a failure says whether to come again, and nothing of what the server said",
             a_failure_says_whether_to_come_again_and_nothing_else),
    };
    return cmocka_run_group_tests_name("api_reply", tests, NULL, NULL);
}
