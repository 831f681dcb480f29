/* Tests engines.c: what WORKER_ENGINES may say, what each refusal names, and that an answer says
 * which engine it is of. What an engine does is its own test's. */
#include "unit.h"

#include "engines.h"

#define URL "TRIGGER_ENGINE_URL=http://127.0.0.1:9/"
#define KEY "SUPABASE_SERVICE_ROLE_KEY=canary-service-key"

struct bench {
    struct loop *loop;
    struct config *cfg;
    struct engines *engines;
    struct err err;
    int engine; /* of the last answer; -1: none */
    struct call_ref ref;
};

static void on_answer(void *arg, int engine, struct call_ref ref, struct answer *answer,
                      int64_t duration_us)
{
    struct bench *b = arg;
    assert_true(duration_us >= 0);
    b->engine = engine;
    b->ref = ref;
    answer_free(answer);
    loop_stop(b->loop);
}

/* The engines that this environment asks for: up to three lines. */
static void bench_open(struct bench *b, const char *engines, const char *one, const char *two)
{
    char list[256];
    const char *env[] = {"DATABASE_URL=postgresql://nobody@127.0.0.1/none",
                         "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9",
                         NULL,
                         NULL,
                         NULL,
                         NULL};
    int n = 2;
    *b = (struct bench){.loop = loop_new(NULL), .engine = -1};
    if (engines != NULL) {
        snprintf(list, sizeof(list), "WORKER_ENGINES=%s", engines);
        env[n++] = list;
    }
    if (one != NULL) {
        env[n++] = one;
    }
    if (two != NULL) {
        env[n++] = two;
    }
    b->cfg = config_new(FOR_WORKER, env, &b->err);
    assert_non_null(b->cfg);
    b->engines = engines_new(b->loop, b->cfg, on_answer, b, &b->err);
}

static void bench_close(struct bench *b)
{
    engines_free(b->engines);
    config_free(b->cfg);
    loop_free(b->loop);
}

static void the_list_says_which_and_in_which_order(void **state)
{
    static const char *const lists[] = {"noop,http", " noop , http ", "noop http,", ",,noop,,http"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        struct bench b;
        print_message("'%s'\n", lists[i]);
        bench_open(&b, lists[i], URL, KEY);
        assert_non_null(b.engines);
        assert_int_equal(engines_count(b.engines), 2);
        assert_string_equal(engines_names(b.engines)[0], "noop");
        assert_string_equal(engines_names(b.engines)[1], "http");
        assert_string_equal(engines_at(b.engines, 1)->name, "http");
        bench_close(&b);
    }
}

static void what_it_cannot_be_is_refused_by_name(void **state)
{
    static const struct {
        const char *engines, *line, *code, *named;
    } refused[] = {
        {"noop,ftp", URL, "unknown", "ftp"},
        {"noo", URL, "unknown", "noo "},
        {"noopp", URL, "unknown", "noopp"},
        {"NOOP", URL, "unknown", "NOOP"},
        {"noop;http", URL, "unknown", "noop;http"},
        {"noop,noop", URL, "twice", "noop"},
        {"http,noop,http", URL, "twice", "http"},
        {",", URL, "empty", "at least one"},
        {"http", NULL, "missing", "TRIGGER_ENGINE_URL"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct bench b;
        print_message("%s\n", refused[i].engines);
        bench_open(&b, refused[i].engines, refused[i].line, KEY);
        assert_null(b.engines); /* and those made before are freed: the sanitizer looks */
        assert_err(b.err, ERR_CONFIG);
        assert_string_equal(b.err.code, refused[i].code);
        assert_non_null(strstr(b.err.text, refused[i].named));
        assert_null(strstr(b.err.text, "canary"));
        bench_close(&b);
    }
}

static void a_long_name_is_cut_in_its_refusal(void **state)
{
    (void)state;
    struct bench b;
    char name[200];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    bench_open(&b, name, NULL, NULL);
    assert_null(b.engines);
    name[41] = '\0';
    assert_null(strstr(b.err.text, name));
    assert_non_null(strstr(b.err.text, name + 1));
    bench_close(&b);
}

static void without_http_no_url_is_needed(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "noop", NULL, NULL);
    assert_non_null(b.engines);
    assert_int_equal(engines_take_secrets(b.engines, b.cfg, NULL), 0);
    bench_close(&b);
}

static void an_answer_says_whose_it_is(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "http,noop", URL, KEY);
    const struct engine *noop = engines_at(b.engines, 1);
    struct engine_call call = {.ref = {7, 8, 9}, .traceparent = ""};
    noop->start(noop->self, &call);
    assert_int_equal(loop_run(b.loop, NULL), 0);
    assert_int_equal(b.engine, 1);
    assert_int_equal(b.ref.slot, 7);
    assert_int_equal(b.ref.generation, 8);
    assert_int_equal(b.ref.subject, 9);
    bench_close(&b);
}

/* A key with a line's end in it would be two headers. */
static void a_key_that_is_no_header_is_refused_unsaid(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "noop,http", URL, "SUPABASE_SERVICE_ROLE_KEY=canary\r\nX-Other: 1");
    assert_null(b.engines);
    assert_err(b.err, ERR_CONFIG);
    assert_null(strstr(b.err.text, "canary"));
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("WORKER_ENGINES says which engines, and in which order",
             the_list_says_which_and_in_which_order),
        TEST("R-X3: what WORKER_ENGINES cannot be is refused, and named",
             what_it_cannot_be_is_refused_by_name),
        TEST("a long name is cut in its refusal", a_long_name_is_cut_in_its_refusal),
        TEST("without http no URL is needed", without_http_no_url_is_needed),
        TEST("an answer says which engine it is of", an_answer_says_whose_it_is),
        TEST("R-T5: a service key that is no header's value is refused, and not shown",
             a_key_that_is_no_header_is_refused_unsaid),
    };
    return cmocka_run_group_tests_name("engines", tests, NULL, NULL);
}
