/* What the files of the producer's core share: a run that is led, an engine's topic, the core. Not
 * for anybody else; run_core.h is the contract. */
#ifndef REVEILLE_RUN_CORE_INTERNAL_H
#define REVEILLE_RUN_CORE_INTERNAL_H

#include "limits.h"
#include "run_core.h"

#define SENT_MAX (LIMIT_AHEAD_MAX + LIMIT_PUBLISH_BATCH)
#define TOPICS_MAX 8
#define NO_TOPIC (-1)

/* A slice's address on its way: handed to Kafka, reported, noted in the plan. */
struct sent {
    int32_t slice_no, partition;
    enum { SENT_OUT, SENT_DELIVERED, SENT_NOTING } state;
    int64_t offset; /* from SENT_DELIVERED on */
};

struct lead {
    uint32_t generation;
    bool used;
    struct opened_run run; /* slices and cursor move as planning goes on */
    int topic;             /* index of its engine's topic */
    bool planning_over;
    bool first_page;  /* planned alone, so that workers can begin */
    int64_t subjects; /* -1 while planning */

    bool plan_asked, draw_asked, progress_asked, overdue_asked, renew_asked, close_asked,
        note_asked;
    bool give_up_asked;
    int64_t plan_wait; /* the last back-off after a plan that got no answer */
    int refusals;      /* pages refused for good, one after the other */
    int64_t plan_at, draw_at, progress_at, overdue_at, renew_at;
    int64_t rate_us;            /* with a rate: when the next slice may go, or could have gone */
    int draw_limit, draw_known; /* of the draw under way: limit, and slices planned then */
    bool stale;                 /* the plan moved without us: adopt it if the lease is still ours */
    struct planned_pages moved;

    int after; /* the last slice drawn for publishing; -1: none */
    struct sent sent[SENT_MAX];
    int sent_count;
    int failed_deliveries; /* since the last note; the next one is at say_failed_at */
    int64_t say_failed_at;
    struct overdue_slice overdue[LIMIT_AHEAD_MAX];
    int overdue_count; /* waiting for the group's offsets */

    struct run_progress progress;
    bool progress_known;
    int done_at_start;
    int64_t started_ms;
};

#define NOT_DELIVERED (-1) /* no report yet, or none from this log */

struct topic_part {
    int64_t committed;  /* the group's; -1: none */
    int64_t changed_ms; /* since when it stands still, with something to read */
    int64_t delivered;  /* the last offset a delivery report gave; -1 */
    bool anew;          /* a report went back: the log was made anew */
};

struct topic {
    char engine[41];
    int partitions;
    int asked; /* partitions of the last ensure_topic */
    enum { TOPIC_UNKNOWN, TOPIC_ASKED, TOPIC_READY } state;
    int64_t ensure_at;
    struct topic_part *part; /* owned, partitions of them */
    bool committed_known, committed_asked;
    int64_t committed_ms; /* when it was read */
    int turn;             /* the lead that draws next */
    int64_t span_start;   /* slices done in this span and in the one before */
    int span_done, span_before;
};

struct run_core {
    struct run_ops ops;
    int64_t now;
    struct lead lead[LIMIT_RUNS_HELD];
    struct topic topic[TOPICS_MAX];
    int topic_count;
    bool open_asked, rung_meanwhile, listening, draining, stopped;
    int64_t open_at, end_overdue_at, watch_at;
};

/* ---- run_core.c */
void run_core_pump(struct run_core *c);
struct lead *lead_find(struct run_core *c, struct lead_ref ref);
struct lead_ref lead_ref(const struct run_core *c, const struct lead *l);
void lead_note(struct run_core *c, const struct lead *l, enum run_note_kind kind, int slices,
               const char *summary);
/* ---- run_publish.c: the plan's slices on their way to Kafka */
/* Its index, made when it is new; one with fewer partitions grows. NO_TOPIC: no room. */
int topic_find(struct run_core *c, const char *engine, int partitions);
/* That many from now on; false: no memory, they stay as they are. */
bool topic_resize(struct run_core *c, struct topic *t, int partitions);
void topic_ensure(struct run_core *c, struct topic *t);
void publish_draw(struct run_core *c, int topic);
bool publish_one(struct run_core *c, struct lead *l, int32_t slice_no, int32_t partition);
void publish_note(struct run_core *c, struct lead *l);
void publish_say_failed(struct run_core *c, struct lead *l, bool now); /* one line a burst */
int publish_ahead(const struct lead *l);                               /* published and not done */
void publish_done(struct run_core *c, struct topic *t, int slices);
bool publish_under_way(const struct lead *l, int32_t slice_no);
/* ---- run_reconcile.c: ring again */
void reconcile_ask(struct run_core *c, struct lead *l);

#endif
