/* See checker.h: what holds in the database and in Kafka. What holds in a worker is in
 * checker_worker.c, what of an engine's limit in checker_engine.c. */
#include "checker.h"

#include "checker_books.h"
#include "model_db.h"
#include "model_engine.h"
#include "model_kafka.h"
#include "nemesis.h"

#include <stdlib.h>

struct checker *checker_new(void)
{
    return world_data(sizeof(struct checker));
}

void checker_free(struct checker *c)
{
    free(c);
}

static int run_of(const struct world *w, const struct db_run *r)
{
    return (int)(r - w->db->run);
}

/* ---- in the database ---------------------------------------------------------------------- */

static bool good(char verdict)
{
    return verdict != 0 && verdict != 'e' && verdict != 'u';
}

/* A replay judges who was an error or unreached in a run that has ended, and nobody else. */
static void check_replay(struct world *w, const struct db_run *r)
{
    const struct checker *c = w->checker;
    const struct db_run *parent = &w->db->run[r->parent];
    if (!run_state_ended(parent->state) || r->roster == 0)
        world_broken(w, "run %d is replayed while it is open, or for nobody", r->parent);
    for (int k = 0; k < r->roster; k++) {
        char was = c->last[r->parent][r->chosen[k]];
        for (int i = 0; i < w->db->runs; i++)
            for (int m = 0; w->db->run[i].parent == r->parent && m < w->db->run[i].roster; m++)
                if (w->db->run[i].chosen[m] == r->chosen[k] && good(c->last[i][m]))
                    was = c->last[i][m];
        if (was == 0 || good(was))
            world_broken(w, "run %d is replayed for subject %d, whose last outcome is '%c'",
                         r->parent, r->chosen[k], was == 0 ? '-' : was);
    }
}

void checker_opened(struct world *w, const struct db_run *r)
{
    w->tally->runs++;
    for (int i = 0; i < w->db->runs; i++) {
        const struct db_run *other = &w->db->run[i];
        if (other != r && other->job == r->job && other->parent == r->parent &&
            !run_state_ended(other->state))
            world_broken(w, "job %d has two active runs, or replays of one", r->job);
    }
    if (r->parent >= 0)
        check_replay(w, r);
}

void checker_plans(struct world *w, const struct db_run *r, int64_t holder)
{
    if (r->holder != holder || r->lease_until <= w->now)
        world_broken(w, "run %d is planned by who does not hold its lease", run_of(w, r));
}

static void check_verdict(struct world *w, const struct db_run *r, int position, char verdict)
{
    bool eligible = model_db_eligible(w, r->job, position);
    enum subject_kind kind = model_db_kind(w, r->job, position);
    bool judged = verdict == 'd' || verdict == 's';
    if ((verdict == 'k') == eligible)
        world_broken(w, "subject %d: eligible %d, but settled as '%c'", position, eligible,
                     verdict);
    if (judged && !model_engine_judged(w->engine, run_of(w, r), position))
        world_broken(w, "subject %d has a verdict that the engine never gave", position);
    if (judged && (verdict == 's') != (kind == SUBJECT_NOT_DUE))
        world_broken(w, "subject %d has another subject's verdict", position);
}

void checker_settled(struct world *w, const struct db_run *r, int slice, const char *verdicts)
{
    int run = run_of(w, r);
    const struct db_slice *s = &r->slice[slice];
    w->tally->slices++;
    if (++w->checker->settled[run][slice] > 1)
        world_broken(w, "run %d slice %d is settled twice", run, slice);
    if (run_state_ended(r->state))
        world_broken(w, "run %d slice %d is settled after its run has ended", run, slice);
    if (r->shadow && s->dispatched > 0)
        world_broken(w, "run %d is a shadow run and tells %d", run, s->dispatched);
    for (int i = 0; i < s->n; i++) {
        w->checker->last[run][s->first + i] = verdicts == NULL ? 'e' : verdicts[i];
        if (verdicts != NULL)
            check_verdict(w, r, model_db_position(r, s->first + i), verdicts[i]);
    }
}

void checker_notified(struct world *w, int job, int position)
{
    if (++w->checker->notified[job][position] > 1)
        world_broken(w, "job %d subject %d is told twice", job, position);
}

void checker_closed(struct world *w, const struct db_run *r)
{
    int run = run_of(w, r), evaluated = 0, skipped = 0, errors = 0, unreached = 0, covered = 0;
    for (int i = 0; i < r->slices; i++) {
        const struct db_slice *s = &r->slice[i];
        int outcomes = s->evaluated + s->skipped + s->errors + s->unreached;
        if (s->state == DB_PENDING || outcomes != s->n || s->first != covered)
            world_broken(w, "run %d ends, slice %d has %d outcomes for %d subjects", run, i,
                         outcomes, s->n);
        if (s->state == DB_DONE && s->dispatched + s->suppressed != s->evaluated)
            world_broken(w, "run %d slice %d: dispatched + suppressed differ", run, i);
        if (s->state == DB_UNREACHED && w->checker->settled[run][i] != 0)
            world_broken(w, "run %d slice %d is settled and unreached", run, i);
        for (int k = 0; k < s->n && s->state == DB_UNREACHED; k++)
            w->checker->last[run][s->first + k] = 'u';
        covered += s->n;
        evaluated += s->evaluated;
        skipped += s->skipped;
        errors += s->errors;
        unreached += s->unreached;
    }
    if (r->planned != covered || r->total_evaluated != evaluated || r->total_skipped != skipped ||
        r->total_errors != errors || r->total_unreached != unreached ||
        r->planned != evaluated + skipped + errors + unreached)
        world_broken(w, "run %d: its totals are not the sums over its slices", run);
    if (r->state == RUN_COMPLETED && covered != r->roster)
        world_broken(w, "run %d completes with %d of %d subjects planned", run, covered, r->roster);
}

void checker_claimed_in_db(struct world *w, int run, int slice, int64_t worker)
{
    struct claim_book *b = &w->checker->claim[run][slice];
    if (b->owner != 0 && b->owner != worker && w->now - b->alive_at <= CLAIM_STALE_MS)
        world_broken(w, "run %d slice %d is claimed while somebody lives on it", run, slice);
    b->owner = worker;
    b->alive_at = w->now;
}

void checker_released_in_db(struct world *w, int run, int slice, int64_t worker)
{
    struct claim_book *b = &w->checker->claim[run][slice];
    if (b->owner == worker)
        b->owner = 0;
}

/* ---- in Kafka ----------------------------------------------------------------------------- */

void checker_committed(struct world *w, int engine, int partition, int64_t from, int64_t to)
{
    const struct topic_model *t = &w->kafka->topic[engine];
    const struct log *l = &t->part[partition];
    if (t->anew)
        return;
    if (to <= from || to > l->end)
        world_broken(w,
                     "partition %d/%d: the committed offset goes from %d to %d, the log ends at %d",
                     engine, partition, (int)from, (int)to, (int)l->end);
    for (int64_t i = from < 0 ? 0 : from; i < to && !w->broken; i++) {
        const struct log_entry *e = &l->entry[i];
        const struct db_run *r = model_db_run(w->db, &e->run);
        if (e->hole || e->bad || r == NULL || e->slice >= r->slices)
            continue;
        if (r->slice[e->slice].state == DB_PENDING && !w->checker->passed[run_of(w, r)][e->slice])
            world_broken(
                w, "partition %d/%d: the committed offset %d passes run %d slice %d, not done",
                engine, partition, (int)to, run_of(w, r), (int)e->slice);
    }
}

/* Whether the group moves, as the producer can have seen it: it looks once a second, and counts
 * from when it first saw the offset. */
static bool moving(const struct world *w, const struct log *l)
{
    static const int64_t fresh = 2000;
    return w->now - l->still_since < STILL_ENOUGH_MS && w->now - l->stood_until >= fresh;
}

/* Never more than the rate lets go; what was not used is saved for a moment, and each leader begins
 * anew. Rings are no new slices. */
static void check_pace(struct world *w, int run, int slice)
{
    struct checker *c = w->checker;
    const struct db_run *r = &w->db->run[run];
    if (r->rate == 0 || c->published[run][slice])
        return;
    c->published[run][slice] = true;
    if (c->pace[run].slices++ == 0)
        c->pace[run].since = w->now;
    int64_t subjects = (w->now - c->pace[run].since + RATE_SAVED_MS) * r->rate / 1000;
    int64_t allowed = r->fence * (subjects / r->page_size + 1);
    if (c->pace[run].slices > allowed)
        world_broken(w, "run %d: %d slices are published, its rate of %d allows %d", run,
                     c->pace[run].slices, r->rate, (int)allowed);
}

/* Ring again, never into a lag: unless the group stands still, or the log was made anew. */
void checker_published(struct world *w, struct address a, int engine, int run, int slice)
{
    static const int64_t settling = 5000; /* a draw may be as old */
    const struct db_slice *s = &w->db->run[run].slice[slice];
    const struct topic_model *t = &w->kafka->topic[engine];
    const struct log *l = &t->part[s->partition];
    check_pace(w, run, slice);
    if (s->published_at < 0 || w->now - s->published_at < settling || t->anew ||
        s->published_offset >= l->end || nemesis_kafka_was_away(w) ||
        w->now - w->process[a.process].frozen_until < settling)
        return;
    const struct log_entry *e = &l->entry[s->published_offset];
    if (e->hole || e->slice != slice || e->run.b[15] != run + 1)
        return;
    if (l->committed <= s->published_offset && moving(w, l))
        world_broken(w, "run %d slice %d is rung again into a lag: offset %d, committed %d", run,
                     slice, (int)s->published_offset, (int)l->committed);
}

/* ---- at the end --------------------------------------------------------------------------- */

/* After the replays nobody is left behind but who always fails. */
static void check_made_good(struct world *w, const struct db_run *r)
{
    for (int place = 0; place < r->cursor; place++) {
        enum subject_kind kind = model_db_kind(w, r->job, place);
        if (kind != SUBJECT_NONSENSE && kind != SUBJECT_SICK &&
            model_db_unresolved(w->db, r, place))
            world_broken(w, "run %d: subject %d is unresolved after a replay", run_of(w, r), place);
    }
}

void checker_at_rest(struct world *w)
{
    for (int i = 0; i < w->db->runs; i++) {
        const struct db_run *r = &w->db->run[i];
        if (!run_state_ended(r->state))
            world_broken(w, "run %d is still open", i);
        if (nemesis_made_good(w) && r->parent < 0 && !r->pruned)
            check_made_good(w, r);
        for (int k = 0; k < r->slices; k++)
            if (r->slice[k].state == DB_DONE && w->checker->settled[i][k] != 1)
                world_broken(w, "run %d slice %d is done, settled %d times", i, k,
                             w->checker->settled[i][k]);
    }
    for (int e = 0; e < w->set.engines; e++)
        if (model_engine_in_flight(w->engine, e) != 0)
            world_broken(w, "calls are in flight after everybody has left");
}
