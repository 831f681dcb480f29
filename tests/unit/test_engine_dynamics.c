/* Tests engine_dynamics.c: what an upsert says, which answers are good, and what the no-op client
 * does. What becomes of calls, connections and time-outs is http_calls.c's, tested through the
 * trigger engine in test_engine_http.c and test_http_wire.c. */
#include "engine_dynamics.h"

#include "engine_http_world.h"

#define KEY "reveille_mentorid"

/* Puts a Dynamics engine into the world, for the world's server. */
static void make(struct world *w, const char *base)
{
    char url[128];
    struct err err = ERR_INIT;
    struct engine_dynamics_config cfg = {
        .enabled = true, .url = url, .token = "t0ken", .timeout_ms = TIMEOUT_MS};
    snprintf(url, sizeof(url), "http://%s%s", http_server_address(w->server), base);
    w->engine.free(w->engine.self);
    w->status = 204;
    w->body = "";
    w->empty = true;
    if (engine_dynamics_new(w->loop, &cfg, take_answer, w, &w->engine, &err))
        fail_msg("%s", err.text);
}

static void make_off(struct world *w)
{
    char url[128];
    struct engine_dynamics_config cfg = {
        .enabled = false, .url = url, .token = "t0ken", .timeout_ms = TIMEOUT_MS};
    snprintf(url, sizeof(url), "http://%s", http_server_address(w->server));
    w->engine.free(w->engine.self);
    assert_int_equal(engine_dynamics_new(w->loop, &cfg, take_answer, w, &w->engine, NULL), 0);
}

/* ---- what is sent ------------------------------------------------------------------------ */

static void upserts_a_contact(void **state)
{
    struct world *w = *state;
    make(w, "/api/data/v9.2/");
    ask_as(w, 7, 0, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_true(until_answers(w, 1, WAIT_MS));
    assert_true(w->got[7].answer->ok);
    assert_int_equal(w->got[7].answer->n, 0);
    assert_int_equal(w->got[7].answer->sign, TRY_ANSWERED);
    assert_int_equal(w->seen_method, HTTP_PATCH);
    assert_string_equal(w->seen_path,
                        "/api/data/v9.2/contacts(" KEY "='00000000-0000-0000-0000-000000000007')");
    assert_string_equal(w->seen_body, "{\"" KEY "\":\"00000000-0000-0000-0000-000000000007\","
                                      "\"reveille_evaluatedon\":\"2026-11-21\"}");
    assert_string_equal(w->seen_auth, "Bearer t0ken");
    assert_string_equal(w->seen_type, "application/json");
    assert_string_equal(w->seen_odata, "4.0");
    assert_string_equal(w->seen_key, "");
    assert_string_equal(w->seen_trace, "");
    assert_false(w->seen_expect);
}

static void each_subject_has_its_own_address(void **state)
{
    struct world *w = *state;
    char expected[128];
    make(w, "");
    for (int i = 0; i < 3; i++) {
        ask_as(w, i, 0, "");
        assert_true(until_answers(w, i + 1, WAIT_MS));
        snprintf(expected, sizeof(expected), "/contacts(" KEY "='" ID_FORM "')", i);
        assert_string_equal(w->seen_path, expected);
    }
}

static void a_shadow_run_calls_nobody(void **state)
{
    struct world *w = *state;
    make(w, "");
    w->claim.shadow = true;
    for (int i = 0; i < 20; i++)
        ask_as(w, i, (uint32_t)(i % 2), "");
    assert_int_equal(w->answers, 0); /* never from within start */
    w->engine.abort_slice(w->engine.self, 1, 1);
    assert_true(until_answers(w, 10, WAIT_MS));
    assert_true(w->got[0].answer->ok);
    assert_int_equal(w->requests, 0);
    w->claim.shadow = false;
    assert_true(ask(w)->ok);
    assert_int_equal(w->requests, 1);
}

static void the_token_changes_while_running(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    make(w, "");
    (void)ask(w);
    assert_int_equal(engine_dynamics_set_token(&w->engine, "next", NULL), 0);
    (void)ask(w);
    assert_string_equal(w->seen_auth, "Bearer next");
    assert_int_equal(engine_dynamics_set_token(&w->engine, "a\r\nX: y", &err), -1);
    assert_err(err, ERR_CONFIG);
    assert_non_null(strstr(err.text, "DYNAMICS_TOKEN"));
    assert_int_equal(engine_dynamics_set_token(&w->engine, NULL, &err), -1);
    (void)ask(w);
    assert_string_equal(w->seen_auth, "Bearer next");
}

/* ---- what comes back --------------------------------------------------------------------- */

static void statuses_mean_what_they_say(void **state)
{
    struct world *w = *state;
    static const struct {
        int status;
        const char *body;
        const char *text; /* NULL: good */
        enum err_class cls;
        char sign;
        bool refused;
    } table[] = {
        {204, "", NULL, ERR_NETWORK, '.', false},
        {200, "", NULL, ERR_NETWORK, '.', false},
        {200, "{\"" KEY "\":\"x\"}", NULL, ERR_NETWORK, '.', false},
        {201, "{}", NULL, ERR_NETWORK, '.', false},
        {200, "<html>Sign in</html>", "an answer that is no contact", ERR_LOGIC, '.', false},
        {200, "[]", "an answer that is no contact", ERR_LOGIC, '.', false},
        {202, "{}", "a status that says neither", ERR_LOGIC, '.', false},
        {302, "x", "HTTP 302", ERR_LOGIC, '.', false},
        {401, "x", "HTTP 401", ERR_LOGIC, '.', false},
        {404, "x", "HTTP 404", ERR_LOGIC, '.', false},
        {429, "x", "HTTP 429", ERR_NETWORK, 's', true},
        {500, "x", "HTTP 500", ERR_NETWORK, 'x', false},
        {503, "x", "HTTP 503", ERR_NETWORK, 's', true},
    };
    make(w, "");
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        w->status = table[i].status;
        w->body = table[i].body;
        w->body_len = strlen(table[i].body);
        const struct answer *a = ask(w);
        assert_int_equal(a->ok, table[i].text == NULL);
        if (!a->ok)
            assert_failed(a, table[i].cls, table[i].sign, table[i].cls == ERR_NETWORK,
                          table[i].refused, table[i].text);
    }
}

static void retry_after_is_taken(void **state)
{
    struct world *w = *state;
    static const char *const seven[] = {"Retry-After", "7", NULL};
    make(w, "");
    w->status = 429;
    w->body = "{}";
    w->body_len = 2;
    w->headers = seven;
    assert_int_equal(ask(w)->retry_after_ms, 7000);
}

/* ---- configuration ----------------------------------------------------------------------- */

static void names_what_is_missing(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *url, *token, *name;
    } table[] = {
        {NULL, "t", "DYNAMICS_URL"},
        {"http://a/", NULL, "DYNAMICS_TOKEN"},
        {"ftp://a/", "t", "DYNAMICS_URL"},
        {"https://u:p@a/", "t", "DYNAMICS_URL"},
        {"https://a/?tenant=1", "t", "DYNAMICS_URL"},
        {"https://a/#x", "t", "DYNAMICS_URL"},
        {"https://a/", "two words", "DYNAMICS_TOKEN"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct engine engine = {0};
        struct err err = ERR_INIT;
        struct engine_dynamics_config cfg = {.enabled = true,
                                             .url = table[i].url,
                                             .token = table[i].token,
                                             .timeout_ms = TIMEOUT_MS};
        assert_int_equal(engine_dynamics_new(w->loop, &cfg, take_answer, w, &engine, &err), -1);
        assert_err(err, ERR_CONFIG);
        assert_ptr_equal(strstr(err.text, table[i].name), err.text);
        assert_null(engine.free);
    }
}

static void off_answers_and_calls_nobody(void **state)
{
    struct world *w = *state;
    make_off(w);
    assert_true(engine_dynamics_is_off(&w->engine));
    assert_string_equal(w->engine.name, "dynamics");
    assert_int_equal(engine_dynamics_set_token(&w->engine, "t", NULL), 0);
    assert_int_equal(engine_dynamics_set_token(&w->engine, NULL, NULL), 0);
    for (int i = 0; i < 20; i++)
        ask_as(w, i, 0, "");
    assert_true(until_answers(w, 20, WAIT_MS));
    for (int i = 0; i < 20; i++) {
        assert_true(w->got[i].answer->ok);
        assert_int_equal(w->got[i].answer->n, 0);
    }
    assert_int_equal(w->requests, 0);
    make(w, "");
    assert_false(engine_dynamics_is_off(&w->engine));
    assert_string_equal(w->engine.name, "dynamics");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("R-E6: a call upserts the mentor's contact, and tells no more than id and day",
             upserts_a_contact),
        CASE("each subject has its own address", each_subject_has_its_own_address),
        CASE("a shadow run calls nobody", a_shadow_run_calls_nobody),
        CASE("the token changes while running", the_token_changes_while_running),
        CASE("each status has its class, its sign and whether it is retried",
             statuses_mean_what_they_say),
        CASE("Retry-After is taken", retry_after_is_taken),
        CASE("what is missing or cannot be used is named", names_what_is_missing),
        CASE("R-E6: off, everything is answered and nobody is called",
             off_answers_and_calls_nobody),
    };
    return cmocka_run_group_tests_name("engine_dynamics", tests, NULL, NULL);
}
