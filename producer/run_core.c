/* The runs a producer leads: opened, planned, watched, closed, or handed on. The contract is
 * run_core.h; run_publish.c brings slices to Kafka, run_reconcile.c rings again. */
#include "run_core_internal.h"

#include <stdlib.h>

struct run_core *run_core_new(const struct run_ops *ops, struct err *err)
{
    struct run_core *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)err_set(err, ERR_SYSTEM, "ENOMEM", "no memory for the runs");
        return NULL;
    }
    c->ops = *ops;
    c->now = ops->now_ms(ops->world);
    c->open_at = c->now;
    c->end_overdue_at = c->now;
    c->watch_at = c->now;
    return c;
}

void run_core_free(struct run_core *c)
{
    if (c == NULL)
        return;
    for (int i = 0; i < c->topic_count; i++)
        free(c->topic[i].part);
    free(c);
}

struct lead_ref lead_ref(const struct run_core *c, const struct lead *l)
{
    return (struct lead_ref){(uint32_t)(l - c->lead), l->generation};
}

struct lead *lead_find(struct run_core *c, struct lead_ref ref)
{
    if (ref.slot >= LIMIT_RUNS_HELD)
        return NULL;
    struct lead *l = &c->lead[ref.slot];
    return l->used && l->generation == ref.generation ? l : NULL;
}

void lead_note(struct run_core *c, const struct lead *l, enum run_note_kind kind, int slices,
               const char *summary)
{
    struct run_note note = {.kind = kind,
                            .run = &l->run,
                            .slices = slices,
                            .subjects = l->subjects,
                            .summary = summary};
    c->ops.note(c->ops.world, &note);
}

static void lead_drop(struct run_core *c, struct lead *l)
{
    publish_say_failed(c, l, true);
    l->used = false;
    c->open_at = c->now; /* a request may wait behind this run */
}

/* ---- open -------------------------------------------------------------------------------- */

static struct lead *free_lead(struct run_core *c)
{
    for (int i = 0; i < LIMIT_RUNS_HELD; i++)
        if (!c->lead[i].used)
            return &c->lead[i];
    return NULL;
}

static void open_runs(struct run_core *c)
{
    if (c->open_asked || c->draining || c->now < c->open_at || free_lead(c) == NULL)
        return;
    c->open_asked = true;
    c->rung_meanwhile = false;
    c->ops.open(c->ops.world);
}

static void lead_begin(struct run_core *c, struct lead *l, const struct opened_run *run, int topic)
{
    uint32_t generation = l->generation + 1;
    *l = (struct lead){.generation = generation,
                       .used = true,
                       .run = *run,
                       .topic = topic,
                       .planning_over = run->state == RUN_RUNNING,
                       .first_page = run->slices == 0,
                       .subjects = -1,
                       .plan_at = c->now,
                       .draw_at = c->now,
                       .rate_us = c->now * 1000,
                       .progress_at = c->now + (run->takeover ? 0 : PROGRESS_MIN_MS),
                       .overdue_at = c->now + RECONCILE_MS,
                       .renew_at = c->now + LEASE_RENEW_MS,
                       .after = -1,
                       .started_ms = c->now};
    lead_note(c, l, run->takeover ? RUN_NOTE_TAKEN_OVER : RUN_NOTE_STARTED, run->slices, NULL);
}

void run_core_opened(struct run_core *c, bool failed, const struct opened_run *run)
{
    c->now = c->ops.now_ms(c->ops.world);
    c->open_asked = false;
    if (failed)
        c->open_at = c->now + OPEN_AGAIN_MS;
    else if (run == NULL && !c->rung_meanwhile)
        c->open_at = c->now + (c->listening ? INBOX_POLL_LISTENING_MS : INBOX_POLL_MS);
    else
        c->open_at = c->now; /* there may be more */
    if (run != NULL) {
        int topic = topic_find(c, run->engine, run->topic_partitions);
        struct lead *l = free_lead(c);
        /* without room its lease ends, and another producer, or we, take it up again */
        if (topic != NO_TOPIC && l != NULL)
            lead_begin(c, l, run, topic);
    }
    run_core_pump(c);
}

void run_core_rung(struct run_core *c)
{
    c->now = c->ops.now_ms(c->ops.world);
    c->open_at = c->now;
    c->rung_meanwhile = true;
    run_core_pump(c);
}

void run_core_listening(struct run_core *c, bool proven)
{
    c->listening = proven;
    run_core_rung(c); /* what was asked for meanwhile was not heard */
}

void run_core_engine(struct run_core *c, const char *engine, int partitions)
{
    c->now = c->ops.now_ms(c->ops.world);
    int i = topic_find(c, engine, partitions);
    if (i != NO_TOPIC) /* the row may also have been set back */
        (void)topic_resize(c, &c->topic[i], partitions);
    run_core_pump(c);
}

/* ---- plan -------------------------------------------------------------------------------- */

static void plan(struct run_core *c, struct lead *l)
{
    if (l->planning_over || l->plan_asked || l->close_asked || l->stale || c->now < l->plan_at)
        return;
    l->plan_asked = true;
    int pages = l->first_page ? 1 : LIMIT_PAGES_PER_PLAN;
    c->ops.plan(c->ops.world, lead_ref(c, l), &l->run, pages);
}

static void adopt(struct run_core *c, struct lead *l, const struct planned_pages *pages)
{
    l->run.has_cursor = pages->has_cursor;
    l->run.cursor = pages->cursor;
    l->run.slices = pages->slices;
    l->first_page = false;
    if (pages->state != RUN_PLANNING) {
        l->planning_over = true;
        l->run.state = RUN_RUNNING;
        l->progress_at = c->now;
    }
}

/* It may have been done, if there was no answer: then the next one is stale. */
static void plan_failed(struct run_core *c, struct lead *l, const char *refused)
{
    l->plan_wait = l->plan_wait == 0 ? ASK_AGAIN_MS : l->plan_wait * 2;
    l->plan_wait = l->plan_wait < PLAN_AGAIN_MAX_MS ? l->plan_wait : PLAN_AGAIN_MAX_MS;
    l->plan_at = c->now + l->plan_wait;
    if (refused == NULL || ++l->refusals < LIMIT_PLAN_REFUSALS || l->close_asked || c->draining)
        return;
    l->close_asked = true;
    c->ops.fail(c->ops.world, lead_ref(c, l), &l->run, refused);
}

void run_core_planned(struct run_core *c, struct lead_ref ref, const struct planned_pages *pages)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    l->plan_asked = false;
    if (!pages->failed)
        l->plan_wait = l->refusals = 0;
    if (pages->failed) {
        plan_failed(c, l, pages->refused);
    } else if (pages->outcome == PLAN_STALE) {
        l->stale = true;
        l->moved = *pages;
        l->renew_at = c->now; /* the lease says whether the plan is still ours to go on with */
    } else {
        adopt(c, l, pages);
    }
    run_core_pump(c);
}

/* ---- lease ------------------------------------------------------------------------------- */

static void renew(struct run_core *c, struct lead *l)
{
    if (l->renew_asked || c->now < l->renew_at)
        return;
    l->renew_asked = true;
    l->renew_at = c->now + LEASE_RENEW_MS;
    c->ops.renew(c->ops.world, lead_ref(c, l), &l->run);
}

void run_core_renewed(struct run_core *c, struct lead_ref ref, enum renew_result result)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    l->renew_asked = false;
    switch (result) {
    case RENEWED:
        if (l->stale && l->renew_at > c->now) {
            l->stale = false;
            adopt(c, l, &l->moved);
        }
        break;
    case RENEW_FAILED:
        l->renew_at = c->now + ASK_AGAIN_MS;
        break;
    case RENEW_LOST:
        lead_note(c, l, RUN_NOTE_LOST, 0, NULL);
        lead_drop(c, l);
        break;
    }
    run_core_pump(c);
}

/* ---- progress and close ------------------------------------------------------------------ */

/* A quarter of the time until something is expected to change: the end of the run, or of what is
 * published ahead. */
static int64_t next_look(const struct run_core *c, const struct lead *l)
{
    int done = l->progress.slices - l->progress.pending - l->done_at_start;
    int64_t elapsed = c->now - l->started_ms;
    if (done <= 0)
        return elapsed < PROGRESS_MAX_MS ? PROGRESS_MIN_MS : PROGRESS_MAX_MS / 4;
    int waiting = publish_ahead(l);
    if (waiting == 0 || waiting > l->progress.pending)
        waiting = l->progress.pending;
    int64_t ms = (int64_t)waiting * elapsed / done / 4;
    if (ms < PROGRESS_MIN_MS)
        return PROGRESS_MIN_MS;
    return ms < PROGRESS_MAX_MS ? ms : PROGRESS_MAX_MS;
}

static void look(struct run_core *c, struct lead *l)
{
    if (l->progress_asked || l->close_asked || c->now < l->progress_at)
        return;
    l->progress_asked = true;
    c->ops.progress(c->ops.world, lead_ref(c, l), &l->run.run_id);
}

static void close_run(struct run_core *c, struct lead *l)
{
    if (l->close_asked || l->give_up_asked)
        return;
    l->close_asked = true;
    c->ops.close(c->ops.world, lead_ref(c, l), &l->run);
}

static void progressed(struct run_core *c, struct lead *l, const struct run_progress *now)
{
    int was = l->progress_known ? l->progress.slices - l->progress.pending : 0;
    int is = now->slices - now->pending;
    if (!l->progress_known)
        l->done_at_start = l->run.takeover ? is : 0;
    else
        publish_done(c, &c->topic[l->topic], is - was);
    l->progress = *now;
    l->progress_known = true;
    if (now->planned >= 0 && l->subjects < 0) {
        l->subjects = now->planned;
        lead_note(c, l, RUN_NOTE_PLANNED, now->slices, NULL);
    }
    bool all_done = now->state == RUN_RUNNING && now->pending == 0;
    if (all_done || run_state_ended(now->state))
        close_run(c, l);
    l->progress_at = c->now + next_look(c, l);
}

void run_core_progressed(struct run_core *c, struct lead_ref ref,
                         const struct run_progress *progress)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    l->progress_asked = false;
    if (progress->failed) {
        l->progress_at = c->now + ASK_AGAIN_MS;
    } else if (!progress->found) {
        lead_note(c, l, RUN_NOTE_LOST, 0, NULL);
        lead_drop(c, l);
    } else {
        progressed(c, l, progress);
    }
    run_core_pump(c);
}

void run_core_closed(struct run_core *c, struct lead_ref ref, bool failed, const char *summary)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    l->close_asked = false;
    if (failed || summary == NULL) {
        l->progress_at = c->now + ASK_AGAIN_MS;
        l->renew_at = c->now; /* perhaps somebody else leads it by now */
    } else {
        lead_note(c, l, RUN_NOTE_ENDED, l->progress.slices, summary);
        lead_drop(c, l);
    }
    run_core_pump(c);
}

/* ---- drain ------------------------------------------------------------------------------- */

static void hand_on(struct run_core *c, struct lead *l)
{
    if (l->give_up_asked || l->plan_asked || l->close_asked || l->renew_asked)
        return; /* a renewal that came after it would take the lease back */
    l->give_up_asked = true;
    c->ops.give_up(c->ops.world, lead_ref(c, l), &l->run);
}

void run_core_given_up(struct run_core *c, struct lead_ref ref)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l != NULL)
        lead_drop(c, l);
    run_core_pump(c);
}

void run_core_drain(struct run_core *c)
{
    c->now = c->ops.now_ms(c->ops.world);
    c->draining = true;
    run_core_pump(c);
}

/* ---- the pump ---------------------------------------------------------------------------- */

/* From a drain on a lead is only handed on: what comes after that here need not ask about it. */
static void lead_step(struct run_core *c, struct lead *l)
{
    if (c->draining) {
        hand_on(c, l);
        return;
    }
    plan(c, l);
    renew(c, l);
    look(c, l);
    publish_note(c, l);
    reconcile_ask(c, l);
    publish_say_failed(c, l, false);
}

void run_core_pump(struct run_core *c)
{
    open_runs(c);
    if (!c->draining && c->now >= c->end_overdue_at) {
        c->end_overdue_at = c->now + OVERDUE_RUNS_MS;
        c->ops.end_overdue(c->ops.world);
    }
    if (!c->draining && c->now >= c->watch_at) {
        c->watch_at = c->now + WATCHDOG_MS;
        c->ops.watch(c->ops.world);
    }
    for (int i = 0; i < LIMIT_RUNS_HELD; i++)
        if (c->lead[i].used)
            lead_step(c, &c->lead[i]);
    for (int i = 0; i < c->topic_count; i++) {
        if (!c->draining)
            topic_ensure(c, &c->topic[i]);
        publish_draw(c, i);
    }
    if (c->draining && !c->stopped && !c->open_asked && run_core_leads(c) == 0) {
        c->stopped = true;
        c->ops.stopped(c->ops.world);
    }
}

void run_core_tick(struct run_core *c)
{
    c->now = c->ops.now_ms(c->ops.world);
    run_core_pump(c);
}

static void sooner(int64_t *wake, bool waits, int64_t at)
{
    if (!waits && at < *wake)
        *wake = at;
}

/* Only what will really be done then counts: what waits for an answer is woken by it. */
int64_t run_core_next_wake(const struct run_core *c)
{
    int64_t wake = INT64_MAX;
    if (c->draining)
        return wake;
    sooner(&wake, c->open_asked || run_core_leads(c) == LIMIT_RUNS_HELD, c->open_at);
    sooner(&wake, false, c->end_overdue_at);
    sooner(&wake, false, c->watch_at);
    for (int i = 0; i < LIMIT_RUNS_HELD; i++) {
        const struct lead *l = &c->lead[i];
        if (!l->used)
            continue;
        bool no_topic = c->topic[l->topic].state != TOPIC_READY;
        sooner(&wake, l->plan_asked || l->close_asked || l->planning_over || l->stale, l->plan_at);
        sooner(&wake, l->renew_asked, l->renew_at);
        sooner(&wake, l->progress_asked || l->close_asked, l->progress_at);
        sooner(&wake, l->overdue_asked || l->overdue_count > 0 || no_topic, l->overdue_at);
        sooner(&wake, l->draw_asked || no_topic || l->draw_at <= c->now, l->draw_at);
        sooner(&wake, l->failed_deliveries == 0, l->say_failed_at);
    }
    for (int i = 0; i < c->topic_count; i++)
        sooner(&wake, c->topic[i].state != TOPIC_UNKNOWN, c->topic[i].ensure_at);
    return wake;
}

int run_core_leads(const struct run_core *c)
{
    int n = 0;
    for (int i = 0; i < LIMIT_RUNS_HELD; i++)
        n += c->lead[i].used;
    return n;
}

const struct opened_run *run_core_lead(const struct run_core *c, int i,
                                       struct run_progress *ret_progress)
{
    for (int k = 0; k < LIMIT_RUNS_HELD; k++) {
        if (!c->lead[k].used || i-- > 0)
            continue;
        *ret_progress = c->lead[k].progress;
        ret_progress->failed = !c->lead[k].progress_known;
        return &c->lead[k].run;
    }
    return NULL;
}
