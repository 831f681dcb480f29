/* Tests backoff.c. */
#include "backoff.h"
#include "unit.h"

static void replays(void **state)
{
    (void)state;
    struct rng a, b, c;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = rng_next(&a);
        assert_int_equal(x, rng_next(&b));
        same += x == rng_next(&c);
    }
    assert_int_equal(same, 0);
}

static void stays_below(void **state)
{
    (void)state;
    struct rng r = unit_rng();
    unsigned seen[10] = {0};
    assert_int_equal(rng_below(&r, 0), 0);
    assert_int_equal(rng_below(&r, 1), 0);
    for (int i = 0; i < 100000; i++)
        seen[rng_below(&r, 10)]++;
    for (int i = 0; i < 10; i++) /* 10,000 each; ten standard deviations are 950 */
        assert_in_range(seen[i], 9050, 10950);
}

static void keeps_its_bounds(void **state)
{
    (void)state;
    struct rng r = unit_rng();
    for (int i = 0; i < 10000; i++) {
        int64_t min = rng_below(&r, 1000);
        int64_t max = min + rng_below(&r, 100000);
        int64_t previous = rng_below(&r, 200000);
        int64_t wait = backoff_next(&r, previous, min, max);
        int64_t from = previous > min ? previous : min;
        assert_true(wait >= min && wait <= max && wait <= 3 * from);
    }
    assert_int_equal(backoff_next(&r, 0, 100, 100), 100);
    assert_int_equal(backoff_next(&r, 0, 100, 50), 50);
    assert_int_equal(backoff_next(&r, 0, 0, 1000), 0);
    int64_t huge = backoff_next(&r, INT64_MAX, 1, INT64_MAX);
    assert_true(huge >= 1);
}

static void grows_and_spreads(void **state)
{
    (void)state;
    struct rng r = unit_rng();
    int64_t longest = 0, first_low = 1000, first_high = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t wait = backoff_next(&r, 0, 100, 10000);
        first_low = wait < first_low ? wait : first_low;
        first_high = wait > first_high ? wait : first_high;
        for (int k = 0; k < 10; k++)
            wait = backoff_next(&r, wait, 100, 10000);
        longest = wait > longest ? wait : longest;
    }
    assert_true(first_low < 120 && first_high > 280 && first_high <= 300);
    assert_true(longest > 9000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a seed replays, and another seed is another sequence", replays),
        TEST("a number below n is below n, each equally often", stays_below),
        TEST("a wait is between its bounds and at most three times the one before",
             keeps_its_bounds),
        TEST("waits spread from the first on and grow to their maximum", grows_and_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
