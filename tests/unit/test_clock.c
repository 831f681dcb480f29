/* Tests clock.c. */
#include "clock.h"
#include "unit.h"

static void writes(int64_t us, const char *expected)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(us, text);
    assert_string_equal(text, expected);
}

static void writes_iso(void **state)
{
    (void)state;
    writes(0, "1970-01-01T00:00:00.000Z");
    writes(INT64_C(1795240800123999), "2026-11-21T06:00:00.123Z");
    writes(INT64_C(951782399000000), "2000-02-28T23:59:59.000Z");
    writes(INT64_C(951782400000000), "2000-02-29T00:00:00.000Z");
}

static void stays_in_its_bytes(void **state)
{
    (void)state;
    writes(-1, "1970-01-01T00:00:00.000Z");
    writes(INT64_MAX, "9999-12-31T23:59:59.775Z");
}

static void runs_forward(void **state)
{
    (void)state;
    int64_t before = clock_mono_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_us();
        assert_true(now >= before);
        before = now;
    }
    int64_t ms = clock_mono_ms();
    assert_true(ms >= before / 1000 && ms <= clock_mono_us() / 1000);
    assert_true(llabs(clock_wall_us() / 1000000 - (int64_t)time(NULL)) <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("R-S4: times are ISO 8601 in UTC, with milliseconds", writes_iso),
        TEST("no time is too early or too late to be written", stays_in_its_bytes),
        TEST("the monotonic clock never goes back", runs_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
