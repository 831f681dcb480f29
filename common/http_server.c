/* HTTP in on evhttp, with what evhttp has not: a deadline for a whole request and a cap on
 * connections. Not a router, and it logs nothing; requests themselves are http_request.c's.
 *
 * evhttp owns its connections and says nothing of one before its first request. Its only hook at
 * accept is the bufferevent's maker, so each connection has a record of ours (struct conn) that
 * holds a reference to the bufferevent. What evhttp registered there as its callbacks' argument is
 * the evhttp_connection, and it is gone when that argument is NULL (libevent 2.1). */
#include "http_framing.h"
#include "http_internal.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVER_MAGIC 0x68737276u
#define CONN_MAGIC 0x68636f6eu

/* Whose turn it is on a connection. The timer runs in all phases but HANDLED. */
enum phase { PHASE_IDLE, PHASE_READING, PHASE_HANDLED, PHASE_SENDING };

struct conn {
    unsigned magic;
    TAILQ_ENTRY(conn) link;
    struct http_server *server;
    struct bufferevent *bev;         /* evhttp's, with one reference of ours */
    struct evhttp_connection *evcon; /* evhttp's; NULL until conn_adopt */
    struct loop_timer *timer;        /* until evcon is known: look for it; then: the deadline */
    enum phase phase;
    bool refused;                /* over the cap */
    struct http_framing framing; /* of all bytes that have come */
    unsigned requests;           /* that evhttp has read of them */
    struct http_request *req;    /* in PHASE_HANDLED */
};

struct http_server {
    unsigned magic;
    struct loop *loop;
    struct evhttp *evhttp;
    struct evhttp_bound_socket *listener; /* NULL: no longer accepting */
    SSL_CTX *tls;                         /* NULL: plain */
    http_handler_fn fn;
    void *arg;
    char address[HTTP_ADDRESS_SIZE];
    TAILQ_HEAD(, conn) conns;      /* in the order of their arrival */
    struct http_requests requests; /* those not answered yet */
    struct loop_timer *turn;       /* armed while this turn's accepts are counted */
    int accepts;
    int conn_count;
    int open; /* requests handed out, and answers not yet sent whole */
};

static void request_lost(struct http_request *req)
{
    void (*fn)(void *arg) = TAKE(req->on_gone);

    req->conn = NULL;
    if (fn != NULL) {
        fn(req->on_gone_arg); /* may answer, which frees req */
    }
}

/* ---- connections --------------------------------------------------------------------------- */

static void conn_free(struct conn *c)
{
    struct http_server *s = c->server;
    struct http_request *req = TAKE(c->req);

    TAILQ_REMOVE(&s->conns, c, link);
    s->conn_count--;
    if (c->phase == PHASE_SENDING) {
        s->open--;
    }
    loop_timer_free(c->timer);
    bufferevent_decref(c->bev);
    c->magic = 0;
    free(c);
    if (req != NULL) {
        request_lost(req);
    }
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);

/* evhttp says that a connection goes, whoever ended it. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
    struct conn *c = CHECK_MAGIC(struct conn, arg, CONN_MAGIC);

    (void)evcon;
    (void)evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);
    conn_free(c);
}

/* Learns which evhttp_connection this is; false: it has ended before it was known. */
static bool conn_adopt(struct conn *c)
{
    void *evcon = NULL;

    if (c->evcon == NULL) {
        bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
        c->evcon = evcon;
        if (c->evcon != NULL) {
            evhttp_connection_set_closecb(c->evcon, on_close, c);
        }
    }
    return c->evcon != NULL;
}

static void conn_close(struct conn *c)
{
    if (conn_adopt(c)) {
        evhttp_connection_free(c->evcon); /* on_close frees c */
    } else {
        conn_free(c);
    }
}

static void conn_wait(struct conn *c, enum phase phase, int64_t ms)
{
    c->phase = phase;
    loop_timer_arm(c->timer, ms);
}

static void on_conn_timer(void *arg)
{
    struct conn *c = CHECK_MAGIC(struct conn, arg, CONN_MAGIC);

    if (c->evcon == NULL && conn_adopt(c) && !c->refused) {
        conn_wait(c, PHASE_IDLE, HTTP_REQUEST_MS); /* a new connection has no reason to be idle */
    } else {
        conn_close(c);
    }
}

/* Those bytes of the input that have just been added; evhttp has not seen them yet. */
static void read_framing(struct conn *c, struct evbuffer *input, size_t added)
{
    struct evbuffer_iovec parts[8];
    struct evbuffer_ptr at;
    int n;

    while (added > 0 && evbuffer_ptr_set(input, &at, evbuffer_get_length(input) - added,
                                         EVBUFFER_PTR_SET) == 0) {
        n = evbuffer_peek(input, (ev_ssize_t)added, &at, parts, COUNT_OF(parts));
        if (n <= 0) {
            return; /* what was not read is not sound */
        }
        for (int i = 0; i < n && i < (int)COUNT_OF(parts); i++) {
            http_framing_read(&c->framing, parts[i].iov_base, parts[i].iov_len);
            added -= parts[i].iov_len;
        }
    }
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *c = CHECK_MAGIC(struct conn, arg, CONN_MAGIC);

    read_framing(c, input, info->n_added);
    if (info->n_added > 0 && c->phase == PHASE_IDLE && !c->refused && conn_adopt(c)) {
        conn_wait(c, PHASE_READING, HTTP_REQUEST_MS);
    }
}

/* A crowd at the door is let in by portions: before more of it come, what those who came have sent
 * is read. */
static void count_accept(struct http_server *s)
{
    if (s->accepts++ == 0) {
        loop_timer_arm(s->turn, 0);
    }
    if (s->accepts == HTTP_ACCEPTS_A_TURN) {
        (void)evconnlistener_disable(evhttp_bound_socket_get_listener(s->listener));
    }
}

static void on_turn(void *arg)
{
    struct http_server *s = CHECK_MAGIC(struct http_server, arg, SERVER_MAGIC);

    s->accepts = 0;
    if (s->listener != NULL) {
        (void)evconnlistener_enable(evhttp_bound_socket_get_listener(s->listener));
    }
}

/* At the cap the oldest connection that still owes us a request makes room, so that a crowd of slow
 * clients cannot keep a quick one out; one that nobody has looked at yet owes nothing. False: all
 * have requests that are being handled. */
static bool make_room(struct http_server *s)
{
    struct conn *c;

    if (s->conn_count <= HTTP_CONNECTIONS_MAX) {
        return true;
    }
    TAILQ_FOREACH(c, &s->conns, link)
    {
        if (c->evcon != NULL && (c->phase == PHASE_IDLE || c->phase == PHASE_READING)) {
            conn_close(c);
            return true;
        }
    }
    return false;
}

static struct bufferevent *make_bufferevent(struct http_server *s)
{
    struct event_base *base = loop_base(s->loop);
    struct bufferevent *bev;
    SSL *ssl;

    if (s->tls == NULL) {
        return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    }
    ssl = SSL_new(s->tls);
    if (ssl == NULL) {
        return NULL;
    }
    bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                         BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        SSL_free(ssl);
        return NULL;
    }
    /* HTTP frames its own messages: a client that leaves without a TLS good-bye harms nobody. */
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

/* evhttp asks for the bufferevent of a connection it is about to accept. NULL (no memory) makes it
 * use one of its own, which on_request then refuses. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct http_server *s = CHECK_MAGIC(struct http_server, arg, SERVER_MAGIC);
    struct conn *c = calloc(1, sizeof(*c));

    (void)base;
    if (c == NULL) {
        return NULL;
    }
    *c = (struct conn){.magic = CONN_MAGIC, .server = s, .phase = PHASE_IDLE};
    c->timer = loop_timer_new(s->loop, on_conn_timer, c, NULL);
    c->bev = make_bufferevent(s);
    if (c->timer == NULL || c->bev == NULL ||
        evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c) == NULL) {
        goto fail;
    }
    /* What is pipelined behind a request that is not answered yet waits in the kernel. */
    bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_HEADER_MAX + HTTP_BODY_MAX);
    s->conn_count++;
    count_accept(s);
    c->refused = !make_room(s);
    TAILQ_INSERT_TAIL(&s->conns, c, link);
    loop_timer_arm(c->timer, 0);
    bufferevent_incref(c->bev);
    return c->bev;
fail:
    if (c->bev != NULL) {
        bufferevent_free(c->bev);
    }
    loop_timer_free(c->timer);
    free(c);
    return NULL;
}

/* ---- requests and answers ------------------------------------------------------------------ */

static struct conn *conn_of(struct http_server *s, struct evhttp_request *ev)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
    struct conn *c;

    TAILQ_FOREACH(c, &s->conns, link)
    {
        if (c->bev == bev) {
            return !c->refused && conn_adopt(c) ? c : NULL;
        }
    }
    return NULL;
}

/* evhttp reads nothing while a request is being answered, so it would not see the client leave. */
static void watch_for_close(struct conn *c)
{
    bufferevent_event_cb on_event = NULL;
    void *evcon = NULL;

    bufferevent_getcb(c->bev, NULL, NULL, &on_event, &evcon);
    bufferevent_setcb(c->bev, NULL, NULL, on_event, evcon);
    (void)bufferevent_enable(c->bev, EV_READ); /* over TLS it may already find that c is gone */
}

static void on_request(struct evhttp_request *ev, void *arg)
{
    struct http_server *s = CHECK_MAGIC(struct http_server, arg, SERVER_MAGIC);
    struct conn *c = conn_of(s, ev);
    struct http_request *req;

    if (c == NULL) {
        evhttp_send_error(ev, HTTP_SERVUNAVAIL, NULL);
        return;
    }
    req = http_framing_is_sound(&c->framing, c->requests++) ? http_request_new(&s->requests, ev)
                                                            : NULL;
    if (req == NULL) {
        ev->type = EVHTTP_REQ_GET;                    /* after a CONNECT evhttp would not close */
        evhttp_send_error(ev, HTTP_BADREQUEST, NULL); /* closes; the deadline still runs */
        return;
    }
    req->server = s;
    req->conn = c;
    c->req = req;
    c->phase = PHASE_HANDLED;
    loop_timer_disarm(c->timer);
    s->open++;
    watch_for_close(c);
    s->fn(s->arg, req);
}

static void on_sent(struct evhttp_request *ev, void *arg)
{
    struct conn *c = CHECK_MAGIC(struct conn, arg, CONN_MAGIC);
    bool pipelined = evbuffer_get_length(bufferevent_get_input(c->bev)) > 0;

    (void)ev;
    c->server->open--;
    if (pipelined) {
        conn_wait(c, PHASE_READING, HTTP_REQUEST_MS);
    } else {
        conn_wait(c, PHASE_IDLE, HTTP_IDLE_MS);
    }
}

void http_reply(struct http_request *req, int status, const char *content_type, const char *body,
                size_t len, const char *const *headers)
{
    struct http_server *s = req->server;
    struct evhttp_request *ev = req->ev;
    struct conn *c = req->conn;
    struct evbuffer *out;

    http_request_free(req);
    if (c == NULL) {
        s->open--;
        evhttp_request_free(ev);
        return;
    }
    c->req = NULL;
    conn_wait(c, PHASE_SENDING, HTTP_REQUEST_MS);
    out = evbuffer_new();
    if (out == NULL ||
        http_request_put_headers(ev, content_type, len, s->listener == NULL, headers) != 0 ||
        (len > 0 && evhttp_request_get_command(ev) != EVHTTP_REQ_HEAD &&
         evbuffer_add(out, body, len) != 0)) {
        conn_close(c); /* no memory, or a header's value with a line break */
    } else {
        evhttp_request_set_on_complete_cb(ev, on_sent, c);
        evhttp_send_reply(ev, status, NULL, out);
    }
    if (out != NULL) {
        evbuffer_free(out);
    }
}

/* ---- the server ---------------------------------------------------------------------------- */

static int start_evhttp(struct http_server *s, int fd, struct err *err)
{
    s->evhttp = evhttp_new(loop_base(s->loop));
    if (s->evhttp == NULL) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory for an HTTP server");
    }
    /* No evhttp_set_timeout: it counts each read anew, and would end waiting requests too. */
    evhttp_set_max_headers_size(s->evhttp, HTTP_HEADER_MAX);
    evhttp_set_max_body_size(s->evhttp, HTTP_BODY_MAX);
    evhttp_set_default_content_type(s->evhttp, NULL);
    evhttp_set_allowed_methods(s->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                              EVHTTP_REQ_PATCH | EVHTTP_REQ_PUT |
                                              EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                              EVHTTP_REQ_CONNECT); /* on_request refuses it */
    evhttp_set_bevcb(s->evhttp, on_accept, s);
    evhttp_set_gencb(s->evhttp, on_request, s);
    s->listener = evhttp_accept_socket_with_handle(s->evhttp, fd);
    if (s->listener == NULL) {
        return err_set(err, ERR_SYSTEM, NULL, "no memory for an HTTP server");
    }
    return 0;
}

struct http_server *http_server_new(struct loop *loop, const struct http_server_config *cfg,
                                    http_handler_fn fn, void *arg, struct err *err)
{
    struct http_server *s = calloc(1, sizeof(*s));
    int fd;

    if (s == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for an HTTP server");
        return NULL;
    }
    *s = (struct http_server){.magic = SERVER_MAGIC, .loop = loop, .fn = fn, .arg = arg};
    TAILQ_INIT(&s->conns);
    TAILQ_INIT(&s->requests);
    s->turn = loop_timer_new(loop, on_turn, s, err);
    if (s->turn == NULL) {
        goto fail;
    }
    if (cfg->cert_file != NULL && (s->tls = http_tls_new(cfg, err)) == NULL) {
        goto fail;
    }
    fd = http_listen(cfg->address, s->address, err);
    if (fd < 0) {
        goto fail;
    }
    if (start_evhttp(s, fd, err)) {
        (void)close(fd);
        goto fail;
    }
    return s;
fail:
    http_server_free(s);
    return NULL;
}

/* Takes the request out of evhttp's hands before its connection goes, so that whoever holds it may
 * still answer into the void when told. */
static void abandon(struct conn *c)
{
    struct http_request *req = TAKE(c->req);

    if (req == NULL) {
        conn_close(c);
        return;
    }
    evhttp_request_own(req->ev);
    conn_close(c);
    request_lost(req);
}

void http_server_free(struct http_server *s)
{
    struct http_request *req;

    if (s == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&s->conns)) {
        abandon(TAILQ_FIRST(&s->conns));
    }
    while ((req = TAILQ_FIRST(&s->requests)) != NULL) {
        evhttp_request_free(req->ev);
        http_request_free(req);
    }
    if (s->evhttp != NULL) {
        evhttp_free(s->evhttp); /* closes the listening socket */
    }
    loop_timer_free(s->turn);
    SSL_CTX_free(s->tls);
    s->magic = 0;
    free(s);
}

const char *http_server_address(const struct http_server *s)
{
    return s->address;
}

void http_server_stop_accepting(struct http_server *s)
{
    struct conn *c, *next;

    if (s->listener == NULL) {
        return;
    }
    evhttp_del_accept_socket(s->evhttp, TAKE(s->listener));
    for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->phase == PHASE_IDLE) {
            conn_close(c);
        }
    }
}

int http_server_open_requests(const struct http_server *s)
{
    return s->open;
}
