/* See worker_statements.h. Each statement copies what the core lends, runs in the model database,
 * and builds what the core takes when its answer arrives. */
#include "worker_statements.h"

#include "checker.h"
#include "model_db.h"
#include "model_engine.h"
#include "nemesis.h"
#include "statement.h"

#include <stdlib.h>
#include <string.h>

#define TOUCH_MAX 256

static struct sim_worker *self(void *world)
{
    return CHECK_MAGIC(struct sim_worker, world, SIM_WORKER_MAGIC);
}

static void send(struct sim_worker *me, enum ask ask, struct statement *st, size_t size,
                 statement_run_fn run, statement_answer_fn answer)
{
    worker_asks(me, ask);
    st->from = process_address(me->world, me->process);
    st->size = size;
    st->run = run;
    st->answer = answer;
    statement_send(me->world, st);
}

static struct sim_worker *sender(struct world *w, const struct statement *st)
{
    return &w->workers[st->from.process];
}

/* ---- claim -------------------------------------------------------------------------------- */

struct claim_statement {
    struct statement st;
    struct pool_ref ref;
    int engine;
    struct uuid run;
    int32_t slice;
    struct db_claim got;
};

static void run_claim(struct world *w, struct statement *st)
{
    struct claim_statement *c = (struct claim_statement *)st;
    int64_t name = process_name(st->from);
    model_db_claim(w->db, &c->run, c->slice, name, &c->got);
    if (c->got.outcome == CLAIM_OURS)
        checker_claimed_in_db(w, c->run.b[15] - 1, c->slice, name);
}

static void fill_subjects(struct world *w, const struct claim_statement *c, struct claim *claim)
{
    const struct db_run *r = &w->db->run[c->run.b[15] - 1]; /* pruned meanwhile, perhaps */
    const struct db_slice *s = &r->slice[c->slice];
    size_t n = (size_t)s->n;
    claim->n = s->n;
    claim->shadow = r->shadow;
    claim->subject_ids = world_data(n * sizeof(struct uuid));
    claim->user_ids = world_data(n * sizeof(struct uuid));
    claim->eligible = world_data(n);
    for (int i = 0; i < s->n; i++) {
        int position = model_db_position(r, s->first + i);
        claim->subject_ids[i] = claim->user_ids[i] = model_db_subject(r->job, position);
        claim->eligible[i] = model_db_eligible(w, r->job, position);
    }
}

static void answer_claim(struct world *w, struct statement *st)
{
    const struct claim_statement *c = (const struct claim_statement *)st;
    struct sim_worker *me = sender(w, st);
    struct claim *claim = world_data(sizeof(*claim));
    claim->outcome = st->end == STATEMENT_OK ? c->got.outcome : CLAIM_FAILED;
    claim->stale_ms = c->got.stale_ms;
    claim->attempt = c->got.attempt;
    if (claim->outcome == CLAIM_OURS && c->engine != ENGINE_BULK)
        fill_subjects(w, c, claim);
    world_trace(w, "worker %d: claim of run %d slice %d: %d", me->process, c->run.b[15] - 1,
                (int)c->slice, (int)claim->outcome);
    checker_claim_answer(w, st->from, c->ref, c->run.b[15] - 1, c->slice, claim->outcome);
    pool_claimed(me->pool, c->ref, claim);
    worker_rearm(me);
}

static void claim(void *world, int engine, struct pool_ref ref, const struct uuid *run,
                  int32_t slice)
{
    struct claim_statement *c = world_data(sizeof(*c));
    c->engine = engine;
    c->ref = ref;
    c->run = *run;
    c->slice = slice;
    send(self(world), ASK_CLAIM, &c->st, sizeof(*c), run_claim, answer_claim);
}

/* ---- settle ------------------------------------------------------------------------------- */

struct settle_statement {
    struct statement st;
    struct pool_ref ref;
    struct uuid run;
    int32_t slice;
    char verdicts[SUBJECTS_MAX + 1];
    struct settle_answer got;
};

static void run_settle(struct world *w, struct statement *st)
{
    struct settle_statement *s = (struct settle_statement *)st;
    if (!model_db_settle(w->db, &s->run, s->slice, process_name(st->from), s->verdicts, &s->got))
        s->got.result = SETTLE_NOT_OPEN;
    else
        s->got.result = SETTLE_DONE;
}

static const enum settle_result results[] = {
    [STATEMENT_LOST] = SETTLE_UNKNOWN,        [STATEMENT_TRANSIENT] = SETTLE_TRANSIENT,
    [STATEMENT_DUPLICATE] = SETTLE_DUPLICATE, [STATEMENT_BAD_DATA] = SETTLE_BAD_DATA,
    [STATEMENT_FORBIDDEN] = SETTLE_FORBIDDEN, [STATEMENT_REFUSED] = SETTLE_REFUSED,
};

static void answer_settle(struct world *w, struct statement *st)
{
    struct settle_statement *s = (struct settle_statement *)st;
    struct sim_worker *me = sender(w, st);
    if (st->end != STATEMENT_OK)
        s->got.result = results[st->end];
    world_trace(w, "worker %d: settle of run %d slice %d: %d", me->process, s->run.b[15] - 1,
                (int)s->slice, (int)s->got.result);
    if (s->got.result == SETTLE_DONE || s->got.result == SETTLE_NOT_OPEN)
        checker_slice_over(w, st->from, s->ref, s->run.b[15] - 1, s->slice);
    pool_settled(me->pool, s->ref, &s->got);
    worker_rearm(me);
}

static char letter(struct world *w, const struct subject *u)
{
    switch (u->state) {
    case SUBJECT_SKIPPED:
        return 'k';
    case SUBJECT_FAILED:
        return 'e';
    case SUBJECT_JUDGED:
        return u->answer->decisions[0].action == ACTION_SUPPRESS ? 's' : 'd';
    case SUBJECT_OPEN:
        break;
    }
    world_broken(w, "a slice is settled while a subject is open");
    return 'e';
}

static void settle(void *world, struct pool_ref ref, const struct pool_outcome *out)
{
    struct sim_worker *me = self(world);
    struct settle_statement *s = world_data(sizeof(*s));
    s->ref = ref;
    s->run = out->run;
    s->slice = out->slice;
    s->st.settles = true;
    checker_settling(me->world, process_address(me->world, me->process), ref, out);
    for (int i = 0; i < out->claim->n; i++)
        s->verdicts[i] = letter(me->world, &out->subjects[i]);
    send(me, ASK_SETTLE, &s->st, sizeof(*s), run_settle, answer_settle);
}

/* ---- judge -------------------------------------------------------------------------------- */

struct judge_statement {
    struct statement st;
    struct pool_ref ref;
    int engine;
    struct pool_judge judge;
    struct settle_answer got;
};

static void run_judge(struct world *w, struct statement *st)
{
    struct judge_statement *j = (struct judge_statement *)st;
    model_db_judge(w->db, &j->judge.run, j->judge.slice, process_name(st->from), j->judge.each,
                   &j->got);
}

static void answer_judge(struct world *w, struct statement *st)
{
    struct judge_statement *j = (struct judge_statement *)st;
    struct sim_worker *me = sender(w, st);
    int run = j->judge.run.b[15] - 1;
    if (st->end != STATEMENT_OK)
        j->got.result = results[st->end];
    world_trace(w, "worker %d: judge of run %d slice %d: %d", me->process, run, (int)j->judge.slice,
                (int)j->got.result);
    checker_judged(w, st->from, j->ref);
    if (j->got.result == SETTLE_DONE)
        checker_slice_over(w, st->from, j->ref, run, j->judge.slice);
    pool_settled(me->pool, j->ref, &j->got);
    worker_rearm(me);
}

static bool holds_poison(const struct world *w, const struct pool_judge *judge)
{
    const struct db_run *r = &w->db->run[judge->run.b[15] - 1];
    const struct db_slice *s = &r->slice[judge->slice];
    for (int i = s->first; i < s->first + s->n; i++) {
        int position = model_db_position(r, i);
        if (model_db_eligible(w, r->job, position) &&
            model_db_kind(w, r->job, position) == SUBJECT_POISON)
            return true;
    }
    return false;
}

static void judge(void *world, int engine, struct pool_ref ref, const struct pool_judge *judge)
{
    struct sim_worker *me = self(world);
    struct world *w = me->world;
    struct judge_statement *j = world_data(sizeof(*j));
    j->ref = ref;
    j->engine = engine;
    j->judge = *judge;
    j->st.settles = true;
    j->st.within_ms = w->set.call_timeout_ms;
    if (model_engine_refuses(w->engine, engine)) {
        world_count(w, FAULT_JUDGE_SICK);
        j->st.end = STATEMENT_REFUSED;
    }
    w->tally->calls++;
    checker_judge(w, process_address(w, me->process), engine, ref, judge->run.b[15] - 1);
    if (holds_poison(w, judge))
        nemesis_poison(w, process_address(w, me->process));
    send(me, ASK_JUDGE, &j->st, sizeof(*j), run_judge, answer_judge);
}

/* ---- touch and release -------------------------------------------------------------------- */

struct slices_statement {
    struct statement st;
    int n;
    struct pool_ref refs[TOUCH_MAX];
    struct uuid runs[TOUCH_MAX];
    int32_t slices[TOUCH_MAX];
    bool ours[TOUCH_MAX];
};

static struct slices_statement *slices_of(const struct uuid *runs, const int32_t *slices, int n)
{
    struct slices_statement *t = world_data(sizeof(*t));
    assert(n <= TOUCH_MAX);
    t->n = n;
    memcpy(t->runs, runs, (size_t)n * sizeof(*runs));
    memcpy(t->slices, slices, (size_t)n * sizeof(*slices));
    return t;
}

static void run_touch(struct world *w, struct statement *st)
{
    struct slices_statement *t = (struct slices_statement *)st;
    int64_t name = process_name(st->from);
    for (int i = 0; i < t->n; i++) {
        t->ours[i] = model_db_touch(w->db, &t->runs[i], t->slices[i], name);
        if (t->ours[i])
            checker_claimed_in_db(w, t->runs[i].b[15] - 1, t->slices[i], name);
    }
}

static void answer_touch(struct world *w, struct statement *st)
{
    const struct slices_statement *t = (const struct slices_statement *)st;
    struct sim_worker *me = sender(w, st);
    bool failed = st->end != STATEMENT_OK;
    checker_touched(w, st->from);
    for (int i = 0; i < t->n && !failed; i++)
        if (!t->ours[i])
            checker_dropped(w, st->from, t->refs[i]);
    pool_touched(me->pool, t->refs, t->n, t->ours, failed);
    worker_rearm(me);
}

static void touch(void *world, const struct pool_ref *refs, const struct uuid *runs,
                  const int32_t *slices, const int32_t *calls, const char *const *classes, int n)
{
    struct sim_worker *me = self(world);
    struct slices_statement *t = slices_of(runs, slices, n);
    (void)calls, (void)classes; /* what `reveille why-open` shows; nothing depends on it */
    memcpy(t->refs, refs, (size_t)n * sizeof(*refs));
    checker_touching(me->world, process_address(me->world, me->process));
    send(me, ASK_TOUCH, &t->st, sizeof(*t), run_touch, answer_touch);
}

static void run_release(struct world *w, struct statement *st)
{
    const struct slices_statement *t = (const struct slices_statement *)st;
    int64_t name = process_name(st->from);
    for (int i = 0; i < t->n; i++) {
        model_db_release(w->db, &t->runs[i], t->slices[i], name);
        if (model_db_holds(w->db, &t->runs[i], t->slices[i]))
            checker_released_in_db(w, t->runs[i].b[15] - 1, t->slices[i], name);
    }
}

static void answer_release(struct world *w, struct statement *st)
{
    struct sim_worker *me = sender(w, st);
    checker_released(w, st->from);
    pool_released(me->pool, st->end != STATEMENT_OK);
    worker_rearm(me);
}

static void release(void *world, const struct uuid *runs, const int32_t *slices, int n)
{
    struct sim_worker *me = self(world);
    struct slices_statement *t = slices_of(runs, slices, n);
    checker_releasing(me->world, process_address(me->world, me->process));
    for (int i = 0; i < n; i++)
        checker_gives_back(me->world, process_address(me->world, me->process), runs[i].b[15] - 1,
                           slices[i]);
    send(me, ASK_RELEASE, &t->st, sizeof(*t), run_release, answer_release);
}

/* ---- the share ---------------------------------------------------------------------------- */

struct share_statement {
    struct statement st;
    int engine, want;
    int64_t asked_at;
    struct share_report report;
    struct share_answer got;
};

static void run_share(struct world *w, struct statement *st)
{
    struct share_statement *s = (struct share_statement *)st;
    if (!model_db_ask_share(w->db, s->engine, process_name(st->from), s->want, &s->report, &s->got))
        s->got.arrived = false;
}

static void answer_share(struct world *w, struct statement *st)
{
    struct share_statement *s = (struct share_statement *)st;
    struct sim_worker *me = sender(w, st);
    if (st->end != STATEMENT_OK)
        s->got.arrived = false;
    world_trace(w, "worker %d wanted %d, is lent %d%s", me->process, s->want, s->got.granted,
                !s->got.arrived ? " (no answer)"
                : s->got.probe  ? " (a probe)"
                                : "");
    if (s->got.arrived)
        checker_lent(w, st->from, s->engine, s->asked_at, s->got.outage_ms);
    pool_lent(me->pool, s->engine, &s->got);
    worker_rearm(me);
}

static void ask_share(void *world, int engine, int want, const struct share_report *report)
{
    struct sim_worker *me = self(world);
    struct share_statement *s = world_data(sizeof(*s));
    s->engine = engine;
    s->want = want;
    s->asked_at = me->world->now;
    s->report = *report;
    send(me, ASK_SHARE, &s->st, sizeof(*s), run_share, answer_share);
}

void worker_statement_ops(struct pool_ops *ops)
{
    ops->claim = claim;
    ops->settle = settle;
    ops->judge = judge;
    ops->touch = touch;
    ops->release = release;
    ops->ask_share = ask_share;
}
