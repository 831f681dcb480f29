/* Stands in the core's place for the tests of what surrounds it: writes down each thing that an
 * adapter tells the core (run_core.h), so that the answer itself can be looked at and not only what
 * the core makes of it. It decides nothing. Include it in one file of a program, whose adapters
 * then speak to it instead of run_core.c. */
#ifndef REVEILLE_CORE_WITNESS_H
#define REVEILLE_CORE_WITNESS_H

#include "unit.h"

#include "core_wake.h"
#include "loop.h"
#include "run_core.h"

#define WITNESS_SLICES 8
#define WITNESS_OFFSETS 16

struct run_core {
    struct loop *loop; /* stopped whenever something is told */
    bool asking;       /* within a call of the adapter: nothing may be told now */
    int64_t next_wake; /* what run_core_next_wake answers */
    int ticks, told;   /* told: of everything below */
    int opens, plans, draws, notes, progresses, overdues, renewals, closes, give_ups;
    int rings, listens, engines, topics, commits, deliveries;
    /* of the last one */
    struct lead_ref ref;
    bool failed, none; /* none: no run, no summary, no offsets */
    struct opened_run run;
    struct planned_pages pages;
    char refused[400]; /* why a page was; "": it was not */
    struct drawn_slice drawn[WITNESS_SLICES];
    struct overdue_slice overdue[WITNESS_SLICES];
    int n;
    struct run_progress progress;
    enum renew_result renewed;
    char summary[4096];
    bool proven;
    char engine[41];
    int partitions;
    bool topic_ok;
    int64_t offsets[WITNESS_OFFSETS];
    int delivered_ok;
    int32_t slice_no, partition;
    int64_t offset;
    int seen[4096]; /* how often each slice was reported as delivered, or as not */
};

static inline void witness_told(struct run_core *c)
{
    assert_false(c->asking);
    c->told++;
    loop_stop(c->loop);
}

static inline void witness_answer(struct run_core *c, struct lead_ref ref, bool failed)
{
    c->ref = ref;
    c->failed = failed;
    witness_told(c);
}

void run_core_tick(struct run_core *c)
{
    c->ticks++;
    witness_told(c);
}

int64_t run_core_next_wake(const struct run_core *c)
{
    return c->next_wake;
}

void run_core_opened(struct run_core *c, bool failed, const struct opened_run *run)
{
    c->opens++;
    c->none = run == NULL;
    if (run != NULL) {
        c->run = *run;
    }
    witness_answer(c, (struct lead_ref){0, 0}, failed);
}

void run_core_planned(struct run_core *c, struct lead_ref ref, const struct planned_pages *pages)
{
    c->plans++;
    c->pages = *pages;
    c->pages.refused = NULL; /* was lent */
    snprintf(c->refused, sizeof(c->refused), "%s", pages->refused != NULL ? pages->refused : "");
    witness_answer(c, ref, pages->failed);
}

void run_core_drawn(struct run_core *c, struct lead_ref ref, bool failed,
                    const struct drawn_slice *slices, int n)
{
    assert_in_range(n, 0, WITNESS_SLICES);
    c->draws++;
    c->n = n;
    for (int i = 0; i < n; i++) {
        c->drawn[i] = slices[i];
    }
    witness_answer(c, ref, failed);
}

void run_core_delivered(struct run_core *c, struct lead_ref ref, int32_t slice_no,
                        int32_t partition, bool ok, int64_t offset)
{
    c->deliveries++;
    c->delivered_ok += ok;
    c->slice_no = slice_no;
    c->partition = partition;
    c->offset = offset;
    assert_in_range(slice_no, 0, 4095);
    c->seen[slice_no]++;
    witness_answer(c, ref, !ok);
}

void run_core_noted(struct run_core *c, struct lead_ref ref, bool failed)
{
    c->notes++;
    witness_answer(c, ref, failed);
}

void run_core_progressed(struct run_core *c, struct lead_ref ref,
                         const struct run_progress *progress)
{
    c->progresses++;
    c->progress = *progress;
    witness_answer(c, ref, progress->failed);
}

void run_core_overdue(struct run_core *c, struct lead_ref ref, bool failed,
                      const struct overdue_slice *slices, int n)
{
    assert_in_range(n, 0, WITNESS_SLICES);
    c->overdues++;
    c->n = n;
    for (int i = 0; i < n; i++) {
        c->overdue[i] = slices[i];
    }
    witness_answer(c, ref, failed);
}

void run_core_committed(struct run_core *c, const char *engine, const int64_t *offsets, int n)
{
    assert_in_range(n, 0, WITNESS_OFFSETS);
    c->commits++;
    c->none = offsets == NULL;
    c->n = n;
    snprintf(c->engine, sizeof(c->engine), "%s", engine);
    for (int i = 0; i < n; i++) {
        c->offsets[i] = offsets[i];
    }
    witness_told(c);
}

void run_core_renewed(struct run_core *c, struct lead_ref ref, enum renew_result result)
{
    c->renewals++;
    c->renewed = result;
    witness_answer(c, ref, result == RENEW_FAILED);
}

void run_core_closed(struct run_core *c, struct lead_ref ref, bool failed, const char *summary)
{
    c->closes++;
    c->none = summary == NULL;
    snprintf(c->summary, sizeof(c->summary), "%s", summary != NULL ? summary : "");
    witness_answer(c, ref, failed);
}

void run_core_given_up(struct run_core *c, struct lead_ref ref)
{
    c->give_ups++;
    witness_answer(c, ref, false);
}

void run_core_topic(struct run_core *c, const char *engine, bool ok)
{
    c->topics++;
    c->topic_ok = ok;
    snprintf(c->engine, sizeof(c->engine), "%s", engine);
    witness_told(c);
}

void run_core_rung(struct run_core *c)
{
    c->rings++;
    witness_told(c);
}

void run_core_listening(struct run_core *c, bool proven)
{
    c->listens++;
    c->proven = proven;
    witness_told(c);
}

void run_core_engine(struct run_core *c, const char *engine, int partitions)
{
    c->engines++;
    c->partitions = partitions;
    snprintf(c->engine, sizeof(c->engine), "%s", engine);
    witness_told(c);
}

#endif
