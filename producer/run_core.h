/* The producer's decisions: which run to lead, when to plan the next pages, which slices to publish
 * and how far ahead, which to ring again, when to close. No I/O, no clock: it is told what happened
 * (the run_core_* functions) and asks for what shall happen (struct run_ops). In the program the
 * world behind the ops is libpq and librdkafka; in tests/sim it is a simulation.
 *
 * Rules it keeps (design 1, 3, 5, 6, 11):
 *  - the database decides what is planned, settled, closed and whose lease it is; this core only
 *    asks, and goes by the answers;
 *  - planning never waits for publishing; publishing draws unpublished slices from the plan, the
 *    runs of an engine in turn, never further ahead than the bound;
 *  - of a run with a rate no more slices are drawn than the rate allows;
 *  - a slice is rung again only when the group has read past it, or stands still;
 *  - a lost answer is asked again, never assumed; a page that the database refuses for good is
 *    asked for LIMIT_PLAN_REFUSALS times, then the run is failed;
 *  - a topic has at least the partitions that its engine's row, or a planned slice, names.
 *
 * None of the ops may call back into the core before it returns. Each op with an answer gets it
 * exactly once; `failed` answers mean: not known, ask again. */
#ifndef REVEILLE_RUN_CORE_H
#define REVEILLE_RUN_CORE_H

#include "err.h"
#include "limits.h"
#include "uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run_core;

struct lead_ref { /* a run this producer leads, in an answer */
    uint32_t slot, generation;
};

enum run_state { RUN_PLANNING, RUN_RUNNING, RUN_COMPLETED, RUN_PARTIAL, RUN_CANCELLED, RUN_FAILED };
const char *run_state_name(enum run_state s);
bool run_state_parse(const char *text, enum run_state *ret_s);
bool run_state_ended(enum run_state s);

/* A run as open_run gave it to us. */
struct opened_run {
    struct uuid run_id;
    int64_t fence;
    char job_name[41], component[41], engine[41];
    char triggered_by[16], evaluation_date[11];
    enum run_state state; /* RUN_PLANNING or RUN_RUNNING */
    bool has_cursor;
    struct uuid cursor;   /* the last subject planned */
    int slices;           /* planned so far */
    int topic_partitions; /* of its engine */
    int page_size;        /* subjects a slice, at most */
    int rate;             /* subjects a second, at most; 0: no limit */
    bool takeover;        /* another producer has led it, and its lease had ended */
    int64_t waited_ms;    /* from the request to now; -1: a takeover */
};

enum plan_outcome { PLAN_MORE, PLAN_LAST, PLAN_STALE };
struct planned_pages {
    bool failed;         /* no answer; nothing else holds, but: */
    const char *refused; /* lent: why the database will not plan it, now or later; NULL: unknown */
    enum plan_outcome outcome;
    enum run_state state; /* of the run, after the call */
    bool has_cursor;
    struct uuid cursor;
    int slices; /* planned in all, after the call */
};

struct drawn_slice {
    int32_t slice_no, partition;
};

struct run_progress {
    bool failed;
    bool found; /* false: no such run any more */
    enum run_state state;
    int slices, pending;
    int64_t planned; /* subjects; -1 while planning */
};

struct overdue_slice {
    int32_t slice_no, partition;
    int64_t published_offset; /* -1: never published */
};

enum renew_result { RENEWED, RENEW_LOST, RENEW_FAILED };

/* What is worth a log line or a number; lent during the call. */
enum run_note_kind {
    RUN_NOTE_STARTED,
    RUN_NOTE_TAKEN_OVER,
    RUN_NOTE_PLANNED,
    RUN_NOTE_LOST,
    RUN_NOTE_ENDED,
    RUN_NOTE_RUNG_AGAIN,
    RUN_NOTE_DELIVERY_FAILED,
};
struct run_note {
    enum run_note_kind kind;
    const struct opened_run *run;
    int slices;          /* PLANNED: in all; RUNG_AGAIN, DELIVERY_FAILED: how many */
    int64_t subjects;    /* PLANNED */
    const char *summary; /* ENDED: the summary's JSON */
};

struct run_ops {
    void *world;
    int64_t (*now_ms)(void *world); /* monotonic */
    void (*open)(void *world);      /* → run_core_opened */
    void (*plan)(void *world, struct lead_ref ref, const struct opened_run *run,
                 int pages); /* → run_core_planned */
    /* Slices not yet published, behind slice `after` (-1: from the first), in order. →
     * run_core_drawn */
    void (*draw)(void *world, struct lead_ref ref, const struct uuid *run, int after, int limit);
    /* Hands one slice's address to Kafka: true when taken (→ run_core_delivered). */
    bool (*publish)(void *world, struct lead_ref ref, const struct opened_run *run,
                    int32_t slice_no, int32_t partition);
    void (*note_published)(void *world, struct lead_ref ref, const struct uuid *run,
                           const int32_t *slices, const int64_t *offsets,
                           int n); /* → run_core_noted */
    void (*progress)(void *world, struct lead_ref ref,
                     const struct uuid *run); /* → run_core_progressed */
    void (*overdue)(void *world, struct lead_ref ref, const struct uuid *run,
                    int limit); /* → run_core_overdue */
    /* The workers' committed offsets of that engine's topic. → run_core_committed */
    void (*committed)(void *world, const char *engine, int partitions);
    void (*renew)(void *world, struct lead_ref ref,
                  const struct opened_run *run); /* → run_core_renewed */
    void (*close)(void *world, struct lead_ref ref,
                  const struct opened_run *run); /* → run_core_closed */
    /* Ends a run that cannot be planned. → run_core_closed */
    void (*fail)(void *world, struct lead_ref ref, const struct opened_run *run, const char *why);
    void (*give_up)(void *world, struct lead_ref ref,
                    const struct opened_run *run); /* → run_core_given_up */
    void (*end_overdue)(void *world); /* runs past their deadline; no answer is awaited */
    void (*watch)(void *world);       /* missed slots, alerts; no answer is awaited */
    void (*ensure_topic)(void *world, const char *engine, int partitions); /* → run_core_topic */
    void (*stopped)(void *world);                                          /* the drain is over */
    void (*note)(void *world, const struct run_note *note);
};

struct run_core *run_core_new(const struct run_ops *ops, struct err *err);
void run_core_free(struct run_core *c);

/* ---- what happened ----------------------------------------------------------------------- */
/* An engine's row was read: its topic is made sure of, with as many partitions. */
void run_core_engine(struct run_core *c, const char *engine, int partitions);
/* Somebody asked for a job (NOTIFY, HTTP): look for a run to open now. */
void run_core_rung(struct run_core *c);
/* Whether LISTEN works; decides how often requests are polled for. */
void run_core_listening(struct run_core *c, bool proven);
void run_core_opened(struct run_core *c, bool failed,
                     const struct opened_run *run); /* NULL: none */
void run_core_planned(struct run_core *c, struct lead_ref ref, const struct planned_pages *pages);
void run_core_drawn(struct run_core *c, struct lead_ref ref, bool failed,
                    const struct drawn_slice *slices, int n);
void run_core_delivered(struct run_core *c, struct lead_ref ref, int32_t slice_no,
                        int32_t partition, bool ok, int64_t offset);
void run_core_noted(struct run_core *c, struct lead_ref ref, bool failed);
void run_core_progressed(struct run_core *c, struct lead_ref ref,
                         const struct run_progress *progress);
void run_core_overdue(struct run_core *c, struct lead_ref ref, bool failed,
                      const struct overdue_slice *slices, int n);
void run_core_committed(struct run_core *c, const char *engine, const int64_t *offsets,
                        int n); /* NULL: failed */
void run_core_renewed(struct run_core *c, struct lead_ref ref, enum renew_result result);
/* The run's summary when it has ended (by us or by anybody), NULL when it is still open. */
void run_core_closed(struct run_core *c, struct lead_ref ref, bool failed, const char *summary);
void run_core_given_up(struct run_core *c, struct lead_ref ref);
void run_core_topic(struct run_core *c, const char *engine, bool ok);
/* SIGTERM: open nothing more, give the leases up so that another producer goes on at once. */
void run_core_drain(struct run_core *c);
/* To be called when run_core_next_wake has come (earlier or later does no harm). */
void run_core_tick(struct run_core *c);
int64_t run_core_next_wake(const struct run_core *c);

/* ---- what is ----------------------------------------------------------------------------- */
int run_core_leads(const struct run_core *c);
/* The i-th run it leads, for metrics: lent until the next call into the core. */
const struct opened_run *run_core_lead(const struct run_core *c, int i,
                                       struct run_progress *ret_progress);

#endif
