/* http_server, request by request: what a handler sees, what it can answer, what is refused before
 * it is asked. */
#include "http_world.h"

/* ---- what a handler sees and says ---------------------------------------------------------- */

static void answers_with_all_parts(void **state)
{
    struct world *w = *state;
    struct client c = client_open(w);
    const char *request = "POST /a%20b/c?x=1%2B2&y= HTTP/1.1\r\nHost: h\r\nX-Test: yes\r\n"
                          "Content-Length: 5\r\n\r\nhello";

    client_say(&c, request);
    assert_true(expect_text(w, &c, "POST /a b/c x=1+2 t=yes 5:hello.", 1));
    assert_memory_equal(c.in, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(c.in, "Content-Type: text/plain\r\n"));
    assert_non_null(strstr(c.in, "Content-Length: 32\r\n"));
    assert_non_null(strstr(c.in, "X-Answer: 42\r\n"));
    assert_null(strstr(c.in, "Server:"));
    client_close(&c);
}

static void knows_the_methods(void **state)
{
    static const char *const methods[][2] = {{"GET", "GET /m"},
                                             {"PATCH", "PATCH /m"},
                                             {"PUT", "OTHER /m"},
                                             {"DELETE", "OTHER /m"},
                                             {"OPTIONS", "OTHER /m"}};
    struct world *w = *state;
    struct client c = client_open(w);
    char request[100];

    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        (void)snprintf(request, sizeof(request), "%s /m HTTP/1.1\r\nHost: h\r\n\r\n",
                       methods[i][0]);
        client_say(&c, request);
        assert_true(expect_text(w, &c, methods[i][1], 1));
        client_forget(&c);
    }
    client_say(&c, "HEAD /m HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(expect_text(w, &c, "\r\n\r\n", 1));
    assert_non_null(strstr(c.in, "Content-Length: 18\r\n"));
    assert_null(strstr(c.in, "GET /m"));
    client_close(&c);
}

static void keeps_alive_and_takes_pipelined_requests(void **state)
{
    struct world *w = *state;
    struct client c = client_open(w);
    const char *three = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
                        "GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

    client_say(&c, three);
    assert_true(until(w, is_closed, &c, WAIT_MS));
    assert_true(strstr(c.in, "GET /1") < strstr(c.in, "GET /2"));
    assert_true(strstr(c.in, "GET /2") < strstr(c.in, "GET /3"));
    assert_non_null(strstr(c.in, "GET /3"));
    assert_int_equal(http_server_open_requests(w->server), 0);
    client_close(&c);
}

static void takes_a_body_of_the_cap(void **state)
{
    struct world *w = *state;
    struct client c = client_open(w);
    char *body = calloc(1, HTTP_BODY_MAX);
    char head[100];

    memset(body, 'b', HTTP_BODY_MAX);
    (void)snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
                   HTTP_BODY_MAX);
    client_say(&c, head);
    client_send(&c, body, HTTP_BODY_MAX);
    assert_true(expect_text(w, &c, "65536:bbbbbbbbbbbbbbbbbbbb.", 1));
    free(body);
    client_close(&c);
}

/* ---- what is refused ----------------------------------------------------------------------- */

#define HOST "Host: h\r\n"
static const char *const malformed[] = {
    "GARBAGE\r\n\r\n",
    "GET\r\n\r\n",
    "GET /\r\n\r\n",
    "GET / HTTP/1.1 x\r\n" HOST "\r\n",
    "GET / FTP/1.1\r\n" HOST "\r\n",
    " GET / HTTP/1.1\r\n" HOST "\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\n" HOST HOST "\r\n",
    "GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n",
    "GET / HTTP/1.1\r\n" HOST ": no name\r\n\r\n",
    "GET / HTTP/1.1\r\n" HOST "a b: c\r\n\r\n",
    "GET / HTTP/1.1\r\n" HOST "Content-Length : 0\r\n\r\n",
    "GET /%00 HTTP/1.1\r\n" HOST "\r\n",
    "GET /?novalue HTTP/1.1\r\n" HOST "\r\n",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: five\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n 6\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n",
    "HEAD / HTTP/1.1\r\n" HOST
    "Content-Length: 34\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
};

static void refuses_malformed_requests(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        struct client c = client_open(w);
        client_say(&c, malformed[i]);
        if (!until(w, is_closed, &c, WAIT_MS)) {
            fail_msg("not closed after: %s", malformed[i]);
        }
        if (strncmp(c.in, "HTTP/1.1 400 ", 13) != 0 && strncmp(c.in, "HTTP/1.1 413 ", 13) != 0 &&
            strncmp(c.in, "HTTP/1.1 501 ", 13) != 0) {
            fail_msg("answered with: %.60s\nafter: %s", c.in, malformed[i]);
        }
        client_close(&c);
    }
    assert_int_equal(w->handled, 0);
}

static void refuses_what_is_too_large(void **state)
{
    struct world *w = *state;
    struct client header = client_open(w), body = client_open(w);
    char big[HTTP_HEADER_MAX + 1];
    const char *too_long = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n";

    memset(big, 'h', sizeof(big));
    client_say(&header, "GET / HTTP/1.1\r\nHost: h\r\nX-Test: ");
    client_send(&header, big, sizeof(big));
    assert_true(expect_text(w, &header, "HTTP/1.1 400 ", 1));
    client_say(&body, too_long);
    assert_true(expect_text(w, &body, "HTTP/1.1 413 ", 1));
    assert_int_equal(w->handled, 0);
    client_close(&header);
    client_close(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a handler sees method, path, query, headers and body", answers_with_all_parts),
        TEST("methods: HEAD is a GET without its body, the rest is OTHER", knows_the_methods),
        TEST("connections are kept, and pipelined requests answered in order",
             keeps_alive_and_takes_pipelined_requests),
        TEST("a body of exactly 64 KiB is taken", takes_a_body_of_the_cap),
        TEST("E2: malformed and ambiguous requests are refused and the connection closed",
             refuses_malformed_requests),
        TEST("a header over 8 KiB gets 400, a body over 64 KiB gets 413",
             refuses_what_is_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
