/* Tests slice_msg.c: the bytes of a message, and what is made of any other bytes. */
#include "slice_msg.h"
#include "unit.h"

static const struct slice_msg sample = {
    .run = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}}, .slice = 300};

static void has_these_bytes(void **state)
{
    (void)state;
    static const char expected[] = "\x83"
                                   "\xa1v\x01"
                                   "\xa3run\xc4\x10\x00\x01\x02\x03\x04\x05\x06\x07"
                                   "\x08\x09\x0a\x0b\x0c\x0d\x0e\xff"
                                   "\xa5slice\xcd\x01\x2c";
    uint8_t out[SLICE_MSG_MAX];
    assert_int_equal(slice_msg_encode(&sample, out), sizeof expected - 1);
    assert_memory_equal(out, expected, sizeof expected - 1);
}

static void comes_back(void **state)
{
    (void)state;
    struct rng r = unit_rng();
    const int32_t edges[] = {0, 1, 127, 128, 255, 256, 65535, 65536, INT32_MAX};
    for (size_t i = 0; i < 20000; i++) {
        struct slice_msg m, back;
        for (size_t k = 0; k < sizeof m.run.b; k++)
            m.run.b[k] = (uint8_t)rng_next(&r);
        m.slice = i < COUNT_OF(edges) ? edges[i] : (int32_t)(rng_next(&r) >> 33);
        uint8_t out[SLICE_MSG_MAX];
        size_t len = slice_msg_encode(&m, out);
        assert_in_range(len, 1, SLICE_MSG_MAX);
        assert_int_equal(slice_msg_decode(out, len, &back, NULL), 0);
        assert_true(uuid_equal(&m.run, &back.run));
        assert_int_equal(back.slice, m.slice);
    }
}

static void refused(const char *bytes, size_t len, const char *code)
{
    struct slice_msg m = sample;
    struct err err = ERR_INIT;
    assert_int_equal(slice_msg_decode(bytes, len, &m, &err), -1);
    assert_err(err, ERR_PROTOCOL);
    assert_string_equal(err.code, code);
    assert_memory_equal(&m, &sample, sizeof m);
}
#define REFUSED(literal, code) refused(literal, sizeof(literal) - 1, code)

#define RUN           \
    "\xa3run\xc4\x10" \
    "0123456789abcdef"
#define SLICE "\xa5slice\x07"
#define V "\xa1v\x01"

static void refuses_other_maps(void **state)
{
    (void)state;
    REFUSED("\x83\xa1v\x02" RUN SLICE, "version");
    REFUSED("\x82\xa1v\x02\xa4what\x91\xc0", "version"); /* of a later one we know nothing */
    REFUSED("\x83\xa1v\xff" RUN SLICE, "fields");        /* -1 */
    REFUSED("\x83\xa1v\xa1"
            "1" RUN SLICE,
            "fields");
    REFUSED("\x82" RUN SLICE, "fields");
    REFUSED("\x82" V SLICE, "fields");
    REFUSED("\x82" V RUN, "fields");
    REFUSED("\x84" V RUN SLICE "\xa1x\x01", "fields");
    REFUSED("\x84" V RUN SLICE SLICE, "fields");
    REFUSED("\x83" V RUN RUN, "fields");
    REFUSED("\x83" V "\xa3run\xb0"
            "0123456789abcdef" SLICE,
            "fields"); /* a string */
    REFUSED("\x83" V "\xa3run\xc4\x0f"
            "123456789abcdef" SLICE,
            "fields");
    REFUSED("\x83" V RUN "\xa5slice\xff", "fields");
    REFUSED("\x83" V RUN "\xa5slice\xce\x80\x00\x00\x00", "fields"); /* over INT32_MAX */
    REFUSED("\x83" V RUN "\xa5slice\xca\x00\x00\x00\x00", "fields"); /* a float */
    REFUSED("\x80", "fields");
    REFUSED("\x07", "fields");
    REFUSED("\x93\x01\x02\x03", "fields");
}

static void refuses_other_bytes(void **state)
{
    (void)state;
    char big[SLICE_MSG_MAX + 1] = {0};
    refused(big, sizeof big, "too_long");
    REFUSED("", "unreadable");
    REFUSED("\xc1", "unreadable");
    REFUSED("\x83" V RUN SLICE "\x00", "unreadable"); /* a byte behind the map */
    REFUSED("{\"v\":1}", "unreadable");
    REFUSED("\xdd\xff\xff\xff\xff", "unreadable"); /* would be an array of 4 Gi */
    REFUSED("\xdf\xff\xff\xff\xff\x01", "unreadable");
    REFUSED("\xc6\xff\xff\xff\xff", "unreadable");
    REFUSED("\xc9\xff\xff\xff\xff\x01", "unreadable");
    REFUSED("\xdb\x7f", "unreadable");
    REFUSED("\x83" V "\xa3run\xdd\x7f\xff\xff\xff" SLICE, "unreadable");
    uint8_t out[SLICE_MSG_MAX];
    size_t len = slice_msg_encode(&sample, out);
    for (size_t cut = 0; cut < len; cut++)
        refused((const char *)out, cut, "unreadable");
}

static void takes_any_order(void **state)
{
    (void)state;
    struct slice_msg m;
    static const char other[] = "\xde\x00\x03" SLICE V RUN; /* a wider head says the same */
    assert_int_equal(slice_msg_decode(other, sizeof other - 1, &m, NULL), 0);
    assert_int_equal(m.slice, 7);
    assert_memory_equal(m.run.b, "0123456789abcdef", 16);
}

/* Deep nesting reaches msgpack's own bound; all lengths are there, so it costs no memory. */
static void survives_depth(void **state)
{
    (void)state;
    char deep[SLICE_MSG_MAX];
    memset(deep, '\x91', sizeof deep);
    deep[sizeof deep - 1] = '\xc0';
    refused(deep, sizeof deep, "unreadable");
}

static size_t mutated(struct rng *r, uint8_t bytes[SLICE_MSG_MAX])
{
    struct slice_msg m = sample;
    size_t len = slice_msg_encode(&m, bytes);
    for (uint32_t n = 1 + rng_below(r, 4); n > 0; n--)
        bytes[rng_below(r, (uint32_t)len)] = (uint8_t)rng_next(r);
    if (rng_below(r, 4) == 0)
        len = rng_below(r, (uint32_t)len);
    if (rng_below(r, 4) == 0)
        while (len < SLICE_MSG_MAX && rng_below(r, 8) != 0)
            bytes[len++] = (uint8_t)rng_next(r);
    return len;
}

static void survives_mutation(void **state)
{
    (void)state;
    struct rng r = unit_rng();
    unsigned accepted = 0;
    for (int i = 0; i < 100000; i++) {
        uint8_t bytes[SLICE_MSG_MAX];
        size_t len = mutated(&r, bytes);
        uint8_t *exact = malloc(len + 1); /* so that reading beyond is seen */
        assert_non_null(exact);
        memcpy(exact + 1, bytes, len);
        struct slice_msg m;
        struct err err = ERR_INIT;
        if (slice_msg_decode(exact + 1, len, &m, &err) == 0) {
            accepted++;
            assert_true(m.slice >= 0);
        } else {
            assert_err(err, ERR_PROTOCOL);
        }
        free(exact);
    }
    assert_in_range(accepted, 1, 99999); /* a changed run id is still a message */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a message is a msgpack map of version, run and slice", has_these_bytes),
        TEST("what is encoded is decoded, and fits into 64 bytes", comes_back),
        TEST("fields come in any order and any width", takes_any_order),
        TEST("another version, and missing, repeated, unknown or odd fields are refused",
             refuses_other_maps),
        TEST("bytes that are not one object are refused before they cost memory",
             refuses_other_bytes),
        TEST("deep nesting is refused", survives_depth),
        TEST("100,000 mutations are decoded or refused, and nothing else", survives_mutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
