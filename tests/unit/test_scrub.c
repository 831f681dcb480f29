/* Tests scrub.c: a table of what goes and what stays, canaries in every surrounding, and properties
 * that hold for any bytes. */
#include "clock.h"
#include "scrub.h"
#include "unit.h"
#include "utf8.h"

#define UUID "6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5"
#define JWT \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFU"
#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct example {
    const char *in, *out;
};

static void check(const struct example *examples, size_t n)
{
    char out[LOG_LINE_MAX], again[LOG_LINE_MAX];
    for (size_t i = 0; i < n; i++) {
        size_t len = scrub_text(examples[i].in, strlen(examples[i].in), out, sizeof out);
        assert_string_equal(out, examples[i].out);
        assert_int_equal(len, strlen(out));
        scrub_text(out, len, again, sizeof again);
        assert_string_equal(again, out); /* scrubbing twice changes nothing */
    }
}
#define CHECK(...)                               \
    check((const struct example[]){__VA_ARGS__}, \
          sizeof((const struct example[]){__VA_ARGS__}) / sizeof(struct example))

static void removes_ids(void **state)
{
    (void)state;
    CHECK({"mentor " UUID " not found", "mentor [uuid] not found"},
          {"MENTOR_6F1C2D3E-4A5B-4C6D-8E7F-90A1B2C3D4E5.", "MENTOR_[uuid]."},
          {"Key (id)=(" UUID ") exists", "Key (id)=([uuid]) exists"}, {UUID UUID, "[uuid][uuid]"},
          {UUID ".ola@example.no", "[uuid][email]"},
          {"cut off at 6f1c2d3e-4a5b-4c6", "cut off at [uuid]"},
          {"id 6f1c2d3e4a5b4c6d8e7f90a1b2c3d4e5 gone", "id [token] gone"});
}

static void removes_addresses(void **state)
{
    (void)state;
    CHECK({"to ola.nordmann+test@example.no.", "to [email]."},
          {"<kari@xn--sr-kka.no>, again", "<[email]>, again"},
          {"bj\xC3\xB8rn@example.no failed", "[email] failed"},
          {"\"user\":\"a_b@mail.example.com\"", "\"user\":\"[email]\""},
          {"ola%40example.no", "[email]"}, {"cut off: ola.nordmann@exa", "cut off: [email]"},
          {"look @ this, 5 @ 3", "look @ this, 5 @ 3"});
}

static void removes_numbers(void **state)
{
    (void)state;
    CHECK({"call +47 912 34 567 now", "call [number] now"}, {"call 91234567", "call [number]"},
          {"tel:+4791234567;", "tel:[number];"}, {"912 34 567, please", "[number], please"},
          {"91 23 45 67", "[number]"}, {"+47 (0) 22 33 44 55", "[number]"},
          {"004791234567", "[number]"}, {"+1 555-123-4567", "[number]"},
          {"born 01017012345", "born [number]"});
}

static void removes_tokens(void **state)
{
    (void)state;
    CHECK({"token " JWT " expired", "token [token] expired"},
          {"Authorization: Bearer abc.def", "Authorization: Bearer [token]"},
          {"authorization: Basic b2xhOnB3", "authorization: Basic [token]"},
          {"sent bearer x1y2z3", "sent bearer [token]"}, {"Basic b2xhOnA= no", "Basic [token] no"},
          {"X-Scheduler-Secret: s3same", "X-Scheduler-Secret: [token]"},
          {"host=db password='hun ter' user=x", "host=db password='[token]' user=x"},
          {"{\"access_token\": \"a b\", \"n\": 1}", "{\"access_token\": \"[token]\", \"n\": 1}"},
          {"PGPASSWORD=x, rest", "PGPASSWORD=[token], rest"}, {"secret " HEX64, "secret [token]"},
          {"key MTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1u/+x=", "key [token]"},
          {"sb_secret_N7UND0UgjKTVK8Xm", "[token]"});
}

static void removes_from_urls(void **state)
{
    (void)state;
    CHECK({"postgres://user:pw@host/db?sslmode=require x",
           "postgres://[credentials]@host/db?[query] x"},
          {"postgres://user:p/w?#@host:5432/db", "postgres://[credentials]@host:5432/db"},
          {"https://u:p@host:8443/a", "https://[credentials]@host:8443/a"},
          {"https://u:p/w@host/a", "https://[credentials]@host/a"},
          {"0http://u:p@h/", "0http://[credentials]@h/"},
          {"http://127.0.0.1:8790/v1/jobs?apikey=x", "http://127.0.0.1:8790/v1/jobs?[query]"},
          {"(\"https://x.no/a#token\")", "(\"https://x.no/a?[query]\")"},
          {"https://x.no/m/" UUID "/y", "https://x.no/m/[uuid]/y"},
          {"http://[::1]:80/a", "http://[::1]:80/a"});
}

static void removes_stacks(void **state)
{
    (void)state;
    CHECK({"boom\n    at Object.<anonymous> (/srv/app.js:10:5)\n    at x", "boom     [stack]"},
          {"boom\\n    at foo (/srv/app.js:10:5)", "boom\\n    [stack]"},
          {"boom     at async run (file:///a.js:1:2)", "boom     [stack]"},
          {"x\n\tat com.foo.Bar.baz(Bar.java:10)", "x  [stack]"},
          {"Traceback (most recent call last):\n  File \"a.py\"", "[stack]"},
          {"no\nPL/pgSQL function f() line 3 at RAISE", "no [stack]"},
          {"panic\ngoroutine 1 [running]:", "panic [stack]"},
          {"e\n#0 /var/www/x.php(3)", "e [stack]"},
          {"LINE 1: error at character 15", "LINE 1: error at character 15"},
          {"rung\nat 06:00 sharp", "rung at 06:00 sharp"});
}

static void keeps_the_rest(void **state)
{
    (void)state;
    const char *const same[] = {
        "could not connect to 127.0.0.1:5432: Connection refused (ECONNREFUSED)",
        "2026-11-21T06:00:00.123Z and 2026-11-21 06:00:00.123456789+00, 2026-11-21 12345",
        "relation \"scenario_scheduler_2026_10_01_partition_idx\" does not exist",
        "SCHEDULER_SECRET: 64 hexadecimal digits are needed; make one with: openssl rand -hex 32",
        "slice 1234567 of 300, 0.123456789 s, v2.0.2, 99 %",
        "cannot read /usr/lib/x86_64-linux-gnu/libfoo.so.5.0.1: No such file or directory",
        "reveille.slices.http [3] at offset 123456",
        "invalid input syntax for type date: \"tomorrow\" near token \"x\"",
        "getPeerMentorAssignmentContactById returned null",
        "p\xC3\xA5 norsk: \xE2\x80\x9Cikke svar\xE2\x80\x9D \xF0\x9F\x8C\x85",
        "Basic auth is off; the password of role reveille_worker is missing",
        "",
    };
    for (size_t i = 0; i < COUNT_OF(same); i++)
        CHECK({same[i], same[i]});
}

static void cleans_bytes(void **state)
{
    (void)state;
    CHECK({"a\tb\rc\x1b[31md\x7f", "a b c [31md "}, {"\xC2\x85x\xC2\x9F", " x "},
          {"bad \xff\xC3 \xC0\x80 \xED\xA0\x80.", "bad ?? ?? ???."}, {"cut \xE2\x80", "cut ??"});
    char out[8];
    assert_int_equal(scrub_text("a\0b", 3, out, sizeof out), 3);
    assert_string_equal(out, "a b");
}

static void cuts_at_a_character(void **state)
{
    (void)state;
    char out[16];
    memset(out, 'x', sizeof out);
    assert_int_equal(scrub_text("abc", 3, out, 0), 0);
    assert_int_equal(out[0], 'x');
    assert_int_equal(scrub_text("abc", 3, out, 1), 0);
    assert_string_equal(out, "");
    assert_int_equal(scrub_text("ab\xC3\xB8"
                                "cd",
                                6, out, 4),
                     2); /* no half of an ø, nothing behind */
    assert_string_equal(out, "ab");
    assert_int_equal(scrub_text(UUID, 36, out, 5), 0); /* no half of a marker */
    assert_string_equal(out, "");
}

/* Canaries between random neighbours: none may come out again. */
static void finds_canaries_anywhere(void **state)
{
    (void)state;
    static const struct {
        const char *canary, *telltale;
    } canaries[] = {
        {UUID, "4c6d"},
        {"ola.nordmann@example.no", "nordmann"},
        {"+47 912 34 567", "34 567"},
        {JWT, "dozjgNry"},
        {HEX64, "aabbcc"},
        {"Bearer c4nary-t0ken", "c4nary"},
        {"postgres://u:c4nary@db.internal/x?y=1", "c4nary"},
        {"password=c4nary", "c4nary"},
    };
    static const char neighbours[] = " \t\n,;:()[]{}<>\"'|=!?*&";
    struct rng r = unit_rng();
    for (int i = 0; i < 20000; i++) {
        char in[512], out[1024];
        size_t len = 0, which = rng_below(&r, (uint32_t)COUNT_OF(canaries));
        for (int words = 0; words < 4; words++) {
            len += (size_t)snprintf(in + len, sizeof in - len, "%.*s%c", (int)rng_below(&r, 4),
                                    "wor", neighbours[rng_below(&r, sizeof neighbours - 1)]);
            if (words == 1)
                len += (size_t)snprintf(in + len, sizeof in - len, "%s%c", canaries[which].canary,
                                        neighbours[rng_below(&r, sizeof neighbours - 1)]);
        }
        scrub_text(in, len, out, sizeof out);
        if (strstr(out, canaries[which].telltale))
            fail_msg("<%s> became <%s>", in, out);
    }
}

static void check_output(const char *out, size_t len, size_t size)
{
    assert_true(len < size);
    assert_int_equal(out[len], 0);
    for (size_t i = 0; i < len;) {
        size_t one = utf8_length(out + i, len - i);
        assert_true(one > 0);
        assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7F);
        i += one;
    }
}

static void holds_for_any_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "ab0129.-_@%+:/?#='\"\\n at({[Bearer eyJ://\n\xC3\xB8\xE2";
    struct rng r = unit_rng();
    for (int i = 0; i < 20000; i++) {
        size_t n = rng_below(&r, 300), size = 1 + rng_below(&r, 400);
        char *in = malloc(n + 1), *out = malloc(size); /* exact, so that overruns are seen */
        assert_true(in && out);
        bool any = rng_below(&r, 2) == 0;
        for (size_t k = 0; k < n; k++)
            in[k + 1] = any ? (char)rng_next(&r) : alphabet[rng_below(&r, sizeof alphabet - 1)];
        check_output(out, scrub_text(in + 1, n, out, size), size);
        free(in);
        free(out);
    }
}

/* What this thread has worked: a busy machine does not count. */
static int64_t worked_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

#ifdef __SANITIZE_ADDRESS__
#define LINE_US_MAX 10000 /* the sanitizers look at each step; a quadratic matcher takes longer */
#else
#define LINE_US_MAX 1000
#endif

/* What would make a careless matcher look ahead again and again. */
static void is_fast(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "a",  "1 ",        "a://",    "://", "  at a",   "a.",  "0-", "a@",
        "%4", "password=", "Bearer ", "eyJ", "\xC3\xB8", "aA1", "\""};
    char in[LOG_LINE_MAX], out[LOG_LINE_MAX];
    for (size_t p = 0; p < COUNT_OF(patterns); p++) {
        size_t len = strlen(patterns[p]);
        for (size_t i = 0; i < sizeof in; i++)
            in[i] = patterns[p][i % len];
        int64_t best = INT64_MAX; /* of several: the machine may be busy with something else */
        for (int i = 0; i < 20; i++) {
            int64_t before = worked_us();
            scrub_text(in, sizeof in, out, sizeof out);
            int64_t took = worked_us() - before;
            best = took < best ? took : best;
        }
        if (best >= LINE_US_MAX)
            fail_msg("%lld us for 4 KiB of <%s>", (long long)best, patterns[p]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-S5: UUIDs are removed, also one that is cut off", removes_ids),
        TEST("R-S5: e-mail addresses are removed", removes_addresses),
        TEST("R-S5: telephone numbers are removed", removes_numbers),
        TEST("R-S5, R-E5: tokens, passwords and secrets are removed", removes_tokens),
        TEST("R-S5: credentials and queries of URLs are removed", removes_from_urls),
        TEST("R-S5, R-S3: a text ends where a stack trace begins", removes_stacks),
        TEST("what is harmless stays as it is", keeps_the_rest),
        TEST("control bytes become spaces, bytes that are no UTF-8 question marks", cleans_bytes),
        TEST("a text too long is cut at a character's border", cuts_at_a_character),
        TEST("R-S5: no canary survives, whatever stands beside it", finds_canaries_anywhere),
        TEST("any bytes give clean UTF-8 that fits", holds_for_any_bytes),
        TEST("R-S5: 4 KiB take less than 1 ms, also the worst", is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
