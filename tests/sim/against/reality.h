/* The real side: a migrated PostgreSQL whose functions read the time from the test, so that both
 * sides have the same clock to the millisecond. Only the clock is taken out of them: each
 * function's own text is created again with sim.now() where it had clock_timestamp(). */
#ifndef REVEILLE_REALITY_H
#define REVEILLE_REALITY_H

#include "attrs.h"

#include <libpq-fe.h>
#include <stdint.h>

#define REALITY_TEXT 16384

/* Once a database: the clock, jobs 0 and 1 (of the engine http) and their rosters' source. */
void reality_prepare(PGconn *pg);

/* As if nothing had been: empty tables, an engine with that limit, rosters of that size. */
void reality_reset(PGconn *pg, int concurrency, const int roster[2], const int page_size[2]);

void reality_set_clock(PGconn *pg, int64_t ms);

/* One statement. The answer as text, into ret: cells parted by |, rows by ;, nulls as -; or
 * "error SQLSTATE". */
void reality_ask(PGconn *pg, char ret[REALITY_TEXT], const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
