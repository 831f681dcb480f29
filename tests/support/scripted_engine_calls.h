/* The witness: who called, how many calls were in flight at once, and a line a call in a file. It
 * reports and never deduplicates; at every moment
 *     calls_requests = lines written or buffered + calls_in_flight.
 * Knows nothing of HTTP or sockets; every call it is told of it is told twice, when it was read
 * whole and when it ended.
 *
 * A line: unix_time_us mentor_id idempotency_key status scenario_types in_flight action
 *     time           when the request had been read whole; lines stand in the order of their ends
 *     status         as sent; 0: the client got no whole answer (hang, reset, it went away)
 *     scenario_types joined by commas; in_flight counts the call itself, at its arrival
 *     action         what the engine meant to do (scripted_engine_action.def, or the status)
 * Fields are written by out_field: "-" where the request did not say. */
#ifndef REVEILLE_SCRIPTED_ENGINE_CALLS_H
#define REVEILLE_SCRIPTED_ENGINE_CALLS_H

#include "scripted_engine_body.h"
#include "scripted_engine_script.h"
#include "scripted_engine_text.h"
#include "scripted_engine_why.h"

#include <stdbool.h>
#include <stdint.h>

struct calls;

/* Appends to the file, or, with NULL, keeps the lines in a nameless temporary one. */
struct calls *calls_new(const char *path, struct why *why);
void calls_free(struct calls *c); /* without flushing */

struct call {
    int64_t at_us; /* Unix time */
    int in_flight;
};

/* A request was read whole. goes_on: its client is still there; without it the call is counted and
 * logged, but never in flight. Fills *ret_call, which calls_ended wants back. */
int calls_arrived(struct calls *c, const struct evaluation *ev, bool goes_on, struct call *ret_call,
                  struct why *why);

/* The same call ended; status 0: without an answer. now_us is the caller's monotonic clock. */
int calls_ended(struct calls *c, const struct call *call, const struct evaluation *ev,
                struct text key, const struct action *action, int status, int64_t now_us,
                struct why *why);

/* Writes out what is buffered. -1: the file does not take it, and the witness must stop. */
int calls_flush(struct calls *c, struct why *why);

/* When calls_flush is next wanted, on the clock of calls_ended; INT64_MAX: nothing is buffered. */
int64_t calls_flush_due(const struct calls *c);

int64_t calls_requests(const struct calls *c);
int64_t calls_mentors(const struct calls *c); /* distinct ids */
int calls_in_flight(const struct calls *c);
int calls_max_in_flight(const struct calls *c);
void calls_reset_max(struct calls *c); /* to what is in flight now */

/* Reading back what this process wrote, up to the moment of calls_rewind; only the first four
 * fields of each line. */
struct calls_cursor {
    int64_t at, end;
};

int calls_rewind(struct calls *c, struct calls_cursor *ret_cursor, struct why *why); /* flushes */

/* Appends whole lines to o, which has room for CALLS_READ_MAX bytes. *ret_more is false when
 * nothing was left to append. */
#define CALLS_READ_MAX 65536
int calls_read(struct calls *c, struct calls_cursor *cursor, struct out *o, bool *ret_more,
               struct why *why);

#endif
