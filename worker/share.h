/* One worker's part of one engine's limit: when to ask for it, what to report, how many calls may
 * start now. The number itself is lent by the database (ask_share); this is the borrower's side of
 * the contract, without I/O.
 *
 * What it guarantees: calls in flight never exceed what was lent, for as long as the lease lasts,
 * counted from before the ask; and while an ask is under way, or its answer was lost, never exceed
 * what that ask reported. */
#ifndef REVEILLE_SHARE_H
#define REVEILLE_SHARE_H

#include "backoff.h"
#include "limits.h"
#include "pool_core.h"

struct share {
    int64_t timeout_ms; /* the longest call: none is started that could outlive the lease */
    int granted;        /* lent, until lease_until */
    int64_t lease_until;
    bool probe; /* one call, then ask */
    bool probe_spent;
    int in_flight;
    int64_t held[LIMIT_SHARE_HELD]; /* when each place kept after a refusal is free again */
    int held_count;
    bool asking;
    int64_t asked_at;
    int reported; /* busy of the last ask whose answer has not arrived; -1: it has */
    int64_t seq;
    int want, asked_want;         /* what the pool could use now; what was asked for */
    int64_t ask_at;               /* the database wants to hear of us again by then */
    int64_t failed_ask_at;        /* no ask because of a failure before this */
    bool failed;                  /* a call failed since the last ask */
    bool over_share;              /* more in flight than granted when the last answer came */
    int64_t outage_since;         /* the engine is down since then; -1: it is not */
    int64_t answered_ask;         /* when the last ask that was answered was made; -1: none */
    struct share_report gathered; /* since the last report that arrived */
    int sent_tries, sent_ok;      /* how much of it the ask under way carries */
    int sent_retry_after_ms;      /* … which is not in gathered meanwhile */
};

void share_init(struct share *s, int64_t timeout_ms, int64_t now);

/* How many more calls may start now. */
int share_room(struct share *s, int64_t now);
void share_call_started(struct share *s);
/* first: it was the subject's first try (only those count for the engine's health). */
void share_call_ended(struct share *s, int64_t now, const struct answer *a, bool first);
/* n calls were given up unanswered; their places are kept for a while, too. */
void share_calls_aborted(struct share *s, int64_t now, int n);

/* What the pool could use now: calls in flight, and subjects that wait for one. */
void share_set_want(struct share *s, int64_t now, int want);

/* True when it is time to ask: *ret_report is what to send, and an answer is awaited. */
bool share_ask(struct share *s, int64_t now, struct share_report *ret_report);
void share_lent(struct share *s, int64_t now, const struct share_answer *a);

/* The next instant at which share_ask or share_room may answer something new. */
int64_t share_next(const struct share *s, int64_t now);

#endif
