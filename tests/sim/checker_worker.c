/* See checker.h: what holds in a worker: no call without a claim that is kept alive and a share
 * that outlives it, nothing held when partitions are given back or the worker leaves. */
#include "checker_books.h"

#include "checker.h"
#include "model_db.h"
#include "model_engine.h"
#include "model_kafka.h"

#include <string.h>

#define TOLERANCE_MS 200

static struct worker_book *book(struct world *w, struct address a)
{
    return &w->checker->worker[a.process];
}

static struct holding *find(struct worker_book *b, struct pool_ref hand)
{
    for (int i = 0; i < b->count; i++)
        if (b->held[i].hand.slot == hand.slot && b->held[i].hand.generation == hand.generation)
            return &b->held[i];
    return NULL;
}

static void forget(struct worker_book *b, struct holding *h)
{
    if (h != NULL)
        *h = b->held[--b->count];
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void checker_started(struct world *w, struct address a)
{
    memset(book(w, a), 0, sizeof(struct worker_book));
}

/* ---- claims ------------------------------------------------------------------------------- */

void checker_claim_answer(struct world *w, struct address a, struct pool_ref hand, int run,
                          int slice, enum claim_outcome outcome)
{
    struct worker_book *b = book(w, a);
    struct holding *h = find(b, hand);
    if (outcome == CLAIM_OURS && h == NULL) {
        assert(b->count < HOLDINGS_MAX);
        b->held[b->count++] = (struct holding){hand, run, slice, w->now, false};
    } else if (outcome == CLAIM_OURS) {
        h->told_at = w->now;
    } else if (outcome != CLAIM_FAILED) {
        checker_slice_over(w, a, hand, run, slice);
    }
    if (outcome == CLAIM_BUSY && ++b->busy[run][slice] >= 2)
        w->checker->passed[run][slice] = true;
}

void checker_dropped(struct world *w, struct address a, struct pool_ref hand)
{
    struct worker_book *b = book(w, a);
    forget(b, find(b, hand));
}

/* A worker may have a slice in two hands: an orphan of a partition that came back, and anew. */
void checker_slice_over(struct world *w, struct address a, struct pool_ref hand, int run, int slice)
{
    struct worker_book *b = book(w, a);
    forget(b, find(b, hand));
    for (int i = 0; i < b->count; i++)
        if (b->held[i].run == run && b->held[i].slice == slice)
            b->held[i].orphan = true;
}

void checker_gives_back(struct world *w, struct address a, int run, int slice)
{
    struct worker_book *b = book(w, a);
    for (int i = b->count - 1; i >= 0; i--)
        if (b->held[i].run == run && b->held[i].slice == slice)
            forget(b, &b->held[i]);
}

void checker_touching(struct world *w, struct address a)
{
    struct worker_book *b = book(w, a);
    if (b->touching)
        world_broken(w, "worker %d renews its claims while it renews them", a.process);
    b->touching = true;
    b->touched_at = w->now;
}

void checker_touched(struct world *w, struct address a)
{
    book(w, a)->touching = false;
}

void checker_releasing(struct world *w, struct address a)
{
    book(w, a)->releases++;
}

void checker_released(struct world *w, struct address a)
{
    book(w, a)->releases--;
}

/* ---- calls -------------------------------------------------------------------------------- */

static void check_claim(struct world *w, struct address a, struct pool_ref hand, int run, int slice)
{
    struct worker_book *b = book(w, a);
    const struct holding *h = find(b, hand);
    if (h == NULL) {
        world_broken(w, "worker %d judges run %d slice %d without a claim", a.process, run, slice);
        return;
    }
    int64_t renewed = later(h->told_at, b->touched_at);
    renewed = later(renewed, w->process[a.process].frozen_until);
    if (!b->touching && w->now - renewed > CLAIM_RENEW_MS + TOLERANCE_MS)
        world_broken(w, "worker %d judges run %d slice %d and has not renewed its claim for %d ms",
                     a.process, run, slice, (int)(w->now - renewed));
}

static void check_share(struct world *w, struct address a, int engine)
{
    const struct db_share *s = model_db_share(w->db, engine, process_name(a));
    int64_t forgotten = w->checker->forgotten_at;
    if (forgotten > 0 && w->now - forgotten <= SHARE_LEASE_MS + 1000)
        return; /* leases from before still hold, and the table does not know them */
    if (s == NULL || s->until < w->now + w->set.call_timeout_ms)
        world_broken(w, "worker %d starts a call that can outlive its lease", a.process);
}

void checker_call(struct world *w, struct address a, int engine, struct pool_ref hand, int run,
                  int position)
{
    const struct db_job *j = &w->db->job[w->db->run[run].job];
    check_claim(w, a, hand, run, position / j->page_size);
    check_share(w, a, engine);
    int in_flight = model_engine_in_flight(w->engine, engine);
    if (in_flight > w->set.concurrency)
        world_broken(w, "%d calls in flight at engine %d, %d are allowed", in_flight, engine,
                     w->set.concurrency);
}

static void forget_judges(struct checker *c, int64_t now)
{
    int kept = 0;
    for (int i = 0; i < c->judges; i++)
        if (c->judge[i].until > now)
            c->judge[kept++] = c->judge[i];
    c->judges = kept;
}

void checker_judge(struct world *w, struct address a, int engine, struct pool_ref hand, int run,
                   int slice)
{
    struct checker *c = w->checker;
    int at_it = 0;
    check_claim(w, a, hand, run, slice);
    check_share(w, a, engine);
    forget_judges(c, w->now);
    assert(c->judges < JUDGES_MAX);
    c->judge[c->judges++] = (struct judge_book){a, hand, engine, w->now + w->set.call_timeout_ms};
    for (int i = 0; i < c->judges; i++)
        at_it += c->judge[i].engine == engine;
    if (at_it > w->set.concurrency)
        world_broken(w, "%d slices are judged at engine %d, %d are allowed", at_it, engine,
                     w->set.concurrency);
}

void checker_judged(struct world *w, struct address a, struct pool_ref hand)
{
    struct checker *c = w->checker;
    for (int i = 0; i < c->judges; i++)
        if (c->judge[i].of.process == a.process && c->judge[i].of.incarnation == a.incarnation &&
            c->judge[i].hand.slot == hand.slot && c->judge[i].hand.generation == hand.generation)
            c->judge[i].until = 0;
    forget_judges(c, w->now);
}

/* ---- giving back and leaving -------------------------------------------------------------- */

static int held_now(const struct worker_book *b)
{
    int n = 0;
    for (int i = 0; i < b->count; i++)
        n += !b->held[i].orphan;
    return n;
}

void checker_unassigned(struct world *w, const struct member *m)
{
    struct worker_book *b = book(w, m->of);
    int64_t hard = m->asked_at + REVOKE_GRACE_MS + (m->lost ? 0 : REVOKE_GRACE_MS);
    if (b->leave_hard > 0 && b->leave_hard < hard)
        hard = b->leave_hard;
    if (w->now < hard && (b->releases > 0 || held_now(b) > 0))
        world_broken(w, "worker %d unassigns with %d claims and %d releases under way",
                     m->of.process, held_now(b), b->releases);
    for (int i = 0; i < b->count; i++)
        b->held[i].orphan = true;
    if (b->leave_hard > w->now)
        b->leave_hard = w->now; /* a revoke cuts a drain short */
}

void checker_draining(struct world *w, struct address a, int64_t drain_ms)
{
    book(w, a)->leave_hard = w->now + drain_ms + REVOKE_GRACE_MS;
}

void checker_left(struct world *w, struct address a)
{
    const struct worker_book *b = book(w, a);
    if (b->leave_hard == 0)
        world_broken(w, "worker %d leaves and was not told to", a.process);
    if (model_engine_calls_of(w->engine, a) > 0)
        world_broken(w, "worker %d leaves with calls in flight", a.process);
    if (w->now < b->leave_hard && (b->releases > 0 || held_now(b) > 0))
        world_broken(w, "worker %d leaves with %d claims and %d releases under way", a.process,
                     held_now(b), b->releases);
}
