/* The database, as far as the two cores can tell it from the real one: runs, slices, leases, claims
 * and shares, with the outcomes and the rules of the SQL functions of the same names. Each function
 * is one transaction. No faults here: whether and when a call arrives is statement.h's business.
 *
 * Rows are open to the checker, which only reads them. */
#ifndef REVEILLE_SIM_MODEL_DB_H
#define REVEILLE_SIM_MODEL_DB_H

#include "pool_core.h"
#include "run_core.h"
#include "world.h"

enum db_slice_state { DB_PENDING, DB_DONE, DB_UNREACHED };

struct db_slice {
    int first, n; /* subjects: places in the run's roster */
    int partition;
    enum db_slice_state state;
    int attempt;
    int64_t claimed_by;                               /* process_name; 0: nobody */
    int64_t moved_at, published_at, published_offset; /* -1: never */
    int rings;
    int evaluated, skipped, errors, unreached, dispatched, suppressed;
    unsigned failed; /* a bit each subject that ended as an error */
};

struct db_run {
    int job;
    struct uuid id;
    enum run_state state;
    bool shadow, pruned; /* pruned: there is no such row any more */
    int parent;          /* of a replay: the run's index; -1: none */
    int page_size;
    int rate;                                  /* subjects a second; 0: as fast as it goes */
    int roster;                                /* subjects */
    int16_t chosen[SLICES_MAX * SUBJECTS_MAX]; /* a replay's: places in the job's roster */
    int64_t locked_until;                      /* a page that is under way holds its row's lock */
    int cursor;                                /* subjects planned so far */
    int slices;
    int planned; /* subjects; -1 while planning */
    struct db_slice slice[SLICES_MAX];
    int64_t holder, fence, lease_until, deadline_at, requested_at;
    int total_evaluated, total_skipped, total_errors, total_unreached;
};

struct db_job {
    int engine, roster, page_size;
    int requests; /* pending */
    int64_t requested_at;
    int64_t broken_until; /* its source raises an error until then */
    bool *notified;       /* owned, roster: within its cooldown */
};

struct db_share {
    int64_t worker; /* process_name; 0: the row without a name */
    int granted, want;
    int64_t until, seq, starved_since; /* -1: not starving */
};

#define SHARES_MAX 64
struct db_engine {
    int concurrency, current, partitions;
    int64_t closed_since, paused_until, moved_at, halved_at, last_success_at; /* -1: null */
    int probes;
    char recent[21];
    struct db_share share[SHARES_MAX];
    int shares;
};

struct model_db {
    struct world *world;
    struct db_job job[JOBS_MAX];
    struct db_run run[RUNS_MAX];
    int runs;
    struct db_engine engine[ENGINES_MAX];
};

struct model_db *model_db_new(struct world *w);
void model_db_free(struct model_db *db);

/* ---- model_db.c: the producer's functions, and what an operator does */
void model_db_request(struct model_db *db, int job);
/* NULL: nothing to open. */
struct db_run *model_db_open_run(struct model_db *db, int64_t holder, bool *ret_takeover);
/* Whether the page may be planned: it is being planned, that is its cursor, and the lease holds. */
bool model_db_may_plan(const struct model_db *db, const struct db_run *r, int64_t holder,
                       int64_t fence, int cursor);
/* Adds them, whoever asks. False: refused, the job's source is broken. */
bool model_db_add_pages(struct model_db *db, struct db_run *r, int pages,
                        struct planned_pages *ret);
/* Both in one. */
bool model_db_plan_page(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence,
                        int cursor, int pages, struct planned_pages *ret);
int model_db_draw(struct model_db *db, const struct uuid *id, int after, int limit,
                  struct drawn_slice *ret_slices);
void model_db_note_published(struct model_db *db, const struct uuid *id, const int32_t *slices,
                             const int64_t *offsets, int n);
void model_db_progress(struct model_db *db, const struct uuid *id, struct run_progress *ret);
int model_db_overdue(struct model_db *db, const struct uuid *id, int limit,
                     struct overdue_slice *ret_slices);
bool model_db_renew(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence);
void model_db_give_up(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence);
/* A subject's place in its job's roster, by its place in the run's. */
int model_db_position(const struct db_run *r, int place);
void model_db_add_slice(struct model_db *db, struct db_run *r);

/* ---- model_ending.c: how runs end */
/* True: it has ended, now or before. */
bool model_db_close(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence);
bool model_db_fail(struct model_db *db, const struct uuid *id, int64_t holder, int64_t fence);
void model_db_cancel(struct model_db *db, struct db_run *r, enum run_state state);
void model_db_end_overdue(struct model_db *db);
struct db_run *model_db_run(struct model_db *db, const struct uuid *id); /* NULL: no such run */
int64_t
model_db_ring_wait(const struct db_slice *s); /* after going stale, until it is rung again */

/* ---- model_operator.c: what an operator does */
/* NULL: refused (it, or a replay of it, is open), or nobody is left to replay. */
struct db_run *model_db_open_replay(struct model_db *db, struct db_run *of, bool errors,
                                    bool unreached, int page_size);
/* Whether the subject's last outcome is an error, or unreached; of a run or any replay of it. */
bool model_db_unresolved(const struct model_db *db, const struct db_run *parent, int position);
void model_db_set_limit(struct model_db *db, int engine, int concurrency);
/* False: it is open, or has or is a replay. */
bool model_db_prune(struct model_db *db, struct db_run *r);

/* ---- model_slice.c: the worker's functions */
bool model_db_holds(struct model_db *db, const struct uuid *id,
                    int slice); /* there is such a slice */
struct db_claim {
    enum claim_outcome outcome;
    int stale_ms, attempt;
};
void model_db_claim(struct model_db *db, const struct uuid *id, int slice, int64_t worker,
                    struct db_claim *ret);
bool model_db_touch(struct model_db *db, const struct uuid *id, int slice, int64_t worker);
void model_db_release(struct model_db *db, const struct uuid *id, int slice, int64_t worker);
/* verdicts: a letter a subject: 'k' skipped, 'd' dispatch, 's' suppress, 'e' error. */
/* The same for a bulk engine: judges as well, unless somebody else lives on the slice. */
void model_db_judge(struct model_db *db, const struct uuid *id, int slice, int64_t worker,
                    bool each, struct settle_answer *ret);
bool model_db_settle(struct model_db *db, const struct uuid *id, int slice, int64_t worker,
                     const char *verdicts, struct settle_answer *ret); /* false: not pending */

/* ---- model_share.c */
/* False: the ask came too late (no row). */
bool model_db_ask_share(struct model_db *db, int engine, int64_t worker, int want,
                        const struct share_report *report, struct share_answer *ret);
/* What that worker may rely on now: the row as it stands. */
const struct db_share *model_db_share(const struct model_db *db, int engine, int64_t worker);
/* The server crashed: the table of shares, which is unlogged, is empty. */
void model_db_forget_shares(struct model_db *db);

/* ---- subjects: what they are follows from their place in the roster */
struct uuid model_db_subject(int job, int position);
bool model_db_eligible(const struct world *w, int job, int position);
enum subject_kind { SUBJECT_DUE, SUBJECT_NOT_DUE, SUBJECT_NONSENSE, SUBJECT_SICK, SUBJECT_POISON };
enum subject_kind model_db_kind(const struct world *w, int job, int position);

#endif
