/* What the files of the core share: a slice in hand, a partition's window, the pool itself. Not for
 * anybody else; pool_core.h is the contract. */
#ifndef REVEILLE_POOL_INTERNAL_H
#define REVEILLE_POOL_INTERNAL_H

#include "backoff.h"
#include "limits.h"
#include "pool_core.h"
#include "share.h"

/* A slice's life in this worker. The edges stand in pool_slice.c and in DESIGN.md. */
enum slice_state {
    S_WAITING,  /* taken from the partition, not claimed yet */
    S_CLAIMING, /* a claim is under way */
    S_BUSY,     /* somebody else lives on it: one more claim at again_at */
    S_JUDGING,  /* ours; subjects are open */
    S_CHECKING, /* all judged, but a failure may belong to an outage: the next ask tells */
    S_SETTLING, /* settle is under way */
    S_RETRY,    /* settle or a later claim did not work: again at again_at */
    S_DONE,     /* settled, by us or by somebody: its offset may pass */
    S_GONE,     /* given up: its offset stays */
};

#define NO_SLOT UINT32_MAX

struct slice_in_hand {
    uint32_t slot, generation;
    bool used;
    uint32_t older, newer; /* the engine's list, in the order they were taken */
    enum slice_state state;
    int engine;
    int part; /* index of its partition; -1: that was taken back meanwhile */
    int64_t offset;
    struct uuid run;
    int32_t slice;
    char traceparent[56];

    struct claim *claim;      /* owned; from the first claim that was ours */
    struct subject *subjects; /* owned, claim->n */
    int open;                 /* subjects without a verdict, those in flight included; a bulk
                                 engine's slice counts as one, until it is settled */
    int untried;              /* of them: never called */
    int in_flight;
    int next;         /* no untried subject before this one */
    int64_t next_due; /* of its retries, earliest; INT64_MAX: none waits */
    int calls_done;
    const char *last_class; /* of the last failure; NULL */
    int64_t failed_at;      /* when a call last failed; 0: never */
    int64_t last_failure;   /* of a subject that ended with a network or timeout error; 0: none */
    bool begun;             /* a call was started */
    bool alone;             /* from its third attempt on */

    int64_t claimed_at, again_at, wait_ms;
    int64_t renewed_at; /* when its claim was last asked for, or its renewal */
    bool busy_before;   /* was busy once */
    bool claim_first;   /* S_RETRY: look whether it is ours before settling; S_WAITING: a claim
                           failed, it may be ours */
    bool abandoned;     /* its claim is not wanted any more: release it when it comes */
    int settle_tries;
    bool each, careful;
};

#define WAITING_GUESS 100 /* subjects of a slice that is not claimed yet, for wishes */
#define WINDOW_MAX (LIMIT_WINDOW_UNFINISHED + LIMIT_WINDOW_FINISHED)

struct window {
    struct pool_part id;
    bool dry; /* take said no; wait to be told */
    int unfinished;
    int head, count; /* ring */
    struct {
        int64_t offset;
        bool finished;
    } entry[WINDOW_MAX];
};

struct engine_desk {
    struct pool_engine cfg;
    struct share share;
    uint32_t oldest, newest; /* its slices */
    int waiting;             /* slices in S_WAITING or S_CLAIMING */
    int claimed;             /* slices in S_JUDGING with subjects never called */
    int open;                /* subjects without a verdict in S_JUDGING, those in flight included */
    uint32_t alone;          /* the slice that this engine's calls are for alone now, or NO_SLOT */
    int current;             /* as of the last answer, for the metric */
    bool closed;             /* as of the last answer */
};

enum leaving { STAYING, REVOKING, DRAINING, LEFT };

struct pool {
    struct pool_ops ops;
    struct rng rng;
    int64_t now;
    int engine_count;
    struct engine_desk desk[POOL_ENGINES_MAX];
    struct slice_in_hand slots[POOL_SLOTS];
    uint32_t free_slots[POOL_SLOTS];
    int free_count;
    struct window part[LIMIT_PARTITIONS];
    int part_count;
    bool look; /* a partition may have something to take */

    int64_t touch_at; /* next renewal of claims */
    bool touching;
    struct pool_ref touched[POOL_SLOTS];

    enum leaving leaving;
    bool unassign_due; /* a revoke waits for its answer */
    int64_t leave_by, leave_hard;
    int releases; /* under way */
    uint64_t edges[POOL_STATES * POOL_STATES];
};

/* ---- pool_core.c: the pump */
void pool_pump(struct pool *p);
/* ---- pool_slice.c: one slice's life */
void slice_new(struct pool *p, int part, const struct pool_message *m); /* a slot must be free */
struct slice_in_hand *slice_find(struct pool *p, struct pool_ref ref);
struct slice_in_hand *slice_next(struct pool *p,
                                 const struct slice_in_hand *s); /* newer, same engine */
struct slice_in_hand *slice_oldest(struct pool *p, int engine);
bool slice_in_hand_already(struct pool *p, const struct uuid *run, int32_t slice);
void slice_enter(struct pool *p, struct slice_in_hand *s, enum slice_state to);
void slice_claim(struct pool *p, struct slice_in_hand *s);
void slice_finish(struct pool *p, struct slice_in_hand *s); /* → S_DONE, window, freed */
void slice_drop(struct pool *p, struct slice_in_hand *s);   /* → S_GONE, freed */
/* One that has not begun: its claim is released, and made again when its turn has come. */
void slice_give_back(struct pool *p, struct slice_in_hand *s);
void slice_note(struct pool *p, const struct slice_in_hand *s, enum pool_note_kind kind,
                const struct err *err);
bool slice_holds_claim(const struct slice_in_hand *s);
void slice_later(struct pool *p, struct slice_in_hand *s); /* again after a moment that grows */
bool slice_is_bulk(const struct pool *p, const struct slice_in_hand *s);
/* ---- pool_settle.c: the end of it */
void slice_settle(struct pool *p, struct slice_in_hand *s);
void slice_judged(struct pool *p, struct slice_in_hand *s);  /* no subject is open any more */
void slice_checked(struct pool *p, struct slice_in_hand *s); /* whether it may be settled now */
/* ---- pool_calls.c: subjects and the engine's limit */
void calls_start(struct pool *p, int engine);
void calls_judged(struct pool *p, struct slice_in_hand *s,
                  const struct settle_answer *a); /* its place is free again */
void calls_abort(struct pool *p, struct slice_in_hand *s);
void calls_want(struct pool *p, int engine);
void calls_ask(struct pool *p, int engine);
/* ---- pool_window.c: partitions and offsets */
void window_take_all(struct pool *p);
void window_finished(struct pool *p, int part, int64_t offset);
/* ---- pool_leave.c: revoke and drain */
void leave_step(struct pool *p);

#endif
