/* Tests buf.c: the invariants of buf.h after every operation. */
#include "buf.h"
#include "unit.h"

static void holds(const struct buf *b, const char *expected)
{
    assert_int_equal(b->len, strlen(expected));
    assert_memory_equal(b->data, expected, b->len + 1); /* with the zero */
}

static void appends(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    holds(&b, "");
    assert_int_equal(buf_str(&b, "one", NULL), 0);
    assert_int_equal(buf_append(&b, " two", 4, NULL), 0);
    assert_int_equal(buf_append(&b, NULL, 0, NULL), 0);
    assert_int_equal(buf_printf(&b, NULL, " %d", 3), 0);
    holds(&b, "one two 3");
    char *room = buf_extend(&b, 2, NULL);
    assert_non_null(room);
    memcpy(room, "45", 2);
    holds(&b, "one two 345");
    buf_clear(&b);
    holds(&b, "");
    assert_int_equal(buf_u32be(&b, 0x41424344, NULL), 0);
    holds(&b, "ABCD");
    buf_release(&b);
    holds(&b, "");
    assert_int_equal(b.max, 1000);
    assert_int_equal(buf_str(&b, "again", NULL), 0);
    buf_release(&b);
}

static void stops_at_its_cap(void **state)
{
    (void)state;
    struct buf b;
    struct err err = ERR_INIT;
    buf_init(&b, 5);
    assert_int_equal(buf_str(&b, "1234", &err), 0);
    assert_int_equal(buf_str(&b, "56", &err), -1);
    assert_err(err, ERR_LIMIT);
    holds(&b, "1234");
    assert_int_equal(buf_printf(&b, &err, "%d", 56), -1);
    assert_int_equal(buf_u32be(&b, 1, &err), -1);
    assert_null(buf_extend(&b, SIZE_MAX, &err));
    holds(&b, "1234");
    assert_int_equal(buf_str(&b, "5", &err), 0);
    holds(&b, "12345");
    buf_release(&b);
}

/* Against a plain array: any sequence of operations gives the same bytes. */
static void follows_a_model(void **state)
{
    (void)state;
    struct rng r = unit_rng();
    char model[300];
    for (int round = 0; round < 200; round++) {
        struct buf b;
        size_t len = 0, max = rng_below(&r, sizeof model);
        buf_init(&b, max);
        for (int step = 0; step < 100; step++) {
            char bytes[64];
            size_t n = rng_below(&r, sizeof bytes);
            memset(bytes, (int)('a' + step % 26), sizeof bytes);
            if (rng_below(&r, 10) == 0) {
                buf_clear(&b);
                len = 0;
            } else if (buf_append(&b, bytes, n, NULL) == 0) {
                memcpy(model + len, bytes, n);
                len += n;
            } else {
                assert_true(len + n > max);
            }
            assert_int_equal(b.len, len);
            assert_memory_equal(b.data, model, len);
            assert_int_equal(b.data[len], 0);
        }
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("what is appended is there, with a zero behind it", appends),
        TEST("an append over the cap fails and changes nothing", stops_at_its_cap),
        TEST("any sequence of operations agrees with a plain array", follows_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
