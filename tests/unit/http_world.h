/* What the tests of the HTTP server share: a loop with a server whose handler answers with all that
 * it sees, and clients that send raw bytes over real sockets on the same loop. Waits run the loop
 * until something has come; nothing sleeps. */
#ifndef REVEILLE_HTTP_WORLD_H
#define REVEILLE_HTTP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "http_server.h"
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 10000
#define PENDING_MAX 200

struct world {
    struct loop *loop;
    struct loop_timer *timer;
    struct http_server *server;
    struct http_request *pending[PENDING_MAX]; /* of the path /later */
    int pending_count;
    int handled;
    int gone;
};

/* ---- the handler --------------------------------------------------------------------------- */

static inline const char *method_name(enum http_method method)
{
    switch (method) {
    case HTTP_GET:
        return "GET";
    case HTTP_POST:
        return "POST";
    case HTTP_PATCH:
        return "PATCH";
    case HTTP_OTHER:
        return "OTHER";
    }
    return "?";
}

static inline const char *or_none(const char *text)
{
    return text == NULL ? "-" : text;
}

/* Answers with all that it sees; /later is kept for the test to answer. */
static inline void handle(void *arg, struct http_request *req)
{
    static const char *const headers[] = {"X-Answer", "42", NULL};
    struct world *w = arg;
    char answer[1024];
    size_t len;
    const char *body = http_body(req, &len);

    w->handled++;
    if (strcmp(http_path(req), "/later") == 0) {
        w->pending[w->pending_count++] = req;
        return;
    }
    assert_true(body[len] == '\0');
    (void)snprintf(answer, sizeof(answer), "%s %s x=%s t=%s %zu:%.20s.",
                   method_name(http_method_of(req)), http_path(req), or_none(http_query(req, "x")),
                   or_none(http_header(req, "X-Test")), len, body);
    http_reply(req, 200, "text/plain", answer, strlen(answer), headers);
}

static inline void on_gone(void *arg)
{
    ((struct world *)arg)->gone++;
}

/* ---- the world ----------------------------------------------------------------------------- */

static inline int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct http_server_config cfg = {.address = "127.0.0.1:0"};

    (void)signal(SIGPIPE, SIG_IGN);
    w->loop = loop_new(NULL);
    w->server = http_server_new(w->loop, &cfg, handle, w, NULL);
    *state = w;
    return w->server == NULL ? -1 : 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;

    http_server_free(w->server);
    loop_free(w->loop);
    free(w);
    return 0;
}

struct wait {
    struct world *w;
    bool (*is)(void *arg);
    void *arg;
    int64_t deadline_ms;
    bool met;
};

static inline void look(void *arg)
{
    struct wait *wait = arg;

    wait->met = wait->is(wait->arg);
    if (wait->met || clock_mono_ms() >= wait->deadline_ms) {
        loop_stop(wait->w->loop);
    } else {
        loop_timer_arm(wait->w->timer, 2);
    }
}

static inline bool until(struct world *w, bool (*is)(void *arg), void *arg, int64_t ms)
{
    struct wait wait = {w, is, arg, clock_mono_ms() + ms, false};

    w->timer = loop_timer_new(w->loop, look, &wait, NULL);
    loop_timer_arm(w->timer, 0);
    (void)!loop_run(w->loop, NULL);
    loop_timer_free(w->timer);
    return wait.met;
}

/* ---- a client ------------------------------------------------------------------------------ */

struct client {
    int fd;
    SSL *ssl; /* NULL: plain */
    char in[8192];
    size_t len;
    bool eof;
    const char *wanted; /* says() waits for it */
    int times;
};

static inline struct client client_open(struct world *w)
{
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const char *port = strrchr(http_server_address(w->server), ':') + 1;
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    assert_int_equal(connect(c.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
    return c;
}

static inline void client_close(struct client *c)
{
    SSL_free(c->ssl);
    (void)close(c->fd);
}

static inline void client_send(struct client *c, const char *bytes, size_t len)
{
    assert_int_equal(send(c->fd, bytes, len, MSG_NOSIGNAL), len);
}

static inline void client_say(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

static inline void client_forget(struct client *c)
{
    c->len = 0;
    c->in[0] = '\0';
}

static inline void client_read(struct client *c)
{
    size_t room = sizeof(c->in) - 1 - c->len;
    ssize_t n = recv(c->fd, c->in + c->len, room, 0);

    if (n > 0) {
        c->len += (size_t)n;
        c->in[c->len] = '\0';
    } else if (n == 0 || errno != EAGAIN) {
        c->eof = true;
    }
}

static inline bool says(void *arg)
{
    struct client *c = arg;
    int times = 0;

    client_read(c);
    for (const char *at = c->in; (at = strstr(at, c->wanted)) != NULL; at++) {
        times++;
    }
    return times >= c->times;
}

static inline bool is_closed(void *arg)
{
    struct client *c = arg;

    client_read(c);
    return c->eof;
}

static inline bool expect_text(struct world *w, struct client *c, const char *wanted, int times)
{
    c->wanted = wanted;
    c->times = times;
    return until(w, says, c, WAIT_MS);
}

#define TEST(title, fn)                  \
    {                                    \
        title, fn, setup, teardown, NULL \
    }

#endif
