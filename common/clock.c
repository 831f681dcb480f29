/* See clock.h. */
#include "clock.h"

#include <stdio.h>
#include <time.h>

#define LAST_SECOND \
    INT64_C(253402300799) /* 9999-12-31T23:59:59Z: the last with a four-digit year */

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t); /* these two clocks always exist, and t is ours: it cannot fail */
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

void clock_iso(int64_t wall_us, char *out)
{
    int64_t us = wall_us < 0 ? 0 : wall_us;
    int64_t s = us / 1000000;
    time_t seconds = (time_t)(s > LAST_SECOND ? LAST_SECOND : s);
    struct tm t;
    gmtime_r(&seconds, &t);
    size_t len = strftime(out, CLOCK_ISO_SIZE, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out + len, CLOCK_ISO_SIZE - len, ".%03uZ", (unsigned)(us / 1000 % 1000));
}
