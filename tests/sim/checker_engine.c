/* See checker.h: what holds of an engine's limit: never more calls, or slices judged in bulk, than
 * it says over the whole fleet, none that outlives its lease, none of it idle while it is wanted,
 * and no subject charged for an outage. */
#include "checker.h"

#include "checker_books.h"
#include "model_db.h"
#include "model_engine.h"

#define HEARD_MS 2000                   /* a wish counts for so long */
#define IDLE_MS (SHARE_LEASE_MS + 5000) /* what the dead held is lent again by then */

void checker_shares_forgotten(struct world *w)
{
    w->checker->forgotten_at = w->now;
}

/* What was lent before a limit was lowered may be used until its lease ends. */
int checker_limit(const struct world *w, int engine)
{
    const struct limit_book *b = &w->checker->limit[engine];
    int now = w->db->engine[engine].concurrency;
    bool fresh = b->changed_at > 0 && w->now - b->changed_at <= SHARE_LEASE_MS;
    return fresh && b->before > now ? b->before : now;
}

void checker_limit_set(struct world *w, int engine, int from)
{
    struct limit_book *b = &w->checker->limit[engine];
    bool fresh = b->changed_at > 0 && w->now - b->changed_at <= SHARE_LEASE_MS;
    b->before = fresh && b->before > from ? b->before : from;
    b->changed_at = w->now;
}

/* ---- calls and judges --------------------------------------------------------------------- */

static void share_kept(struct world *w, struct address a, int engine)
{
    const struct db_share *s = model_db_share(w->db, engine, process_name(a));
    int64_t forgotten = w->checker->forgotten_at;
    if (forgotten > 0 && w->now - forgotten <= SHARE_LEASE_MS + 1000)
        return; /* leases from before still hold, and the table does not know them */
    if (s == NULL || s->until < w->now + w->set.call_timeout_ms)
        world_broken(w, "worker %d starts a call that can outlive its lease", a.process);
}

void checker_call(struct world *w, struct address a, int engine, struct pool_ref hand, int run)
{
    checker_claim_kept(w, a, hand, run);
    share_kept(w, a, engine);
    int in_flight = model_engine_in_flight(w->engine, engine), allowed = checker_limit(w, engine);
    if (in_flight > allowed)
        world_broken(w, "%d calls in flight at engine %d, %d are allowed", in_flight, engine,
                     allowed);
}

static void forget_judges(struct checker *c, int64_t now)
{
    int kept = 0;
    for (int i = 0; i < c->judges; i++)
        if (c->judge[i].until > now)
            c->judge[kept++] = c->judge[i];
    c->judges = kept;
}

void checker_judge(struct world *w, struct address a, int engine, struct pool_ref hand, int run)
{
    struct checker *c = w->checker;
    int at_it = 0, allowed = checker_limit(w, engine);
    checker_claim_kept(w, a, hand, run);
    share_kept(w, a, engine);
    forget_judges(c, w->now);
    assert(c->judges < JUDGES_MAX);
    c->judge[c->judges++] = (struct judge_book){a, hand, engine, w->now + w->set.call_timeout_ms};
    for (int i = 0; i < c->judges; i++)
        at_it += c->judge[i].engine == engine;
    if (at_it > allowed)
        world_broken(w, "%d slices are judged at engine %d, %d are allowed", at_it, engine,
                     allowed);
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

/* ---- outages ------------------------------------------------------------------------------ */

void checker_lent(struct world *w, struct address a, int engine, int64_t asked_at,
                  int64_t outage_ms)
{
    struct worker_book *b = &w->checker->worker[a.process];
    b->answered_ask[engine] = asked_at;
    if (outage_ms < 0 || outage_ms >= OUTAGE_CHARGED_AFTER_MS)
        return;
    b->outage[engine].since = asked_at - outage_ms;
    b->outage[engine].told_at = w->now;
}

/* Nobody ends as an error of the engine's before an ask made after it could tell of an outage. And
 * tries that failed in an outage are struck when the worker is told of it: whoever ends so, has
 * failed after that, or before the outage. */
void checker_settling(struct world *w, struct address a, struct pool_ref hand,
                      const struct pool_outcome *out)
{
    const struct worker_book *b = &w->checker->worker[a.process];
    struct holding *h = checker_holding(w, a, hand);
    int run = out->run.b[15] - 1, engine = w->db->job[w->db->run[run].job].engine;
    int64_t since = b->outage[engine].since, told = b->outage[engine].told_at;
    if (h == NULL || h->settling)
        return;
    h->settling = true;
    for (int i = 0; i < out->claim->n; i++) {
        const struct subject *u = &out->subjects[i];
        if (u->state != SUBJECT_FAILED || u->answer->sign == TRY_ANSWERED)
            continue;
        if (u->failed_ms >= b->answered_ask[engine])
            world_broken(w, "run %d slice %d: subject %d is charged, and nobody was asked", run,
                         (int)out->slice, i);
        if (told > 0 && u->failed_ms >= since && u->failed_ms < told)
            world_broken(w, "run %d slice %d: subject %d is charged for an outage", run,
                         (int)out->slice, i);
    }
}

/* ---- idle --------------------------------------------------------------------------------- */

/* Whether somebody who lives wants more than it has, while not all is lent. */
static bool idle(const struct world *w, const struct db_engine *e)
{
    int lent = 0;
    bool wanted = false;
    if (e->closed_since >= 0 || e->paused_until > w->now)
        return false;
    for (int i = 0; i < e->shares; i++) {
        const struct db_share *s = &e->share[i];
        if (s->until <= w->now)
            continue;
        lent += s->granted;
        wanted = wanted || (s->want > s->granted && s->until > w->now + SHARE_LEASE_MS - HEARD_MS);
    }
    return wanted && lent < e->current;
}

void checker_watch(struct world *w)
{
    for (int i = 0; i < w->set.engines; i++) {
        struct limit_book *b = &w->checker->limit[i];
        const struct db_engine *e = &w->db->engine[i];
        if (!idle(w, e))
            b->idle_since = 0;
        else if (b->idle_since == 0)
            b->idle_since = w->now;
        else if (w->now - b->idle_since > IDLE_MS)
            world_broken(w, "engine %d: some of its limit of %d lies idle for %d ms, and is wanted",
                         i, e->current, (int)(w->now - b->idle_since));
    }
}
