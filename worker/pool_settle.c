/* How a slice in hand is settled: when it may be, and what the database's answer means for it. A
 * bulk engine's slice is settled by its judge; the answer is the same. */
#include "pool_internal.h"

void slice_settle(struct pool *p, struct slice_in_hand *s)
{
    slice_enter(p, s, S_SETTLING);
    struct pool_ref ref = {s->slot, s->generation};
    struct pool_outcome out = {.run = s->run,
                               .slice = s->slice,
                               .claim = s->claim,
                               .subjects = s->subjects,
                               .each = s->each,
                               .careful = s->careful};
    p->ops.settle(p->ops.world, ref, &out);
}

void slice_checked(struct pool *p, struct slice_in_hand *s)
{
    struct share *share = &p->desk[s->engine].share;
    if (share->answered_ask > s->last_failure)
        slice_settle(p, s);
    else
        share->failed = true; /* that ask was too early to tell: another one, soon */
}

void slice_judged(struct pool *p, struct slice_in_hand *s)
{
    /* A network or timeout error is charged only when an ask made after it says that the engine
     * was not down (design 7). */
    if (s->last_failure > 0) {
        slice_enter(p, s, S_CHECKING);
        slice_checked(p, s);
    } else {
        slice_settle(p, s);
    }
}

/* Again at once, in another way. A bulk engine's slice waits for its place again: the lease that
 * it was judged under may end. */
static void settle_otherwise(struct pool *p, struct slice_in_hand *s)
{
    if (!slice_is_bulk(p, s)) {
        slice_settle(p, s);
        return;
    }
    s->again_at = p->now;
    slice_enter(p, s, S_RETRY);
}

static void settle_again(struct pool *p, struct slice_in_hand *s, const struct settle_answer *a,
                         bool claim_first)
{
    slice_note(p, s, NOTE_SETTLE_RETRIED, &a->err);
    s->settle_tries++;
    s->claim_first = claim_first || s->settle_tries % SETTLE_TRIES == 0;
    slice_later(p, s);
    slice_enter(p, s, S_RETRY);
}

static void settled_done(struct pool *p, struct slice_in_hand *s, const struct settle_answer *a)
{
    struct pool_note note = {.kind = NOTE_SETTLED,
                             .engine = s->engine,
                             .run = s->run,
                             .slice = s->slice,
                             .claim = s->claim,
                             .subjects = s->subjects,
                             .settled = a,
                             .duration_ms = p->now - s->claimed_at};
    p->ops.note(p->ops.world, &note);
    slice_finish(p, s);
}

/* Refused again and again: a notification without its cooldown row (somebody deleted it); subject
 * by subject it becomes that subject's error. */
static void settled_duplicate(struct pool *p, struct slice_in_hand *s,
                              const struct settle_answer *a)
{
    if (s->careful) {
        s->each = s->settle_tries + 1 >= SETTLE_TRIES;
        settle_again(p, s, a, false);
    } else {
        s->careful = true;
        settle_otherwise(p, s);
    }
}

static void settled_bad_data(struct pool *p, struct slice_in_hand *s, const struct settle_answer *a)
{
    if (s->each) {
        settle_again(p, s, a, true);
    } else {
        s->each = true;
        settle_otherwise(p, s);
    }
}

/* A judge that is not there, or not allowed, for longer than a redeploy's gap: one by one it
 * becomes each subject's error, so that the run ends. A settle that may not write has no such way
 * out. */
static void settled_forbidden(struct pool *p, struct slice_in_hand *s,
                              const struct settle_answer *a)
{
    if (slice_is_bulk(p, s) && s->settle_tries + 1 >= SETTLE_TRIES)
        s->each = true;
    settle_again(p, s, a, true);
}

/* Somebody settled it, or its run was ended; or, judged in bulk, somebody else lives on it: a claim
 * tells which. */
static void settled_not_open(struct pool *p, struct slice_in_hand *s)
{
    if (slice_is_bulk(p, s)) {
        slice_claim(p, s);
        return;
    }
    slice_note(p, s, NOTE_REDELIVERED, NULL);
    slice_finish(p, s);
}

void pool_settled(struct pool *p, struct pool_ref ref, const struct settle_answer *a)
{
    struct slice_in_hand *s = slice_find(p, ref);
    p->now = p->ops.now_ms(p->ops.world);
    if (s == NULL || s->state != S_SETTLING)
        return;
    if (slice_is_bulk(p, s))
        calls_judged(p, s, a);
    switch (a->result) {
    case SETTLE_DONE:
        settled_done(p, s, a);
        break;
    case SETTLE_NOT_OPEN:
        settled_not_open(p, s);
        break;
    case SETTLE_DUPLICATE:
        settled_duplicate(p, s, a);
        break;
    case SETTLE_BAD_DATA:
        settled_bad_data(p, s, a);
        break;
    case SETTLE_TRANSIENT:
        settle_again(p, s, a, false);
        break;
    case SETTLE_FORBIDDEN:
        settled_forbidden(p, s, a);
        break;
    case SETTLE_REFUSED:
        settle_again(p, s, a, true);
        break;
    case SETTLE_UNKNOWN:
        slice_note(p, s, NOTE_SETTLE_RETRIED, &a->err);
        slice_claim(p, s);
        break;
    }
    pool_pump(p);
}
