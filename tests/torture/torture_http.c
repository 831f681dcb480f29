/* Memory runs out while a request comes in, and while one goes out: the caller is answered rightly,
 * with an error, or not at all; a call ends once, with what came or with a failure to be tried
 * again; or the process leaves. Each time in a child of its own. */
#include "http_world.h"

#include "failing_alloc.h"

#include "http_calls.h"
#include "lib_alloc.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#define MOST 600
#define DROUGHT_MS 20 /* how long there is no memory at all */
#define CALL_MS 300   /* a call's time-out: curl may have nothing to watch its socket with */
#define BODY "{\"evaluation_date\": \"2026-11-20\"}"
#define REQUEST                                                                  \
    "POST /v1/jobs/nightly/runs?x=1 HTTP/1.1\r\nHost: h\r\nX-Test: a header\r\n" \
    "Content-Type: application/json\r\nContent-Length: 33\r\nConnection: close\r\n\r\n" BODY
#define ANSWER "POST /v1/jobs/nightly/runs x=1 t=a header 33:{\"evaluation_date\": ."
#define SAID "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"

struct bench {
    struct world *w;
    struct loop_timer *rain, *patience, *look;
    bool (*is)(struct bench *b);
    struct client c;
    struct engine engine;
    struct uuid subject;
    struct claim claim;
    int answers;
    struct answer *answer;
};

static void it_rains(void *arg)
{
    (void)arg;
    (void)alloc_heal();
}

static void too_late(void *arg)
{
    (void)arg;
    alloc_must(false);
}

static void look_again(void *arg)
{
    struct bench *b = arg;
    if (b->is(b))
        loop_stop(b->w->loop);
    else
        loop_timer_arm(b->look, 1);
}

/* Nothing here allocates. */
static void wait_until(struct bench *b, bool (*is)(struct bench *b))
{
    b->is = is;
    loop_timer_arm(b->patience, WAIT_MS);
    loop_timer_arm(b->look, 0);
    alloc_must(loop_run(b->w->loop, NULL) == 0);
    loop_timer_disarm(b->patience);
}

static void bench_open(struct bench *b)
{
    void *state;
    *b = (struct bench){0};
    alloc_must(setup(&state) == 0);
    b->w = state;
    b->rain = loop_timer_new(b->w->loop, it_rains, b, NULL);
    b->patience = loop_timer_new(b->w->loop, too_late, b, NULL);
    b->look = loop_timer_new(b->w->loop, look_again, b, NULL);
}

static void bench_close(struct bench *b)
{
    loop_timer_free(b->rain);
    loop_timer_free(b->patience);
    loop_timer_free(b->look);
    alloc_must(teardown(&(void *){b->w}) == 0);
}

static void drought(struct bench *b, long n, bool and_after)
{
    loop_timer_arm(b->rain, DROUGHT_MS);
    alloc_fail_at(n, and_after);
}

static void rain(struct bench *b)
{
    (void)alloc_heal();
    loop_timer_disarm(b->rain);
}

/* ---- in ------------------------------------------------------------------------------------ */

static bool client_is_closed(struct bench *b)
{
    client_read(&b->c);
    return b->c.eof;
}

/* True when the answer was the right one, false when it was an error, or none. */
static bool request_once(struct bench *b)
{
    int before = b->w->handled;
    b->c = client_open(b->w);
    client_say(&b->c, REQUEST);
    wait_until(b, client_is_closed);
    (void)close(b->c.fd);
    alloc_must(b->w->handled - before <= 1);
    if (b->c.len == 0 || strncmp(b->c.in, "HTTP/1.1 200 ", 13) != 0) {
        int status = b->c.len > 0 ? atoi(b->c.in + sizeof("HTTP/1.1")) : 503;
        alloc_must(status >= 400 && status <= 599);
        return false;
    }
    alloc_must(b->w->handled - before == 1 && strstr(b->c.in, ANSWER) != NULL);
    return true;
}

static bool try_request(void *arg, long n, bool and_after)
{
    struct bench b;
    (void)arg;
    bench_open(&b);
    alloc_must(request_once(&b) && request_once(&b));
    long before = alloc_live();
    drought(&b, n, and_after);
    bool well = request_once(&b);
    rain(&b);
    alloc_must(request_once(&b) && http_server_open_requests(b.w->server) == 0);
    alloc_must(alloc_live() == before);
    return well;
}

static void request_path(void *arg, long n, bool and_after)
{
    alloc_in_child(try_request, arg, n, and_after);
}

static void a_request_is_answered_rightly_or_not(void **state)
{
    (void)state;
    assert_true(alloc_torture(request_path, NULL, MOST) > 10);
}

/* ---- out ----------------------------------------------------------------------------------- */

static int ask(const struct engine_call *call, const struct uuid *subject, struct http_ask *to,
               struct err *err)
{
    (void)call;
    (void)subject;
    return buf_printf(to->body, err, "%s", BODY);
}

static struct answer *read_it(long status, const char *bytes, size_t len, const struct uuid *asked)
{
    (void)asked;
    alloc_must(status == 200 && len == 4 && memcmp(bytes, "good", 4) == 0);
    return answer_nothing_due();
}

static const struct http_calls_kind kind = {.engine = "http",
                                            .method = "POST",
                                            .headers = (const char *const[]){NULL},
                                            .url_name = "URL",
                                            .token_name = "TOKEN",
                                            .ask = ask,
                                            .read = read_it};

static void take_answer(void *arg, struct call_ref ref, struct answer *answer, int64_t duration_us)
{
    struct bench *b = arg;
    (void)ref;
    (void)duration_us;
    b->answers++;
    b->answer = answer;
}

/* Another process, whose memory is its own: one connection after the other, one answer to each
 * request. Ends with its parent. */
static void serve(int listener)
{
    char bytes[2048];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        for (ssize_t n; (n = recv(peer, bytes, sizeof(bytes), 0)) > 0;)
            if (memmem(bytes, (size_t)n, BODY, sizeof(BODY) - 1) != NULL)
                (void)!send(peer, SAID, sizeof(SAID) - 1, MSG_NOSIGNAL);
        close(peer);
    }
}

static pid_t start_server(char ret_url[64])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    snprintf(ret_url, 64, "http://127.0.0.1:%d/evaluate", ntohs(at.sin_port));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        serve(listener);
    close(listener);
    return pid;
}

static bool is_answered(struct bench *b)
{
    return b->answers > 0;
}

static bool call_once(struct bench *b)
{
    static const struct uuid invocation;
    const struct engine_call call = {
        .claim = &b->claim, .invocation = &invocation, .traceparent = ""};
    b->answers = 0;
    b->engine.start(b->engine.self, &call);
    wait_until(b, is_answered);
    bool ok = b->answer->ok;
    alloc_must(b->answers == 1 && (ok || b->answer->retry)); /* no verdict about the mentor */
    answer_free(TAKE(b->answer));
    return ok;
}

struct called {
    char url[64];
    bool kept; /* over a connection that is kept; else over a new one */
};

/* From nothing to nothing; n as for alloc_fail_at. */
static bool whole_life(const struct called *called, long n, bool and_after)
{
    struct bench b;
    struct http_calls_config cfg = {.kind = &kind, .url = called->url, .timeout_ms = CALL_MS};
    bench_open(&b);
    b.claim = (struct claim){.n = 1, .subject_ids = &b.subject};
    alloc_must(http_calls_new(b.w->loop, &cfg, take_answer, &b, &b.engine, NULL) == 0);
    alloc_must(!called->kept || call_once(&b));
    drought(&b, n, and_after);
    bool well = call_once(&b);
    rain(&b);
    alloc_must(call_once(&b));
    b.engine.free(b.engine.self);
    bench_close(&b);
    return well;
}

static bool try_call(void *arg, long n, bool and_after)
{
    alloc_must(whole_life(arg, 0, false));
    long before = alloc_live();
    bool well = whole_life(arg, n, and_after);
    alloc_must(alloc_live() == before);
    return well;
}

static void call_path(void *arg, long n, bool and_after)
{
    alloc_in_child(try_call, arg, n, and_after);
}

static void a_call_ends_once(bool kept)
{
    struct called called = {.kept = kept};
    pid_t server = start_server(called.url);
    assert_true(alloc_torture(call_path, &called, MOST) > (kept ? 3 : 10));
    assert_int_equal(kill(server, SIGKILL), 0);
    assert_int_equal(waitpid(server, NULL, 0), server);
}

static void a_call_over_a_new_connection_ends_once(void **state)
{
    (void)state;
    a_call_ends_once(false);
}

static void a_call_over_a_kept_connection_ends_once(void **state)
{
    (void)state;
    a_call_ends_once(true);
}

#undef TEST
#define TEST(sentence, function)                    \
    {                                               \
        .name = (sentence), .test_func = (function) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("whichever allocation fails, a request is answered rightly, with an error, or not",
             a_request_is_answered_rightly_or_not),
        TEST("R-E2: whichever allocation fails, a call ends once, well or to be tried again",
             a_call_over_a_new_connection_ends_once),
        TEST("R-E2: the same over a connection that is kept",
             a_call_over_a_kept_connection_ends_once),
    };
    lib_alloc_or_leave();
    return cmocka_run_group_tests_name("torture_http", tests, NULL, NULL);
}
