/* Tests engine_http.c and, through it, http_calls.c: what a call says, what each answer means, and
 * that each call has one. What happens to connections is test_http_wire.c's, the reading of
 * answers test_engine_http_answer.c's. */
#include "engine_http_world.h"

/* ---- what is sent ------------------------------------------------------------------------ */

static void sends_what_the_contract_says(void **state)
{
    struct world *w = *state;
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_int_equal(engine_http_set_key(&w->engine, "s3cret", NULL), 0);
    ask_as(w, 7, 0, trace);
    assert_true(until_answers(w, 1, WAIT_MS));
    assert_true(w->got[7].answer->ok);
    assert_string_equal(w->got[7].answer->decisions[0].scenario_type, "a");
    assert_string_equal(w->seen_body,
                        "{\"invocation_id\":\"aabb0000-0000-0000-0000-000000000000\","
                        "\"peer_mentor_id\":\"00000000-0000-0000-0000-000000000007\","
                        "\"evaluation_date\":\"2026-11-21\",\"scenario_types\":[\"a\", \"b\"]}");
    assert_string_equal(w->seen_auth, "Bearer s3cret");
    assert_string_equal(w->seen_key,
                        "job/2026-11-21/0123456789abcdef/00000000-0000-0000-0000-000000000007");
    assert_string_equal(w->seen_trace, trace);
    assert_string_equal(w->seen_type, "application/json");
    assert_false(w->seen_expect);
}

static void a_shadow_run_is_dry(void **state)
{
    struct world *w = *state;
    w->claim.shadow = true;
    assert_true(ask(w)->ok);
    assert_non_null(strstr(w->seen_body, ",\"dry_run\":true}"));
    assert_non_null(strstr(w->seen_key, "/dry-run"));
    assert_string_equal(w->seen_auth, "");
    assert_string_equal(w->seen_trace, "");
}

static void the_key_changes_while_running(void **state)
{
    struct world *w = *state;
    struct err err = ERR_INIT;
    assert_int_equal(engine_http_set_key(&w->engine, "one", NULL), 0);
    (void)ask(w);
    assert_string_equal(w->seen_auth, "Bearer one");
    assert_int_equal(engine_http_set_key(&w->engine, "two", NULL), 0);
    (void)ask(w);
    assert_string_equal(w->seen_auth, "Bearer two");
    assert_int_equal(engine_http_set_key(&w->engine, "a\r\nX: y", &err), -1);
    assert_err(err, ERR_CONFIG);
    (void)ask(w);
    assert_string_equal(w->seen_auth, "Bearer two");
    assert_int_equal(engine_http_set_key(&w->engine, NULL, NULL), 0);
    (void)ask(w);
    assert_string_equal(w->seen_auth, "");
}

static void refuses_urls(void **state)
{
    struct world *w = *state;
    static const char *const urls[] = {
        "", "engine", "ftp://a/b", "file:///etc/passwd", "http://u:p@host/", "http://"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct engine engine = {0};
        struct err err = ERR_INIT;
        struct engine_http_config cfg = {.url = urls[i], .timeout_ms = TIMEOUT_MS};
        assert_int_equal(engine_http_new(w->loop, &cfg, take_answer, w, &engine, &err), -1);
        assert_err(err, ERR_CONFIG);
    }
}

/* ---- what comes back --------------------------------------------------------------------- */

static void statuses_mean_what_they_say(void **state)
{
    struct world *w = *state;
    static const struct {
        int status;
        enum err_class cls;
        char sign;
        bool retry, refused;
        const char *text;
    } table[] = {
        {500, ERR_NETWORK, 'x', true, false, "HTTP 500"},
        {502, ERR_NETWORK, 'x', true, false, "HTTP 502"},
        {503, ERR_NETWORK, 's', true, true, "HTTP 503"},
        {429, ERR_NETWORK, 's', true, true, "HTTP 429"},
        {400, ERR_LOGIC, '.', false, false, "HTTP 400"},
        {401, ERR_LOGIC, '.', false, false, "HTTP 401"},
        {404, ERR_LOGIC, '.', false, false, "HTTP 404"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        w->status = table[i].status;
        assert_failed(ask(w), table[i].cls, table[i].sign, table[i].retry, table[i].refused,
                      table[i].text);
        assert_int_equal(w->got[0].answer->retry_after_ms, 0);
    }
}

static void a_redirect_is_not_followed(void **state)
{
    struct world *w = *state;
    char location[64];
    const char *headers[] = {"Location", location, NULL};
    snprintf(location, sizeof(location), "http://%s/", http_server_address(w->server));
    w->status = 302;
    w->headers = headers;
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "HTTP 302");
    assert_int_equal(w->requests, 1);
}

static void retry_after_is_capped(void **state)
{
    struct world *w = *state;
    static const char *const seven[] = {"Retry-After", "7", NULL};
    static const char *const day[] = {"Retry-After", "86400", NULL};
    static const char *const past[] = {"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT", NULL};
    w->status = 503;
    w->headers = seven;
    assert_int_equal(ask(w)->retry_after_ms, 7000);
    w->headers = day;
    assert_int_equal(ask(w)->retry_after_ms, ENGINE_RETRY_AFTER_MAX_MS);
    w->headers = past;
    assert_int_equal(ask(w)->retry_after_ms, 0);
}

static void nonsense_is_not_retried(void **state)
{
    struct world *w = *state;
    w->body = "<html>kari@example.org</html>";
    w->body_len = strlen(w->body);
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "an answer that is not JSON");
    w->body = "{\"peer_mentor_id\":\"00000000-0000-0000-0000-000000000001\",\"decisions\":[]}";
    w->body_len = strlen(w->body);
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "an answer about another mentor");
}

static void a_large_answer_is_cut_off(void **state)
{
    struct world *w = *state;
    char *large = malloc(ENGINE_ANSWER_MAX + 1);
    assert_non_null(large);
    memset(large, ' ', ENGINE_ANSWER_MAX + 1);
    w->body = large;
    w->body_len = ENGINE_ANSWER_MAX + 1;
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "an answer that is too large");
    w->status = 500; /* a large error page is an error, not an answer */
    assert_failed(ask(w), ERR_NETWORK, 'x', true, false, "HTTP 500");
    w->status = 200;
    w->body = NULL;
    assert_true(ask(w)->ok); /* the slot is as new */
    free(large);
}

static void silence_is_a_timeout(void **state)
{
    struct world *w = *state;
    w->body = "";
    assert_failed(ask(w), ERR_TIMEOUT, 'x', true, false, "no answer in time");
}

static void no_connection_is_refused(void **state)
{
    struct world *w = *state;
    make_raw(w, "");
    loop_fd_free(w->accepting);
    w->accepting = NULL;
    close(w->listener); /* its port answers nobody now */
    w->listener = -1;
    assert_failed(ask(w), ERR_NETWORK, 'x', true, true, NULL);
}

/* ---- many -------------------------------------------------------------------------------- */

static void each_call_has_one_answer(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 100; i++)
        ask_as(w, i, 0, "");
    assert_true(until_answers(w, 100, WAIT_MS));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(w->got[i].answers, 1);
        assert_true(w->got[i].answer->ok); /* about itself, or it would not be */
    }
    assert_int_equal(w->requests, 100);
}

static void an_aborted_slice_is_forgotten(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 20; i++)
        ask_as(w, i, (uint32_t)(i % 2), "");
    w->engine.abort_slice(w->engine.self, 1, 1);
    assert_true(until_answers(w, 10, WAIT_MS));
    assert_false(until_answers(w, 11, TIMEOUT_MS + 100)); /* no call could take longer */
    for (int i = 0; i < 20; i++)
        assert_int_equal(w->got[i].answers, i % 2 == 0);
    w->engine.abort_slice(w->engine.self, 0, 1); /* there is none */
    assert_true(ask(w)->ok);
}

static void a_free_engine_answers_nothing(void **state)
{
    struct world *w = *state;
    w->body = "";
    for (int i = 0; i < 5; i++)
        ask_as(w, i, 0, "");
    assert_false(until_answers(w, 1, 50)); /* they are under way */
    make_engine(w, http_server_address(w->server));
    assert_false(until_answers(w, 1, TIMEOUT_MS + 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("a call is what the engine's contract says, with its key",
             sends_what_the_contract_says),
        CASE("a shadow run asks for a dry run, under another idempotency key", a_shadow_run_is_dry),
        CASE("R-E5: the service key goes into the header, and changes while running",
             the_key_changes_while_running),
        CASE("an address that is not http or https, or holds a password, is refused", refuses_urls),
        CASE("R-E2: each status has its class, its sign and whether it is retried",
             statuses_mean_what_they_say),
        CASE("R-E5: a redirect is not followed", a_redirect_is_not_followed),
        CASE("Retry-After is taken, and capped", retry_after_is_capped),
        CASE("R-E2: nonsense is a logic error, without a word of it", nonsense_is_not_retried),
        CASE("an answer over ENGINE_ANSWER_MAX is cut off", a_large_answer_is_cut_off),
        CASE("R-E2: no answer in time is a timeout_error", silence_is_a_timeout),
        CASE("R-E2: no connection is a network_error that keeps its place",
             no_connection_is_refused),
        CASE("100 calls at a time have 100 answers, each about its subject",
             each_call_has_one_answer),
        CASE("no answer comes for an aborted slice, all others come",
             an_aborted_slice_is_forgotten),
        CASE("a freed engine answers nothing any more", a_free_engine_answers_nothing),
    };
    return cmocka_run_group_tests_name("engine_http", tests, NULL, NULL);
}
