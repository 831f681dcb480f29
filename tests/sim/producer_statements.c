/* See producer_ops.h: what a producer asks of the model database. One kind of statement serves all:
 * which question it is, its arguments, and room for the answer. */
#include "checker.h"
#include "model_db.h"
#include "nemesis.h"
#include "producer_ops.h"
#include "statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MS 5000 /* a page's own deadline */

struct question {
    struct statement st;
    enum ask ask;
    struct lead_ref ref;
    struct uuid run;
    int64_t fence;
    int cursor, pages, after, limit;
    bool page_begun; /* its checks are done, its run's row is locked */
    int n;           /* of the arrays below */
    int32_t noted[SLICES_MAX * 2];
    int64_t offsets[SLICES_MAX * 2];
    /* answers */
    bool yes, refused;
    struct opened_run opened;
    struct planned_pages planned;
    struct run_progress progress;
    struct drawn_slice drawn[SLICES_MAX];
    struct overdue_slice overdue[SLICES_MAX];
};

/* ---- in the database ---------------------------------------------------------------------- */

static int cursor_of(const struct opened_run *r)
{
    return r->has_cursor ? (r->cursor.b[14] << 8 | r->cursor.b[15]) + 1 : 0;
}

static void open_one(struct world *w, struct question *q, int64_t holder)
{
    bool takeover;
    const struct db_run *r = model_db_open_run(w->db, holder, &takeover);
    q->yes = r != NULL;
    if (r == NULL)
        return;
    if (takeover)
        world_count(w, FAULT_TAKEOVER);
    const struct db_job *j = &w->db->job[r->job];
    q->opened = (struct opened_run){.run_id = r->id,
                                    .fence = r->fence,
                                    .state = r->state,
                                    .has_cursor = r->cursor > 0,
                                    .slices = r->slices,
                                    .page_size = r->page_size,
                                    .rate = r->rate,
                                    .topic_partitions = w->db->engine[j->engine].partitions,
                                    .takeover = takeover,
                                    .waited_ms = takeover ? -1 : w->now - r->requested_at};
    if (r->cursor > 0)
        q->opened.cursor = model_db_subject(r->job, r->cursor - 1);
    snprintf(q->opened.job_name, sizeof(q->opened.job_name), "job_%d", r->job);
    strcpy(q->opened.engine, producer_engine_name(j->engine));
}

/* True: somebody's page holds the lock of the run's row, and this waits for it. */
static bool waits(const struct world *w, struct question *q, const struct db_run *r)
{
    if (r == NULL || r->locked_until <= w->now)
        return false;
    q->st.waits_until = r->locked_until;
    return true;
}

/* A page has a beginning, where lease and cursor are looked at under the lock of the run's row, and
 * an end. Between them a lease may end, and be taken over. */
static void plan_in_db(struct world *w, struct question *q, int64_t holder)
{
    struct db_run *r = model_db_run(w->db, &q->run);
    if (!q->page_begun && waits(w, q, r))
        return;
    if (!q->page_begun &&
        (r == NULL || !model_db_may_plan(w->db, r, holder, q->fence, q->cursor))) {
        (void)model_db_plan_page(w->db, &q->run, holder, q->fence, q->cursor, q->pages,
                                 &q->planned); /* stale */
        return;
    }
    if (!q->page_begun) {
        checker_plans(w, r, holder);
        if (q->st.under_way_ms > 0 || world_fault(w, FAULT_PAGE_SLOW, w->set.statement_faults)) {
            q->page_begun = true;
            r->locked_until = q->st.waits_until = w->now + world_between(w, 100, PAGE_MS);
            return;
        }
    }
    if (r->holder != holder)
        world_count(w, FAULT_ZOMBIE_IN_PAGE);
    q->refused = !model_db_add_pages(w->db, r, q->pages, &q->planned);
}

static void answer_in_db(struct world *w, struct question *q, int64_t holder)
{
    struct model_db *db = w->db;
    if (q->ask == ASK_OPEN)
        open_one(w, q, holder);
    else if (q->ask == ASK_PLAN)
        plan_in_db(w, q, holder);
    else if (q->ask == ASK_DRAW)
        q->n = model_db_draw(db, &q->run, q->after, q->limit, q->drawn);
    else if (q->ask == ASK_NOTE_PUBLISHED)
        model_db_note_published(db, &q->run, q->noted, q->offsets, q->n);
    else if (q->ask == ASK_PROGRESS)
        model_db_progress(db, &q->run, &q->progress);
    else if (q->ask == ASK_OVERDUE)
        q->n = model_db_overdue(db, &q->run, SLICES_MAX, q->overdue);
    else if (q->ask == ASK_RENEW)
        q->yes = model_db_renew(db, &q->run, holder, q->fence);
    else if ((q->ask == ASK_CLOSE || q->ask == ASK_FAIL) && waits(w, q, model_db_run(db, &q->run)))
        return;
    else if (q->ask == ASK_CLOSE)
        q->yes = model_db_close(db, &q->run, holder, q->fence);
    else if (q->ask == ASK_FAIL)
        q->yes = model_db_fail(db, &q->run, holder, q->fence);
    else if (q->ask == ASK_GIVE_UP)
        model_db_give_up(db, &q->run, holder, q->fence);
    else if (q->ask == ASK_END_OVERDUE)
        model_db_end_overdue(db);
    /* ASK_WATCH: the model has no slots */
}

static void run(struct world *w, struct statement *st)
{
    answer_in_db(w, (struct question *)st, process_name(st->from));
}

/* ---- back in the producer ----------------------------------------------------------------- */

static void tell(struct run_core *core, struct question *q, bool failed)
{
    if (q->ask == ASK_OPEN) {
        (void)run_state_parse(run_state_name(q->opened.state), &q->opened.state); /* it is text */
        run_core_opened(core, failed, q->yes && !failed ? &q->opened : NULL);
    } else if (q->ask == ASK_PLAN) {
        q->planned.failed = failed || q->refused;
        q->planned.refused = !failed && q->refused ? "22012: division by zero" : NULL;
        run_core_planned(core, q->ref, &q->planned);
    } else if (q->ask == ASK_DRAW) {
        run_core_drawn(core, q->ref, failed, q->drawn, failed ? 0 : q->n);
    } else if (q->ask == ASK_NOTE_PUBLISHED) {
        run_core_noted(core, q->ref, failed);
    } else if (q->ask == ASK_PROGRESS) {
        q->progress.failed = failed;
        run_core_progressed(core, q->ref, &q->progress);
    } else if (q->ask == ASK_OVERDUE) {
        run_core_overdue(core, q->ref, failed, q->overdue, failed ? 0 : q->n);
    } else if (q->ask == ASK_RENEW) {
        run_core_renewed(core, q->ref, failed ? RENEW_FAILED : q->yes ? RENEWED : RENEW_LOST);
    } else if (q->ask == ASK_CLOSE || q->ask == ASK_FAIL) {
        run_core_closed(core, q->ref, failed, q->yes && !failed ? "{}" : NULL);
    } else if (q->ask == ASK_GIVE_UP) {
        run_core_given_up(core, q->ref);
    }
}

static void answer(struct world *w, struct statement *st)
{
    struct question *q = (struct question *)st;
    struct sim_producer *me = producer_of(w, st->from);
    world_trace(w, "producer %d: answer to %d%s, run %d, n %d", me->process, (int)q->ask,
                st->end == STATEMENT_OK ? "" : " failed", q->run.b[15] - 1, q->n);
    tell(me->core, q, st->end != STATEMENT_OK);
    producer_rearm(me);
}

/* ---- the ops ------------------------------------------------------------------------------ */

static struct question *question(enum ask ask, struct lead_ref ref, const struct uuid *id)
{
    struct question *q = world_data(sizeof(*q));
    q->ask = ask;
    q->ref = ref;
    if (id != NULL)
        q->run = *id;
    return q;
}

static void send(void *world, struct question *q)
{
    struct sim_producer *me = producer_self(world);
    producer_asks(me, q->ask);
    q->st.from = process_address(me->world, me->process);
    q->st.size = sizeof(*q);
    q->st.run = run;
    q->st.answer = answer;
    statement_send(me->world, &q->st);
}

static const struct lead_ref nobody = {0, 0};

static void open_runs(void *world)
{
    send(world, question(ASK_OPEN, nobody, NULL));
}

static void end_overdue(void *world)
{
    send(world, question(ASK_END_OVERDUE, nobody, NULL));
}

static void watch(void *world)
{
    send(world, question(ASK_WATCH, nobody, NULL));
}

static void plan(void *world, struct lead_ref ref, const struct opened_run *r, int pages)
{
    struct question *q = question(ASK_PLAN, ref, &r->run_id);
    q->fence = r->fence;
    q->cursor = cursor_of(r);
    q->pages = pages;
    if (world_fault(producer_self(world)->world, FAULT_FROZEN_IN_PAGE, 20))
        q->st.under_way_ms =
            nemesis_freezes_in_page(producer_self(world)->world, producer_self(world)->process);
    send(world, q);
}

static void draw(void *world, struct lead_ref ref, const struct uuid *id, int after, int limit)
{
    struct question *q = question(ASK_DRAW, ref, id);
    q->after = after;
    q->limit = limit < SLICES_MAX ? limit : SLICES_MAX;
    send(world, q);
}

static void note_published(void *world, struct lead_ref ref, const struct uuid *id,
                           const int32_t *slices, const int64_t *offsets, int n)
{
    struct question *q = question(ASK_NOTE_PUBLISHED, ref, id);
    assert(n <= SLICES_MAX * 2);
    q->n = n;
    memcpy(q->noted, slices, (size_t)n * sizeof(*slices));
    memcpy(q->offsets, offsets, (size_t)n * sizeof(*offsets));
    send(world, q);
}

static void progress(void *world, struct lead_ref ref, const struct uuid *id)
{
    send(world, question(ASK_PROGRESS, ref, id));
}

static void overdue(void *world, struct lead_ref ref, const struct uuid *id, int limit)
{
    (void)limit; /* far above what a run has here */
    send(world, question(ASK_OVERDUE, ref, id));
}

static void of_the_lease(void *world, enum ask ask, struct lead_ref ref, const struct opened_run *r)
{
    struct question *q = question(ask, ref, &r->run_id);
    q->fence = r->fence;
    send(world, q);
}

static void renew(void *world, struct lead_ref ref, const struct opened_run *r)
{
    of_the_lease(world, ASK_RENEW, ref, r);
}

static void close_run(void *world, struct lead_ref ref, const struct opened_run *r)
{
    of_the_lease(world, ASK_CLOSE, ref, r);
}

static void fail_run(void *world, struct lead_ref ref, const struct opened_run *r, const char *why)
{
    (void)why;
    of_the_lease(world, ASK_FAIL, ref, r);
}

static void give_up(void *world, struct lead_ref ref, const struct opened_run *r)
{
    of_the_lease(world, ASK_GIVE_UP, ref, r);
}

void producer_statement_ops(struct run_ops *ops)
{
    ops->open = open_runs;
    ops->plan = plan;
    ops->draw = draw;
    ops->note_published = note_published;
    ops->progress = progress;
    ops->overdue = overdue;
    ops->renew = renew;
    ops->close = close_run;
    ops->fail = fail_run;
    ops->give_up = give_up;
    ops->end_overdue = end_overdue;
    ops->watch = watch;
}
