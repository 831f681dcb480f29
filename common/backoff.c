/* See backoff.h. */
#include "backoff.h"

static uint64_t rotated(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

/* Spreads a seed over all bits, so that seeds 1, 2, 3 give unrelated sequences. */
static uint64_t mixed(uint64_t *seed)
{
    *seed += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *seed;
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

void rng_seed(struct rng *r, uint64_t seed)
{
    r->s[0] = mixed(&seed);
    r->s[1] = mixed(&seed); /* two successive outputs of mixed are never both zero */
}

uint64_t rng_next(struct rng *r)
{
    uint64_t a = r->s[0];
    uint64_t b = r->s[1];
    uint64_t result = rotated(a + b, 17) + a;
    b ^= a;
    r->s[0] = rotated(a, 49) ^ b ^ b << 21;
    r->s[1] = rotated(b, 28);
    return result;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

int64_t backoff_next(struct rng *r, int64_t previous_ms, int64_t min_ms, int64_t max_ms)
{
    int64_t min = min_ms < max_ms ? min_ms : max_ms;
    int64_t previous = previous_ms > min ? previous_ms : min;
    int64_t top = previous < max_ms / 3 ? previous * 3 : max_ms;
    if (top <= min)
        return min;
    return min + (int64_t)(rng_next(r) % (uint64_t)(top - min + 1));
}
