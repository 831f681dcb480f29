/* Giving partitions back (a revoke) and going home (a drain): what has begun may end for a while,
 * the rest is released, and only then is unassign, or leave, asked for. */
#include "pool_internal.h"

/* Whether the slice is still something that leaving waits for. */
static bool bound(const struct pool *p, const struct slice_in_hand *s)
{
    return s->part >= 0 || p->leaving == DRAINING;
}

static bool give_up_now(const struct pool *p, const struct slice_in_hand *s)
{
    switch (s->state) {
    case S_WAITING:
    case S_BUSY:
        return true;
    case S_JUDGING:
        return !s->begun || p->now >= p->leave_by;
    case S_CHECKING:
    case S_RETRY:
        return p->now >= p->leave_by;
    case S_CLAIMING: /* its answer says whether there is something to release */
    case S_SETTLING: /* its answer comes, or the link ends */
    case S_DONE:
    case S_GONE:
        return false;
    }
    return false;
}

/* A claim whose answer was lost may be ours as well. */
static bool gives_back(const struct slice_in_hand *s)
{
    return slice_holds_claim(s) || (s->state == S_WAITING && s->claim_first);
}

/* Ends what need not be waited for; its claims go back in one call. Returns how many are left. */
static int give_up_slices(struct pool *p)
{
    struct uuid runs[POOL_SLOTS];
    int32_t slices[POOL_SLOTS];
    int n = 0, left = 0;
    for (int e = 0; e < p->engine_count; e++) {
        struct slice_in_hand *next;
        for (struct slice_in_hand *s = slice_oldest(p, e); s != NULL; s = next) {
            next = slice_next(p, s);
            if (!bound(p, s))
                continue;
            if (!give_up_now(p, s)) {
                left++;
                continue;
            }
            if (gives_back(s)) {
                runs[n] = s->run;
                slices[n++] = s->slice;
                slice_note(p, s, NOTE_RELEASED, NULL);
            }
            calls_abort(p, s);
            slice_drop(p, s);
        }
    }
    if (n > 0) {
        p->releases++;
        p->ops.release(p->ops.world, runs, slices, n);
    }
    return left;
}

/* Slices that outlive their partition: their answers still come, but store nothing. */
static void orphan(struct pool *p)
{
    for (int e = 0; e < p->engine_count; e++)
        for (struct slice_in_hand *s = slice_oldest(p, e); s != NULL; s = slice_next(p, s)) {
            s->part = -1;
            s->abandoned = true;
        }
    p->part_count = 0;
}

void leave_step(struct pool *p)
{
    if (p->leaving == STAYING) /* LEFT: the pump does not come here any more */
        return;
    int left = give_up_slices(p);
    bool over = p->now >= p->leave_hard;
    if ((left > 0 || p->releases > 0) && !over)
        return;
    for (int e = 0; e < p->engine_count && p->leaving == DRAINING; e++) {
        calls_want(p, e); /* what is lent goes back now, not when its lease ends */
        calls_ask(p, e);
    }
    orphan(p);
    bool draining = p->leaving == DRAINING;
    p->leaving = draining ? LEFT : STAYING;
    if (p->unassign_due) {
        p->unassign_due = false;
        p->ops.unassign(p->ops.world);
    }
    if (draining)
        p->ops.leave(p->ops.world);
}

static void leave_within(struct pool *p, int64_t ms)
{
    if (p->now + ms < p->leave_by) {
        p->leave_by = p->now + ms;
        p->leave_hard = p->leave_by + REVOKE_GRACE_MS;
    }
}

void pool_revoked(struct pool *p, bool lost)
{
    p->now = p->ops.now_ms(p->ops.world);
    if (p->leaving == LEFT) {
        p->ops.unassign(p->ops.world);
        return;
    }
    if (p->leaving == STAYING) {
        p->leaving = REVOKING;
        p->leave_by = INT64_MAX;
    }
    p->unassign_due = true;
    leave_within(p, lost ? 0 : REVOKE_GRACE_MS);
    pool_pump(p);
}

void pool_drain(struct pool *p, int64_t drain_ms)
{
    p->now = p->ops.now_ms(p->ops.world);
    if (p->leaving == LEFT)
        return;
    if (p->leaving == STAYING)
        p->leave_by = INT64_MAX;
    p->leaving = DRAINING;
    leave_within(p, drain_ms);
    pool_pump(p);
}

void pool_released(struct pool *p, bool failed)
{
    (void)failed; /* what was not given back goes stale */
    p->now = p->ops.now_ms(p->ops.world);
    p->releases--;
    pool_pump(p);
}
