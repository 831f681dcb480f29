/* http_framing, without a server: what is sound, what is not, and that it does not matter in which
 * portions the bytes come. */
#include "http_framing.h"
#include "limits.h"
#include "unit.h"

#define HOST "Host: h\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST

/* Each is so many sound requests, and nothing behind them. */
static const struct {
    unsigned whole;
    const char *bytes;
} sound[] = {
    {1, GET "\r\n"},
    {1, "GET /a/b?c=%20&d HTTP/1.1\r\nhOST:h\r\n\r\n"},
    {1, "GET / HTTP/1.0\r\n\r\n"},
    {1, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"},
    {1, "POST / HTTP/1.1\r\n" HOST "cONTENT-lENGTH:2 \t\r\n\r\n{}"},
    {1, "POST / HTTP/1.1\r\n" HOST "Content-Length: 002\r\n\r\n{}"},
    {1, "DELETE / HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\n\r\n\r\n"},
    {1, "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"},
    {1, GET "X:\r\nY: \ta: \xc3\xa4 \r\nX-Transfer-Encoding: z\r\n"
            "Content-Length-Or-Something-Longer: z\r\n\r\n"},
    {3, GET "\r\n" GET "\r\n"
            "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n\n"},
    {2, "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nGET" GET "\r\n"},
    {0, GET},
    {0, "POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{"},
};

/* None of them is sound, whatever comes behind. */
static const char *const unsound[] = {
    "\r\n" GET "\r\n",
    " " GET "\r\n",
    "G\tT / HTTP/1.1\r\n" HOST "\r\n",
    "GET  / HTTP/1.1\r\n" HOST "\r\n",
    "GET /  HTTP/1.1\r\n" HOST "\r\n",
    "GET / / HTTP/1.1\r\n" HOST "\r\n",
    "GET / HTTP/1.1 \r\n" HOST "\r\n",
    "GET / HTTP/1.2\r\n" HOST "\r\n",
    "GET / HTTP/1.10\r\n" HOST "\r\n",
    "GET / HTTP/2.0\r\n" HOST "\r\n",
    "GET / http/1.1\r\n" HOST "\r\n",
    "GET /\r\n\r\n",
    "GET http://h/ HTTP/1.1\r\n" HOST "\r\n",
    "GET /\x7f HTTP/1.1\r\n" HOST "\r\n",
    "GET /\xff HTTP/1.1\r\n" HOST "\r\n",
    "GET /#a HTTP/1.1\r\n" HOST "\r\n",
    "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
    "CONNECT / HTTP/1.1\r\n" HOST "\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\n" HOST HOST "\r\n",
    "GET / HTTP/1.1\n" HOST "\r\n",
    GET "X: y\n\r\n",
    GET "X: y\r\r\n\r\n",
    GET "X: y\r\n\r\r\n",
    GET "X: y\r\n\n",
    GET "X: y\r\n z\r\n\r\n",
    GET "X: y\r\n\tz\r\n\r\n",
    GET "X: \x01\r\n\r\n",
    GET "X: \x7f\r\n\r\n",
    GET "X y: z\r\n\r\n",
    GET "X : z\r\n\r\n",
    GET ": z\r\n\r\n",
    GET "X\r\n\r\n",
    GET "tRANSFER-eNCODING: x\r\n\r\n",
    GET "Content-Length: 1\r\nContent-Length: 1\r\n\r\n1",
    GET "Content-Length:\r\n\r\n",
    GET "Content-Length: \t\r\n\r\n",
    GET "Content-Length: +1\r\n\r\n1",
    GET "Content-Length: -1\r\n\r\n1",
    GET "Content-Length: 1 1\r\n\r\n1",
    GET "Content-Length: 1,1\r\n\r\n1",
    GET "Content-Length: 0x1\r\n\r\n1",
    "HEAD / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1",
    "TRACE / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1",
};

static unsigned whole(const char *bytes, size_t len, size_t portion)
{
    struct http_framing f = {0};
    while (len > 0) {
        size_t n = len < portion ? len : portion;
        http_framing_read(&f, bytes, n);
        bytes += n;
        len -= n;
    }
    unsigned n = 0;
    while (http_framing_is_sound(&f, n))
        n++;
    return n;
}

static void counts_what_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sound); i++) {
        size_t len = strlen(sound[i].bytes);
        for (size_t portion = 1; portion <= len; portion++)
            if (whole(sound[i].bytes, len, portion) != sound[i].whole)
                fail_msg("in portions of %zu: %s", portion, sound[i].bytes);
    }
}

static void refuses_the_rest(void **state)
{
    (void)state;
    char bytes[512];
    for (size_t i = 0; i < COUNT_OF(unsound); i++) {
        size_t len = (size_t)snprintf(bytes, sizeof bytes, "%s%s\r\n%s\r\n", GET "\r\n", unsound[i],
                                      GET "\r\n" GET);
        for (size_t portion = 1; portion <= len; portion++)
            if (whole(bytes, len, portion) != 1) /* the one in front */
                fail_msg("taken in portions of %zu: %s", portion, unsound[i]);
    }
}

static void a_zero_byte_is_refused_wherever_it_is(void **state)
{
    (void)state;
    static const char bytes[] = "POST /x HTTP/1.1\r\n" HOST "X: y\r\nContent-Length: 1\r\n\r\n";
    char broken[sizeof bytes];
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        memcpy(broken, bytes, sizeof bytes);
        broken[i] = '\0';
        assert_int_equal(whole(broken, sizeof bytes, sizeof bytes), 0);
    }
    assert_int_equal(whole(bytes, sizeof bytes, sizeof bytes), 1); /* as the body */
}

static void a_head_has_its_cap(void **state)
{
    (void)state;
    static char bytes[HTTP_HEADER_MAX + 2];
    const char *begin = GET "X: ";
    for (size_t len = HTTP_HEADER_MAX; len <= HTTP_HEADER_MAX + 1; len++) {
        memset(bytes, 'x', sizeof bytes);
        memcpy(bytes, begin, strlen(begin));
        memcpy(bytes + len - 4, "\r\n\r\n", 4);
        assert_int_equal(whole(bytes, len, len), len == HTTP_HEADER_MAX);
    }
}

static void a_length_beyond_all_numbers_is_never_whole(void **state)
{
    (void)state;
    static char bytes[3 * HTTP_BODY_MAX];
    int head = snprintf(bytes, sizeof bytes,
                        "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551618\r\n\r\n");
    assert_int_equal(whole(bytes, (size_t)head + HTTP_BODY_MAX, 4096), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-T9: sound requests are counted, however their bytes are cut", counts_what_is_sound),
        TEST("R-T9: behind a request that is not sound nothing counts", refuses_the_rest),
        TEST("R-T9: a zero byte in a head is refused, wherever it is",
             a_zero_byte_is_refused_wherever_it_is),
        TEST("R-T9: a head is at most 8 KiB, line ends counted", a_head_has_its_cap),
        TEST("R-T9: a length beyond all numbers is not taken for a small one",
             a_length_beyond_all_numbers_is_never_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
