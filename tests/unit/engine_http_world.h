/* What the tests of the engines over HTTP share: an engine with a claim of many subjects, an HTTP
 * server on the same loop, and a raw socket where the server must misbehave. Waits run the loop
 * until something came; nothing sleeps. */
#ifndef REVEILLE_ENGINE_HTTP_WORLD_H
#define REVEILLE_ENGINE_HTTP_WORLD_H

#include "engine_http.h"
#include "http_server.h"
#include "limits.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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
    bool empty; /* with "": an answer without a body */
    const char *const *headers;
    int requests;
    char seen_body[1024], seen_auth[128], seen_key[256], seen_trace[64], seen_type[64];
    char seen_path[128], seen_odata[16];
    enum http_method seen_method;
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

static inline void copy_header(char *out, size_t size, const struct http_request *req,
                               const char *name)
{
    const char *value = http_header(req, name);
    snprintf(out, size, "%s", value != NULL ? value : "");
}

static inline void serve(void *arg, struct http_request *req)
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
    copy_header(w->seen_odata, sizeof(w->seen_odata), req, "OData-Version");
    snprintf(w->seen_path, sizeof(w->seen_path), "%s", http_path(req));
    w->seen_method = http_method_of(req);
    w->seen_expect = http_header(req, "Expect") != NULL;
    if (w->body != NULL && w->body_len == 0 && !w->empty)
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

static inline void peer_drop(struct peer *p)
{
    loop_fd_free(p->watch);
    p->watch = NULL;
    close(p->fd);
}

static inline void peer_ready(void *arg, unsigned ready)
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

static inline void raw_accept(void *arg, unsigned ready)
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

static inline int raw_listen(struct world *w)
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

static inline void stop_if_done(struct world *w)
{
    if (w->answers >= w->waiting_for)
        loop_stop(w->loop);
}

static inline void take_answer(void *arg, struct call_ref ref, struct answer *answer,
                               int64_t duration_us)
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

static inline void patience_ends(void *arg)
{
    struct world *w = arg;
    w->timed_out = true;
    loop_stop(w->loop);
}

/* Until so many answers are there in all; false: they did not come. */
static inline bool until_answers(struct world *w, int answers, int64_t ms)
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

static inline void make_engine(struct world *w, const char *address)
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

static inline void make_raw(struct world *w, const char *raw)
{
    char address[32];
    w->raw = raw;
    snprintf(address, sizeof(address), "127.0.0.1:%d", raw_listen(w));
    make_engine(w, address);
}

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline void ask_as(struct world *w, int subject, uint32_t slot, const char *traceparent)
{
    static const struct uuid run = {{0xaa, 0xbb}};
    struct engine_call call = {.ref = {.slot = slot, .generation = 1, .subject = subject},
                               .claim = &w->claim,
                               .invocation = &run,
                               .traceparent = traceparent};
    w->engine.start(w->engine.self, &call);
}

/* Asks about subject 0 and returns its answer; lent. */
static inline const struct answer *ask(struct world *w)
{
    ask_as(w, 0, 0, "");
    assert_true(until_answers(w, w->answers + 1, WAIT_MS));
    return w->got[0].answer;
}

static inline void assert_failed(const struct answer *a, enum err_class cls, char sign, bool retry,
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

#define CASE(sentence, function)                    \
    {                                               \
        sentence, function, set_up, tear_down, NULL \
    }

#endif
