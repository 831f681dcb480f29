/* What every unit test needs: cmocka with its includes in order, sentences as titles, random
 * numbers that can be replayed, and files for a moment. Not a place for helpers of one module's
 * test. */
#ifndef REVEILLE_UNIT_H
#define REVEILLE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backoff.h"
#include "err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEST(sentence, function)                    \
    {                                               \
        .name = (sentence), .test_func = (function) \
    }

#define assert_err(err, expected_class) \
    assert_string_equal(err_class_name((err).cls), err_class_name(expected_class))

/* Starts random numbers and prints their seed; UNIT_SEED=N replays a run. */
static inline struct rng unit_rng(void)
{
    const char *given = getenv("UNIT_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("UNIT_SEED=%llu\n", (unsigned long long)seed);
    struct rng r;
    rng_seed(&r, seed);
    return r;
}

/* A file with these bytes; its name goes into path. The test unlinks it. */
#define UNIT_PATH_SIZE 64
static inline void unit_file(char path[UNIT_PATH_SIZE], const void *bytes, size_t len)
{
    snprintf(path, UNIT_PATH_SIZE, "/tmp/reveille-unit-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

#endif
