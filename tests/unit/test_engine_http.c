/* Tests engine_http.c (and http_wire.c under it): against an HTTP server on the same loop, and
 * against a raw socket where the server must misbehave. Waits run the loop until something came. */
#include "engine_http.h"
#include "http_server.h"
#include "limits.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WAIT_MS 10000
#define TIMEOUT_MS 300
#define ID_FORM "00000000-0000-0000-0000-%012d"
#define SUBJECTS 300
#define PEERS 8

struct got { /* what came for a subject */
    int answers;
    struct answer *answer;
};

struct peer { /* one connection to the raw server */
    struct world *world;
    struct loop_fd *watch;
    int fd;
};

struct world {
    struct loop *loop;
    struct loop_timer *patience;
    bool timed_out;
    struct http_server *server;
    struct engine engine;
    struct claim claim;
    struct uuid subjects[SUBJECTS];
    struct got got[SUBJECTS];
    int answers, waiting_for;
    /* what the server answers, and what it saw */
    int status;
    const char *body; /* NULL: decisions for whoever is asked; "": nothing, ever */
    size_t body_len;
    const char *const *headers;
    int requests;
    char seen_body[1024], seen_auth[128], seen_key[256], seen_trace[64], seen_type[64];
    bool seen_expect;
    /* the raw one */
    int listener;
    struct loop_fd *accepting;
    struct peer peers[PEERS];
    int accepted;
    const char *raw;
    bool raw_endless, raw_close;
};

/* ---- the server -------------------------------------------------------------------------- */

static void copy_header(char *out, size_t size, const struct http_request *req, const char *name)
{
    const char *value = http_header(req, name);
    snprintf(out, size, "%s", value != NULL ? value : "");
}

static void serve(void *arg, struct http_request *req)
{
    struct world *w = arg;
    char body[256];
    size_t len;
    const char *asked = http_body(req, &len);
    w->requests++;
    snprintf(w->seen_body, sizeof(w->seen_body), "%s", asked);
    copy_header(w->seen_auth, sizeof(w->seen_auth), req, "Authorization");
    copy_header(w->seen_key, sizeof(w->seen_key), req, "Idempotency-Key");
    copy_header(w->seen_trace, sizeof(w->seen_trace), req, "traceparent");
    copy_header(w->seen_type, sizeof(w->seen_type), req, "Content-Type");
    w->seen_expect = http_header(req, "Expect") != NULL;
    if (w->body != NULL && w->body_len == 0)
        return; /* never answered: its timeout is the test */
    const char *id = strstr(asked, "\"peer_mentor_id\":\"");
    int n = snprintf(body, sizeof(body),
                     "{\"peer_mentor_id\":\"%.36s\",\"decisions\":[{\"scenario_type\":\"a\","
                     "\"action\":\"dispatch\"}]}",
                     id != NULL ? id + 18 : "");
    http_reply(req, w->status, "application/json", w->body != NULL ? w->body : body,
               w->body != NULL ? w->body_len : (size_t)n, w->headers);
}

/* ---- the raw server ---------------------------------------------------------------------- */

static void peer_drop(struct peer *p)
{
    loop_fd_free(p->watch);
    p->watch = NULL;
    close(p->fd);
}

static void peer_ready(void *arg, unsigned ready)
{
    struct peer *p = arg;
    struct world *w = p->world;
    char bytes[4096];
    if ((ready & LOOP_READ) != 0) {
        if (recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0) {
            peer_drop(p);
            return;
        }
        w->requests++;
        assert_true(send(p->fd, w->raw, strlen(w->raw), MSG_NOSIGNAL) >= 0);
        if (w->raw_close) {
            peer_drop(p);
            return;
        }
        if (w->raw_endless)
            assert_int_equal(loop_fd_set(p->watch, LOOP_READ | LOOP_WRITE, NULL), 0);
    } else if (send(p->fd, "X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 46,
                    MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        peer_drop(p);
    }
}

static void raw_accept(void *arg, unsigned ready)
{
    struct world *w = arg;
    (void)ready;
    assert_true(w->accepted < PEERS);
    struct peer *p = &w->peers[w->accepted++];
    p->world = w;
    p->fd = accept(w->listener, NULL, NULL);
    assert_true(p->fd >= 0);
    p->watch = loop_fd_new(w->loop, p->fd, LOOP_READ, peer_ready, p, NULL);
    assert_non_null(p->watch);
}

static int raw_listen(struct world *w)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(w->listener, 16), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&at, &size), 0);
    w->accepting = loop_fd_new(w->loop, w->listener, LOOP_READ, raw_accept, w, NULL);
    assert_non_null(w->accepting);
    return ntohs(at.sin_port);
}

/* ---- the world --------------------------------------------------------------------------- */

static void stop_if_done(struct world *w)
{
    if (w->answers >= w->waiting_for)
        loop_stop(w->loop);
}

static void take_answer(void *arg, struct call_ref ref, struct answer *answer, int64_t duration_us)
{
    struct world *w = arg;
    struct got *g = &w->got[ref.subject];
    assert_true(duration_us >= 0);
    answer_free(g->answer);
    g->answer = answer;
    g->answers++;
    w->answers++;
    stop_if_done(w);
}

static void patience_ends(void *arg)
{
    struct world *w = arg;
    w->timed_out = true;
    loop_stop(w->loop);
}

/* Until so many answers are there in all; false: they did not come. */
static bool until_answers(struct world *w, int answers, int64_t ms)
{
    w->waiting_for = answers;
    w->timed_out = false;
    if (w->answers >= answers)
        return true;
    loop_timer_arm(w->patience, ms);
    assert_int_equal(loop_run(w->loop, NULL), 0);
    loop_timer_disarm(w->patience);
    return !w->timed_out;
}

static void make_engine(struct world *w, const char *address)
{
    char url[128];
    struct err err = ERR_INIT;
    struct engine_http_config cfg = {.url = url, .timeout_ms = TIMEOUT_MS};
    snprintf(url, sizeof(url), "http://%s/evaluate", address);
    if (w->engine.free != NULL)
        w->engine.free(w->engine.self);
    if (engine_http_new(w->loop, &cfg, take_answer, w, &w->engine, &err))
        fail_msg("%s", err.text);
}

static void make_raw(struct world *w, const char *raw)
{
    char address[32];
    w->raw = raw;
    snprintf(address, sizeof(address), "127.0.0.1:%d", raw_listen(w));
    make_engine(w, address);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct http_server_config cfg = {.address = "127.0.0.1:0"};
    assert_non_null(w);
    w->listener = -1;
    w->status = 200;
    w->loop = loop_new(NULL);
    assert_non_null(w->loop);
    w->patience = loop_timer_new(w->loop, patience_ends, w, NULL);
    assert_non_null(w->patience);
    w->server = http_server_new(w->loop, &cfg, serve, w, NULL);
    assert_non_null(w->server);
    for (int i = 0; i < SUBJECTS; i++) {
        char id[UUID_TEXT_SIZE];
        snprintf(id, sizeof(id), ID_FORM, i);
        assert_true(uuid_parse(id, &w->subjects[i]));
    }
    w->claim = (struct claim){.job_name = strdup("job"),
                              .evaluation_date = "2026-11-21",
                              .scenarios = strdup("[\"a\", \"b\"]"),
                              .scenarios_hash = "0123456789abcdef",
                              .n = SUBJECTS,
                              .subject_ids = w->subjects};
    make_engine(w, http_server_address(w->server));
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    w->engine.free(w->engine.self);
    for (int i = 0; i < w->accepted; i++)
        if (w->peers[i].watch != NULL)
            peer_drop(&w->peers[i]);
    loop_fd_free(w->accepting);
    if (w->listener >= 0)
        close(w->listener);
    http_server_free(w->server);
    for (int i = 0; i < SUBJECTS; i++)
        answer_free(w->got[i].answer);
    loop_timer_free(w->patience);
    loop_free(w->loop);
    free(w->claim.job_name);
    free(w->claim.scenarios);
    free(w);
    return 0;
}

static void ask_as(struct world *w, int subject, uint32_t slot, const char *traceparent)
{
    static const struct uuid run = {{0xaa, 0xbb}};
    struct engine_call call = {.ref = {.slot = slot, .generation = 1, .subject = subject},
                               .claim = &w->claim,
                               .invocation = &run,
                               .traceparent = traceparent};
    w->engine.start(w->engine.self, &call);
}

/* Asks about subject 0 and returns its answer; lent. */
static const struct answer *ask(struct world *w)
{
    ask_as(w, 0, 0, "");
    assert_true(until_answers(w, w->answers + 1, WAIT_MS));
    return w->got[0].answer;
}

static void assert_failed(const struct answer *a, enum err_class cls, char sign, bool retry,
                          bool refused, const char *text)
{
    assert_false(a->ok);
    assert_string_equal(err_class_name(a->cls), err_class_name(cls));
    assert_int_equal(a->sign, sign);
    assert_int_equal(a->retry, retry);
    assert_int_equal(a->refused, refused);
    if (text != NULL)
        assert_string_equal(a->text, text);
}

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

/* ---- peers that misbehave ---------------------------------------------------------------- */

#define RAW_OK                                      \
    "HTTP/1.1 200 OK\r\nContent-Length: 73\r\n\r\n" \
    "{\"peer_mentor_id\":\"00000000-0000-0000-0000-000000000000\",\"decisions\":[]}\n"

static void garbage_is_nonsense(void **state)
{
    struct world *w = *state;
    make_raw(w, "SSH-2.0-OpenSSH_9.2\r\n");
    w->raw_close = true;
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "an answer that is not HTTP");
}

static void a_lost_connection_is_retried(void **state)
{
    struct world *w = *state;
    make_raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    w->raw_close = true;
    assert_failed(ask(w), ERR_NETWORK, 'x', true, false, NULL);
    w->raw = "";
    assert_failed(ask(w), ERR_NETWORK, 'x', true, false, NULL);
}

static void endless_headers_are_cut_off(void **state)
{
    struct world *w = *state;
    make_raw(w, "HTTP/1.1 200 OK\r\n");
    w->raw_endless = true;
    assert_failed(ask(w), ERR_LOGIC, '.', false, false, "an answer that is too large");
}

static void connections_are_kept(void **state)
{
    struct world *w = *state;
    make_raw(w, RAW_OK);
    for (int i = 0; i < 5; i++)
        assert_true(ask(w)->ok);
    assert_int_equal(w->requests, 5);
    assert_int_equal(w->accepted, 1);
}

static void a_connection_closed_while_idle_is_made_anew(void **state)
{
    struct world *w = *state;
    make_raw(w, RAW_OK);
    w->raw_close = true;
    for (int i = 0; i < 5; i++)
        assert_true(ask(w)->ok);
    assert_int_equal(w->accepted, 5);
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

/* The resolver's sockets are curl's own: what watches them must go when curl lets them go. */
static void a_name_is_resolved_again_and_again(void **state)
{
    struct world *w = *state;
    char address[64];
    snprintf(address, sizeof(address), "localhost%s", strrchr(http_server_address(w->server), ':'));
    for (int i = 0; i < 10; i++) {
        make_engine(w, address);
        assert_true(ask(w)->ok);
    }
}

#define CASE(sentence, function)                    \
    {                                               \
        sentence, function, set_up, tear_down, NULL \
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
        CASE("what is not HTTP is nonsense", garbage_is_nonsense),
        CASE("a connection lost in the middle is a network_error", a_lost_connection_is_retried),
        CASE("endless headers are cut off", endless_headers_are_cut_off),
        CASE("five calls in turn use one connection", connections_are_kept),
        CASE("a connection closed while idle is made anew",
             a_connection_closed_while_idle_is_made_anew),
        CASE("100 calls at a time have 100 answers, each about its subject",
             each_call_has_one_answer),
        CASE("no answer comes for an aborted slice, all others come",
             an_aborted_slice_is_forgotten),
        CASE("an engine is found by name, ten times over", a_name_is_resolved_again_and_again),
        CASE("a freed engine answers nothing any more", a_free_engine_answers_nothing),
    };
    return cmocka_run_group_tests_name("engine_http", tests, NULL, NULL);
}
