/* The checker's books, for its own files only. */
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
    bool orphan;   /* its partition was given back meanwhile: late work, nobody waits for it */
    bool settling; /* settle was asked for: what was decided then stands */
};

struct worker_book {
    struct holding held[HOLDINGS_MAX];
    int count;
    int releases;  /* asked for and not answered */
    bool touching; /* asked for and not answered */
    int64_t touched_at;
    int64_t leave_hard; /* when a drain is over in any case; 0: none */
    uint8_t busy[RUNS_MAX][SLICES_MAX];
    struct { /* the last answer that told of an outage: what failed since then is not charged */
        int64_t since, told_at; /* 0: none */
    } outage[ENGINES_MAX];
    int64_t answered_ask[ENGINES_MAX]; /* when the last ask that was answered was made */
};

struct judge_book { /* a judge under way at a bulk engine, of whoever, alive or not */
    struct address of;
    struct pool_ref hand;
    int engine;
    int64_t until; /* it is over by then, whether somebody hears of it or not */
};
#define JUDGES_MAX 64

struct limit_book {     /* of an engine */
    int before;         /* the most it was before it was changed, for as long as leases last */
    int64_t changed_at; /* 0: never */
    int64_t idle_since; /* some of it is not lent, though it is wanted; 0: not so */
};

struct checker {
    int settled[RUNS_MAX][SLICES_MAX];
    bool passed[RUNS_MAX][SLICES_MAX]; /* found busy twice: its owner lives, the offset may pass */
    struct {
        int slices; /* published */
        int64_t since;
    } pace[RUNS_MAX]; /* of a run with a rate */
    bool published[RUNS_MAX][SLICES_MAX];
    int notified[JOBS_MAX][SLICES_MAX * SUBJECTS_MAX];
    struct claim_book claim[RUNS_MAX][SLICES_MAX];
    struct worker_book worker[WORKERS_MAX];
    struct judge_book judge[JUDGES_MAX];
    int judges;
    struct limit_book limit[ENGINES_MAX];
    char last[RUNS_MAX][SLICES_MAX * SUBJECTS_MAX]; /* verdicts by place, 'u' unreached, 0 none */
    int64_t forgotten_at;                           /* the table of shares was lost; 0: never */
};

/* ---- checker_worker.c */
struct holding *checker_holding(struct world *w, struct address a,
                                struct pool_ref hand); /* NULL: none */
void checker_claim_kept(struct world *w, struct address a, struct pool_ref hand, int run);

/* ---- checker_engine.c */
int checker_limit(const struct world *w, int engine); /* so many at a time are allowed now */

#endif
