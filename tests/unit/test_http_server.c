/* http_server: answers that come late, clients that leave, drip or crowd, the end of the server,
 * its address, TLS. What outlives HTTP_REQUEST_MS is left out when REVEILLE_QUICK is set. */
#include "http_world.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

/* ---- later, gone, slow, many --------------------------------------------------------------- */

static bool has_pending(void *arg)
{
    return ((struct world *)arg)->pending_count > 0;
}

static void send_later(struct client *c)
{
    client_say(c, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
}

static bool clock_says(void *arg)
{
    return clock_mono_ms() >= *(int64_t *)arg;
}

static void an_answer_may_come_later(void **state)
{
    struct world *w = *state;
    struct client c = client_open(w);

    send_later(&c);
    assert_true(until(w, has_pending, w, WAIT_MS));
    assert_int_equal(http_server_open_requests(w->server), 1);
    client_say(&c, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    http_on_gone(w->pending[0], on_gone, w);
    http_reply(w->pending[0], 503, NULL, NULL, 0, (const char *const[]){"Retry-After", "5", NULL});
    assert_true(expect_text(w, &c, "GET /next", 1));
    assert_memory_equal(c.in, "HTTP/1.1 503 ", 13);
    assert_non_null(strstr(c.in, "Retry-After: 5\r\n"));
    assert_non_null(strstr(c.in, "Content-Length: 0\r\n"));
    assert_int_equal(w->gone, 0);
    assert_int_equal(http_server_open_requests(w->server), 0);
    client_close(&c);
}

static bool is_gone(void *arg)
{
    return ((struct world *)arg)->gone > 0;
}

static void a_client_that_leaves_is_noticed(void **state)
{
    struct world *w = *state;
    struct client c = client_open(w);

    send_later(&c);
    assert_true(until(w, has_pending, w, WAIT_MS));
    http_on_gone(w->pending[0], on_gone, w);
    client_close(&c);
    assert_true(until(w, is_gone, w, WAIT_MS));
    assert_string_equal(http_path(w->pending[0]), "/later"); /* valid until it is answered */
    assert_string_equal(http_header(w->pending[0], "host"), "h");
    assert_int_equal(http_server_open_requests(w->server), 1);
    http_reply(w->pending[0], 200, "text/plain", "x", 1, NULL);
    assert_int_equal(http_server_open_requests(w->server), 0);
    assert_int_equal(w->gone, 1);
}

static void a_header_that_would_split_the_answer_closes(void **state)
{
    struct world *w = *state;
    struct client c = client_open(w);

    send_later(&c);
    assert_true(until(w, has_pending, w, WAIT_MS));
    http_reply(w->pending[0], 200, "text/plain", "x", 1,
               (const char *const[]){"Location", "/a\r\nSet-Cookie: b", NULL});
    assert_true(until(w, is_closed, &c, WAIT_MS));
    assert_int_equal(c.len, 0);
    assert_int_equal(http_server_open_requests(w->server), 0);
    client_close(&c);
}

struct dripping {
    struct client c;
    int64_t next_ms;
};

/* One byte of an endless header every 500 ms, until the server has had enough. */
static bool drip_is_cut(void *arg)
{
    struct dripping *d = arg;

    client_read(&d->c);
    if (!d->c.eof && clock_mono_ms() >= d->next_ms) {
        (void)!send(d->c.fd, "x", 1, MSG_NOSIGNAL);
        d->next_ms = clock_mono_ms() + 500;
    }
    return d->c.eof;
}

static void a_slow_request_is_cut(void **state)
{
    struct world *w = *state;
    struct dripping d = {.c = client_open(w)};
    struct client silent = client_open(w), waiting = client_open(w);
    int64_t before_ms = clock_mono_ms(), took_ms, later_ms;

    if (getenv("REVEILLE_QUICK") != NULL) {
        client_close(&d.c);
        client_close(&silent);
        client_close(&waiting);
        skip();
    }
    send_later(&waiting);
    client_say(&d.c,
               "GET /first HTTP/1.1\r\nHost: h\r\n\r\n"); /* idle, it might stay for a minute */
    assert_true(expect_text(w, &d.c, "GET /first", 1));
    client_say(&d.c, "GET / HTTP/1.1\r\nHost: h\r\nX-Test: ");
    assert_true(until(w, drip_is_cut, &d, 3 * HTTP_REQUEST_MS));
    took_ms = clock_mono_ms() - before_ms;
    assert_true(took_ms >= HTTP_REQUEST_MS - 1000);
    assert_true(until(w, is_closed, &silent, WAIT_MS)); /* also one that never says a word */
    assert_int_equal(w->handled, 2);
    later_ms = clock_mono_ms() + 2000;
    assert_true(until(w, clock_says, &later_ms, WAIT_MS));
    http_reply(w->pending[0], 200, "text/plain", "patience", 8, NULL); /* no deadline for us */
    assert_true(expect_text(w, &waiting, "patience", 1));
    client_close(&d.c);
    client_close(&silent);
    client_close(&waiting);
}

static bool at_once(void *arg)
{
    (void)arg;
    return true;
}

static void a_crowd_does_not_keep_a_quick_one_out(void **state)
{
    struct world *w = *state;
    static struct client crowd[3 * HTTP_CONNECTIONS_MAX];
    struct client quick;
    int open = 0;

    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        crowd[i] = client_open(w);
        client_say(&crowd[i], "G");
        assert_true(until(w, at_once, NULL, WAIT_MS)); /* lets the server accept it */
    }
    quick = client_open(w);
    client_say(&quick, "GET /quick HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(expect_text(w, &quick, "GET /quick", 1));
    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        client_read(&crowd[i]);
        open += crowd[i].eof ? 0 : 1;
        client_close(&crowd[i]);
    }
    assert_int_equal(open, HTTP_CONNECTIONS_MAX - 1);
    client_close(&quick);
}

static void a_new_one_is_read_before_a_crowd_can_push_it_out(void **state)
{
    struct world *w = *state;
    static struct client crowd[3 * HTTP_CONNECTIONS_MAX];
    struct client first = client_open(w), last;

    client_say(&first, "GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
    for (size_t i = 0; i < COUNT_OF(crowd); i++) { /* all there before the server looks once */
        crowd[i] = client_open(w);
    }
    last = client_open(w);
    client_say(&last, "GET /last HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(expect_text(w, &first, "GET /first", 1));
    assert_true(expect_text(w, &last, "GET /last", 1));
    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        client_close(&crowd[i]);
    }
    client_close(&first);
    client_close(&last);
}

static bool all_pending(void *arg)
{
    return ((struct world *)arg)->pending_count >= HTTP_CONNECTIONS_MAX;
}

static void beyond_the_cap_of_requests_one_is_closed(void **state)
{
    struct world *w = *state;
    static struct client crowd[HTTP_CONNECTIONS_MAX];
    struct client one_more;

    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        crowd[i] = client_open(w);
        send_later(&crowd[i]);
    }
    assert_true(until(w, all_pending, w, WAIT_MS));
    one_more = client_open(w);
    send_later(&one_more);
    assert_true(until(w, is_closed, &one_more, WAIT_MS));
    assert_int_equal(w->pending_count, HTTP_CONNECTIONS_MAX);
    for (int i = 0; i < w->pending_count; i++) {
        http_reply(w->pending[i], 200, "text/plain", "at last", 7, NULL);
    }
    assert_true(expect_text(w, &crowd[COUNT_OF(crowd) - 1], "at last", 1));
    for (size_t i = 0; i < COUNT_OF(crowd); i++) {
        client_close(&crowd[i]);
    }
    client_close(&one_more);
}

/* ---- the server itself --------------------------------------------------------------------- */

static void stops_accepting(void **state)
{
    struct world *w = *state;
    struct client idle = client_open(w), busy = client_open(w);

    send_later(&busy);
    client_say(&idle, "GET /idle HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(expect_text(w, &idle, "GET /idle", 1));
    assert_true(until(w, has_pending, w, WAIT_MS));
    http_server_stop_accepting(w->server);
    http_server_stop_accepting(w->server);
    assert_true(until(w, is_closed, &idle, WAIT_MS));
    assert_int_equal(http_server_open_requests(w->server), 1);
    http_reply(w->pending[0], 200, "text/plain", "done", 4, NULL);
    assert_true(until(w, is_closed, &busy, WAIT_MS)); /* no second request on it */
    assert_non_null(strstr(busy.in, "done"));
    assert_non_null(strstr(busy.in, "Connection: close\r\n"));
    assert_int_equal(http_server_open_requests(w->server), 0);
    client_close(&idle);
    client_close(&busy);
}

static void free_closes_open_requests(void **state)
{
    struct world *w = *state;
    struct client c = client_open(w), half = client_open(w);

    send_later(&c);
    client_say(&half, "GET /");
    assert_true(until(w, has_pending, w, WAIT_MS));
    http_on_gone(w->pending[0], on_gone, w);
    http_server_free(w->server);
    w->server = NULL; /* teardown frees nothing twice */
    assert_int_equal(w->gone, 1);
    assert_true(until(w, is_closed, &c, WAIT_MS));
    assert_true(until(w, is_closed, &half, WAIT_MS));
    assert_int_equal(c.len, 0);
    client_close(&c);
    client_close(&half);
}

static void says_what_is_wrong_with_an_address(void **state)
{
    static const char *const wrong[] = {"",          "8790",        "localhost:8790",
                                        "127.0.0.1", "127.0.0.1:x", "[::1]"};
    struct world *w = *state;
    struct http_server_config cfg = {0};
    struct http_server *s;
    struct err err;

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        err = ERR_INIT;
        cfg.address = wrong[i];
        assert_null(http_server_new(w->loop, &cfg, handle, w, &err));
        assert_int_equal(err.cls, ERR_CONFIG);
    }
    cfg.address = http_server_address(w->server);
    assert_null(http_server_new(w->loop, &cfg, handle, w, &err));
    assert_string_equal(err.code, "EADDRINUSE");
    cfg = (struct http_server_config){.address = "127.0.0.1:0", .cert_file = "/nowhere.pem"};
    assert_null(http_server_new(w->loop, &cfg, handle, w, &err));
    assert_int_equal(err.cls, ERR_CONFIG);
    cfg = (struct http_server_config){.address = "[::1]:0"};
    s = http_server_new(w->loop, &cfg, handle, w, NULL);
    if (s != NULL) { /* a machine without IPv6 has none */
        assert_memory_equal(http_server_address(s), "[::1]:", 6);
    }
    http_server_free(s);
}

/* ---- TLS ----------------------------------------------------------------------------------- */

static void write_certificate(char *cert_file, char *key_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *out;

    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    (void)X509_set_pubkey(cert, key);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"reveille.test", -1, -1, 0);
    (void)X509_set_issuer_name(cert, X509_get_subject_name(cert));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    out = fdopen(mkstemp(cert_file), "w");
    assert_int_equal(PEM_write_X509(out, cert), 1);
    (void)fclose(out);
    out = fdopen(mkstemp(key_file), "w");
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(out);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static bool tls_says(void *arg)
{
    struct client *c = arg;
    int n;

    if (SSL_do_handshake(c->ssl) != 1) {
        return false;
    }
    if (c->times == 0) {
        const char *request = "GET /tls HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        c->times = SSL_write(c->ssl, request, (int)strlen(request)) > 0 ? 1 : 0;
    }
    n = SSL_read(c->ssl, c->in + c->len, (int)(sizeof(c->in) - 1 - c->len));
    c->len += n > 0 ? (size_t)n : 0;
    c->in[c->len] = '\0';
    return strstr(c->in, c->wanted) != NULL;
}

static void speaks_tls(void **state)
{
    struct world *w = *state;
    char cert_file[] = "/tmp/reveille-http-cert-XXXXXX",
         key_file[] = "/tmp/reveille-http-key-XXXXXX";
    struct http_server_config cfg = {
        .address = "127.0.0.1:0", .cert_file = cert_file, .key_file = key_file};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct client c, plain;

    write_certificate(cert_file, key_file);
    http_server_free(w->server);
    w->server = http_server_new(w->loop, &cfg, handle, w, NULL);
    assert_non_null(w->server);
    c = client_open(w);
    c.ssl = SSL_new(ctx);
    (void)SSL_set_fd(c.ssl, c.fd);
    SSL_set_connect_state(c.ssl);
    c.wanted = "GET /tls";
    assert_true(until(w, tls_says, &c, WAIT_MS));
    plain = client_open(w);
    client_say(&plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(until(w, is_closed, &plain, WAIT_MS));
    assert_int_equal(w->handled, 1);
    client_close(&c);
    client_close(&plain);
    SSL_CTX_free(ctx);
    (void)unlink(cert_file);
    (void)unlink(key_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("an answer may come later, and keeps its order", an_answer_may_come_later),
        TEST("a client that leaves before the answer is noticed once",
             a_client_that_leaves_is_noticed),
        TEST("a header with a line break closes instead of splitting the answer",
             a_header_that_would_split_the_answer_closes),
        TEST("E1: a request that drips is cut after 10 s, one that is being handled is not",
             a_slow_request_is_cut),
        TEST("E1: three times 128 slow clients do not keep a quick one out",
             a_crowd_does_not_keep_a_quick_one_out),
        TEST("a request that came with a crowd is read before the crowd can push it out",
             a_new_one_is_read_before_a_crowd_can_push_it_out),
        TEST("beyond 128 requests in hand a connection is closed at once",
             beyond_the_cap_of_requests_one_is_closed),
        TEST("stop_accepting closes what is idle, and lets open requests be answered",
             stops_accepting),
        TEST("free closes open requests without an answer", free_closes_open_requests),
        TEST("what cannot be listened at is a clear error", says_what_is_wrong_with_an_address),
        TEST("TLS is spoken when there is a certificate, and nothing else", speaks_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
