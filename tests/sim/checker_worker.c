/* See checker.h: what holds in a worker: nothing judged without a claim that is kept alive, nothing
 * held when partitions are given back or the worker leaves. Its calls: checker_engine.c. */
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

struct holding *checker_holding(struct world *w, struct address a, struct pool_ref hand)
{
    return find(book(w, a), hand);
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
        b->held[b->count++] =
            (struct holding){.hand = hand, .run = run, .slice = slice, .told_at = w->now};
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

void checker_claim_kept(struct world *w, struct address a, struct pool_ref hand, int run)
{
    const struct worker_book *b = book(w, a);
    const struct holding *h = checker_holding(w, a, hand);
    if (h == NULL) {
        world_broken(w, "worker %d judges a slice of run %d without a claim", a.process, run);
        return;
    }
    int64_t renewed = later(h->told_at, b->touched_at);
    renewed = later(renewed, w->process[a.process].frozen_until);
    if (!b->touching && w->now - renewed > CLAIM_RENEW_MS + TOLERANCE_MS)
        world_broken(w, "worker %d judges run %d slice %d and has not renewed its claim for %d ms",
                     a.process, run, h->slice, (int)(w->now - renewed));
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
    struct worker_book *b = book(w, a);
    int64_t hard = w->now + drain_ms + REVOKE_GRACE_MS;
    if (b->leave_hard == 0 || hard < b->leave_hard)
        b->leave_hard = hard; /* told twice, it goes by the shorter */
}

void checker_left(struct world *w, struct address a)
{
    const struct worker_book *b = book(w, a);
    if (b->leave_hard == 0)
        world_broken(w, "worker %d leaves and was not told to", a.process);
    if (model_engine_calls_of(w->engine, a, -1) > 0)
        world_broken(w, "worker %d leaves with calls in flight", a.process);
    if (w->now < b->leave_hard && (b->releases > 0 || held_now(b) > 0))
        world_broken(w, "worker %d leaves with %d claims and %d releases under way", a.process,
                     held_now(b), b->releases);
}
