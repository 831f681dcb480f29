/* The two clocks, and how times are written. The cores never call this: they are told the time. */
#ifndef REVEILLE_CLOCK_H
#define REVEILLE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic, from an arbitrary start; the only one deadlines are counted on. */
int64_t clock_mono_us(void);
int64_t clock_mono_ms(void);

/* Unix time in microseconds; for log lines only, never for a decision. */
int64_t clock_wall_us(void);

/* Writes ISO 8601 UTC with milliseconds, e.g. 2026-11-21T06:00:00.123Z; `out` holds at least
 * CLOCK_ISO_SIZE bytes. */
#define CLOCK_ISO_SIZE 25
void clock_iso(int64_t wall_us, char *out);

#endif
