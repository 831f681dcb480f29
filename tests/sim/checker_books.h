/* The checker's books, for its two files only. */
#ifndef REVEILLE_SIM_CHECKER_BOOKS_H
#define REVEILLE_SIM_CHECKER_BOOKS_H

#include "pool_core.h"
#include "world.h"

#define HOLDINGS_MAX 256

struct claim_book { /* of a slice, as the database was told */
    int64_t owner, alive_at;
};

struct holding { /* a slice that a worker was told is its own */
    struct pool_ref hand;
    int run, slice;
    int64_t told_at;
    bool orphan; /* its partition was given back meanwhile: late work, nobody waits for it */
};

struct worker_book {
    struct holding held[HOLDINGS_MAX];
    int count;
    int releases;  /* asked for and not answered */
    bool touching; /* asked for and not answered */
    int64_t touched_at;
    int64_t leave_hard; /* when a drain is over in any case; 0: none */
    uint8_t busy[RUNS_MAX][SLICES_MAX];
};

struct judge_book { /* a judge under way at a bulk engine, of whoever, alive or not */
    struct address of;
    struct pool_ref hand;
    int engine;
    int64_t until; /* it is over by then, whether somebody hears of it or not */
};
#define JUDGES_MAX 64

struct checker {
    int settled[RUNS_MAX][SLICES_MAX];
    bool passed[RUNS_MAX][SLICES_MAX]; /* found busy twice: its owner lives, the offset may pass */
    int notified[JOBS_MAX][SLICES_MAX * SUBJECTS_MAX];
    struct claim_book claim[RUNS_MAX][SLICES_MAX];
    struct worker_book worker[WORKERS_MAX];
    struct judge_book judge[JUDGES_MAX];
    int judges;
    int64_t forgotten_at; /* the table of shares was lost; 0: never */
};

#endif
