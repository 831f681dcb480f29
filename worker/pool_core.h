/* The worker's decisions: which message to take, which slice to claim, which call to start, when to
 * settle, which offset to store, what to give up. No I/O, no clock, no thread: it is told what
 * happened (the pool_* functions) and asks for what shall happen (struct pool_ops). In the program
 * the world behind the ops is librdkafka, libcurl and libpq; in tests/sim it is a simulation.
 *
 * Rules it keeps (design 1, 3, 6, 7, 11):
 *  - an offset is stored only when every slice up to it is settled, or known to be settled;
 *  - a slice is judged only under a claim that is renewed every CLAIM_RENEW_MS;
 *  - calls in flight never exceed what share.h says is lent;
 *  - a slice of a bulk engine takes one place of the lent limit, however many subjects it has;
 *  - when partitions are taken back, claims are given back before unassign is asked for;
 *  - after an unknown commit the slice is claimed again before anything else.
 *
 * None of the ops may call back into the pool before it returns. Each asked-for thing that has an
 * answer gets it exactly once, except calls of an aborted slice. */
#ifndef REVEILLE_POOL_CORE_H
#define REVEILLE_POOL_CORE_H

#include "engine.h"
#include "limits.h"
#include "outcome.h"

#include <stdbool.h>
#include <stdint.h>

struct pool;

/* Slices in hand at most; half of them may be orphans of partitions that were taken back. What
 * waits for an answer about a slice has a place for each. */
#define POOL_SLOTS (2 * LIMIT_PARTITIONS * LIMIT_WINDOW_UNFINISHED)

struct pool_ref {              /* a slice in hand */
    uint32_t slot, generation; /* slot < POOL_SLOTS */
};

struct pool_part { /* a partition of an engine's topic */
    int engine;    /* index into the configuration's engines */
    int32_t partition;
};

struct pool_message {
    int64_t offset;
    const char *bad; /* NULL: readable; else a constant: why it is a dead letter */
    struct uuid run;
    int32_t slice;
    char traceparent[56];
};

/* The outcome of one subject when its slice is settled. */
enum subject_state { SUBJECT_OPEN, SUBJECT_SKIPPED, SUBJECT_JUDGED, SUBJECT_FAILED };

struct subject {
    enum subject_state state;
    uint8_t tries; /* charged tries so far */
    bool in_flight;
    int64_t due_ms;        /* not to be called before */
    int64_t wait_ms;       /* the last back-off */
    int64_t failed_ms;     /* when its last try failed; 0: never */
    struct answer *answer; /* owned; the verdict, or the last failure */
};

/* What settle writes; lent until pool_settled. */
struct pool_outcome {
    struct uuid run;
    int32_t slice;
    const struct claim *claim;
    const struct subject *subjects; /* claim->n, none of them SUBJECT_OPEN */
    bool each;                      /* subject by subject, after a data error */
    bool careful;                   /* with the look-up, after a refused duplicate */
};

/* What a bulk engine judges; lent until the op returns. */
struct pool_judge {
    struct uuid run;
    int32_t slice;
    bool each, careful; /* as above */
};

enum settle_result {
    SETTLE_DONE,     /* committed; the numbers hold */
    SETTLE_NOT_OPEN, /* the slice was not pending any more: somebody settled it, or the run ended */
    SETTLE_DUPLICATE, /* 23505: settle again, carefully */
    SETTLE_BAD_DATA,  /* SQLSTATE 22, 23, 54: settle again, subject by subject */
    SETTLE_TRANSIENT, /* deadlock, serialization, lock wait: again after a moment */
    SETTLE_UNKNOWN,   /* the link was lost: it may have been committed; claim first */
    SETTLE_FORBIDDEN, /* no right, no such function: it will be refused again */
    SETTLE_REFUSED,   /* refused for another reason: err says which; again after a longer moment */
};

struct subject_failure {
    struct uuid subject;
    const char *cls, *text;
};

/* What a settle, or a judge, brought. */
struct settle_answer {
    enum settle_result result;
    struct err err;
    /* the rest with SETTLE_DONE only */
    int evaluated, skipped, errors, dispatched, suppressed;
    const struct subject_failure *failures; /* lent; whose the errors are, as far as memory went */
    int failure_count;                      /* … and how many of them are here */
};

struct share_report {
    int64_t seq;            /* grows with each ask of this worker and engine */
    int busy;               /* calls in flight and places kept */
    char tries[65];         /* first tries ended since the last report that arrived, in order */
    int ok;                 /* calls that succeeded since then */
    int retry_after_ms;     /* the engine's wish; 0: none */
    int partitions, slices; /* held of this engine; for `reveille workers` */
};

struct share_answer {
    bool arrived; /* false: lost, refused, or too late; nothing else holds */
    int granted;
    int64_t lease_ms;  /* from before the ask */
    bool probe;        /* exactly one call, then ask */
    int64_t retry_ms;  /* ask again at the latest */
    int64_t outage_ms; /* how long the engine has been down; -1: it is not */
    int current;       /* calls at a time that its health allows the whole fleet */
};

/* What is worth a log line or a number; lent during the call. */
enum pool_note_kind {
    NOTE_CLAIMED,
    NOTE_SETTLED,
    NOTE_WORKER_LOST, /* settled by the claim: the claim's subjects are errors */
    NOTE_REDELIVERED,
    NOTE_LOST,
    NOTE_RELEASED,
    NOTE_SETTLE_RETRIED,
    NOTE_CLAIM_FAILED,
    NOTE_ENGINE_CLOSED,
    NOTE_ENGINE_OPEN,
};
struct pool_note {
    enum pool_note_kind kind;
    int engine;
    struct uuid run;
    int32_t slice;
    const struct claim *claim;           /* NULL where there is none */
    const struct subject *subjects;      /* NOTE_SETTLED: what the engine said; claim->n */
    const struct settle_answer *settled; /* NOTE_SETTLED */
    const struct err *err;               /* *_RETRIED, *_FAILED */
    const char *state;                   /* NOTE_LOST: what it was doing */
    int64_t duration_ms;                 /* NOTE_SETTLED: since the claim */
    int64_t outage_ms;                   /* NOTE_ENGINE_CLOSED */
};

struct pool_ops {
    void *world;
    int64_t (*now_ms)(void *world); /* monotonic */
    /* The next message of a partition: true and *ret_m, or false; then nothing is asked of this
     * partition until pool_messages_waiting. */
    bool (*take)(void *world, struct pool_part part, struct pool_message *ret_m);
    void (*claim)(void *world, int engine, struct pool_ref ref, const struct uuid *run,
                  int32_t slice);                                          /* → pool_claimed */
    void (*call)(void *world, int engine, const struct engine_call *call); /* → pool_answered */
    void (*abort_calls)(void *world, int engine, struct pool_ref ref); /* no answers after this */
    void (*settle)(void *world, struct pool_ref ref,
                   const struct pool_outcome *out); /* → pool_settled */
    /* Judges and settles a slice of a bulk engine. → pool_settled. SETTLE_NOT_OPEN: or somebody
     * else lives on it */
    void (*judge)(void *world, int engine, struct pool_ref ref, const struct pool_judge *judge);
    /* Renews n claims: numbers of calls done and the last error class (NULL: none). → pool_touched
     */
    void (*touch)(void *world, const struct pool_ref *refs, const struct uuid *runs,
                  const int32_t *slices, const int32_t *calls, const char *const *classes, int n);
    /* Gives n claims back. → pool_released once */
    void (*release)(void *world, const struct uuid *runs, const int32_t *slices, int n);
    void (*ask_share)(void *world, int engine, int want,
                      const struct share_report *report); /* → pool_lent */
    void (*store)(void *world, struct pool_part part, int64_t next);
    void (*dead_letter)(void *world, struct pool_part part, int64_t offset, const char *reason);
    void (*unassign)(void *world); /* the answer to pool_revoked */
    void (*leave)(void *world);    /* the drain is over: leave the group and stop */
    void (*note)(void *world, const struct pool_note *note);
};

struct pool_engine {
    const char *name;   /* borrowed */
    int64_t timeout_ms; /* the longest call */
    int bulk;           /* 0: asked subject by subject; else judged slice by slice, this many at a
                           time at most */
};

struct pool_config {
    const struct pool_engine *engines; /* copied */
    int engine_count;                  /* 1 … POOL_ENGINES_MAX */
    uint64_t seed;                     /* of the jitter */
};
#define POOL_ENGINES_MAX 8

struct pool *pool_new(const struct pool_config *cfg, const struct pool_ops *ops, struct err *err);
void pool_free(struct pool *p); /* asks for nothing any more */

/* ---- what happened ----------------------------------------------------------------------- */
void pool_assigned(struct pool *p, const struct pool_part *parts, int n);
/* All partitions are taken back. lost: too late, somebody else may have them. The pool asks for
 * unassign when its claims are given back, at the latest after REVOKE_GRACE_MS. */
void pool_revoked(struct pool *p, bool lost);
void pool_messages_waiting(struct pool *p); /* of whatever partition */
void pool_claimed(struct pool *p, struct pool_ref ref, struct claim *claim);    /* takes claim */
void pool_answered(struct pool *p, struct call_ref ref, struct answer *answer); /* takes answer */
void pool_settled(struct pool *p, struct pool_ref ref, const struct settle_answer *answer);
/* Those of the touched that are still ours; failed: the database did not say (nothing follows). */
void pool_touched(struct pool *p, const struct pool_ref *touched, int n, const bool *ours,
                  bool failed);
void pool_released(struct pool *p, bool failed);
void pool_lent(struct pool *p, int engine, const struct share_answer *answer);
/* SIGTERM: take nothing more; what has begun may end until drain_ms from now; then leave. */
void pool_drain(struct pool *p, int64_t drain_ms);
/* To be called when pool_next_wake has come (earlier or later does no harm). */
void pool_tick(struct pool *p);
/* The next instant (now_ms's clock) at which pool_tick has something to do. Ask after each call. */
int64_t pool_next_wake(const struct pool *p);

/* ---- what is ----------------------------------------------------------------------------- */
struct pool_numbers {
    int partitions, slices, calls; /* held, in hand, in flight */
    int share;                     /* lent, of that engine */
    int current;                   /* what its health allows the whole fleet */
    bool closed;                   /* the engine is */
};
struct pool_numbers pool_numbers(const struct pool *p, int engine);
/* How often each edge of a slice's life was taken; POOL_STATES × POOL_STATES, row = from. */
#define POOL_STATES 9
const uint64_t *pool_edges(const struct pool *p);
const char *pool_state_name(int state);
bool pool_edge_allowed(int from, int to);

#endif
