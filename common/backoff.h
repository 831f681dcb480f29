/* When to try again: decorrelated jitter between two bounds. No clock, no sleep: it answers a
 * number. The random numbers are seedable, so that a simulation replays. */
#ifndef REVEILLE_BACKOFF_H
#define REVEILLE_BACKOFF_H

#include <stdint.h>

/* xoshiro-like generator of ours; not for secrets. */
struct rng {
    uint64_t s[2];
};
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* 0 … n-1; 0 when n is 0 */

/* The wait after a failure: a random number between min_ms and three times the wait before
 * (previous_ms; 0 before the first), never above max_ms. */
int64_t backoff_next(struct rng *r, int64_t previous_ms, int64_t min_ms, int64_t max_ms);

#endif
