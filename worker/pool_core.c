/* The pool itself: what it holds, the pump that every event ends in, the renewal of claims, and the
 * clock. The contract is pool_core.h; the parts are pool_slice.c (one slice's life), pool_calls.c
 * (subjects and the engine's limit), pool_window.c (offsets) and pool_leave.c (revoke, drain). */
#include "pool_internal.h"

#include <stdlib.h>

struct pool *pool_new(const struct pool_config *cfg, const struct pool_ops *ops, struct err *err)
{
    assert(cfg->engine_count >= 1 && cfg->engine_count <= POOL_ENGINES_MAX);
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        (void)err_set(err, ERR_SYSTEM, "ENOMEM", "no memory for the pool");
        return NULL;
    }
    p->ops = *ops;
    p->now = ops->now_ms(ops->world);
    p->touch_at = INT64_MAX;
    rng_seed(&p->rng, cfg->seed);
    p->engine_count = cfg->engine_count;
    for (int e = 0; e < cfg->engine_count; e++) {
        struct engine_desk *desk = &p->desk[e];
        desk->cfg = cfg->engines[e];
        desk->oldest = desk->newest = desk->alone = NO_SLOT;
        share_init(&desk->share, desk->cfg.timeout_ms, p->now);
    }
    for (uint32_t i = POOL_SLOTS; i > 0; i--)
        p->free_slots[p->free_count++] = i - 1;
    return p;
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < POOL_SLOTS; i++) {
        struct slice_in_hand *s = &p->slots[i];
        if (!s->used || s->claim == NULL)
            continue;
        for (int k = 0; k < s->claim->n; k++)
            answer_free(s->subjects[k].answer);
        free(s->subjects);
        claim_free(s->claim);
    }
    free(p);
}

/* ---- the pump ---------------------------------------------------------------------------- */

/* Claims come just ahead of need: what a crash leaves claimed has to go stale before somebody else
 * can take it, and what is not claimed another worker can have at once. */
static bool enough_claimed(const struct engine_desk *desk, int claiming)
{
    int open = desk->cfg.bulk > 0 ? desk->open + desk->share.in_flight + claiming
                                  : desk->open + claiming * WAITING_GUESS;
    return desk->claimed + claiming >= LIMIT_CLAIMED_AHEAD && open >= 2 * desk->share.granted;
}

/* While a slice is worked alone, or about to be, nothing is claimed beside it. */
static bool one_is_alone(struct pool *p, int engine)
{
    for (struct slice_in_hand *s = slice_oldest(p, engine); s != NULL; s = slice_next(p, s))
        if (s->alone && (s->state == S_JUDGING || p->desk[engine].alone == s->slot))
            return true;
    return false;
}

/* While an engine is closed there shall be a slice that no call has failed for: a probe asks about
 * another one each time, since what is left in the old ones may be what always fails. */
static void claim_ahead(struct pool *p, int engine)
{
    struct engine_desk *desk = &p->desk[engine];
    int claiming = 0;
    bool fresh = !desk->closed;
    for (struct slice_in_hand *s = slice_oldest(p, engine); s != NULL; s = slice_next(p, s)) {
        claiming += s->state == S_CLAIMING;
        fresh = fresh || claiming > 0 || (s->state == S_JUDGING && s->failed_at == 0);
        if (s->state != S_WAITING || s->again_at > p->now)
            continue;
        if (fresh && enough_claimed(desk, claiming))
            return;
        if (!desk->closed && one_is_alone(p, engine))
            return;
        slice_claim(p, s);
        claiming++;
        fresh = true;
    }
}

/* Claims and settles whose moment has come. */
static void due_slices(struct pool *p, int engine)
{
    struct slice_in_hand *next;
    for (struct slice_in_hand *s = slice_oldest(p, engine); s != NULL; s = next) {
        next = slice_next(p, s);
        if (s->again_at > p->now)
            continue;
        if (s->state == S_BUSY || (s->state == S_RETRY && s->claim_first)) {
            s->claim_first = false;
            slice_claim(p, s);
        } else if (s->state == S_RETRY && slice_is_bulk(p, s)) {
            slice_enter(p, s, S_JUDGING);
        } else if (s->state == S_RETRY) {
            slice_settle(p, s);
        }
    }
}

static void touch_claims(struct pool *p)
{
    struct uuid runs[POOL_SLOTS];
    int32_t slices[POOL_SLOTS], calls[POOL_SLOTS];
    const char *classes[POOL_SLOTS];
    int n = 0;
    bool held = false;
    for (int e = 0; e < p->engine_count; e++)
        for (struct slice_in_hand *s = slice_oldest(p, e); s != NULL; s = slice_next(p, s)) {
            held = held || slice_holds_claim(s);
            /* settle holds the lock of its slice's row: a renewal would wait behind it, and
             * whoever would take the slice over has to, too */
            if (!slice_holds_claim(s) || s->state == S_SETTLING)
                continue;
            p->touched[n] = (struct pool_ref){s->slot, s->generation};
            s->renewed_at = p->now;
            runs[n] = s->run;
            slices[n] = s->slice;
            calls[n] = s->calls_done;
            classes[n] = s->last_class;
            n++;
        }
    p->touch_at = held ? p->now + CLAIM_RENEW_MS : INT64_MAX;
    if (n == 0)
        return;
    p->touching = true;
    p->ops.touch(p->ops.world, p->touched, runs, slices, calls, classes, n);
}

void pool_pump(struct pool *p)
{
    if (p->leaving == LEFT)
        return;
    window_take_all(p);
    if (p->now >= p->touch_at && !p->touching)
        touch_claims(p);
    leave_step(p);
    for (int e = 0; e < p->engine_count && p->leaving != LEFT; e++) {
        due_slices(p, e);
        if (p->leaving == STAYING)
            claim_ahead(p, e);
        calls_start(p, e);
        calls_want(p, e);
        calls_ask(p, e);
    }
}

/* ---- events that concern the whole ------------------------------------------------------- */

void pool_assigned(struct pool *p, const struct pool_part *parts, int n)
{
    p->now = p->ops.now_ms(p->ops.world);
    for (int i = 0; i < n && p->part_count < LIMIT_PARTITIONS; i++)
        p->part[p->part_count++] = (struct window){.id = parts[i]};
    p->look = true;
    pool_pump(p);
}

void pool_messages_waiting(struct pool *p)
{
    p->now = p->ops.now_ms(p->ops.world);
    for (int i = 0; i < p->part_count; i++)
        p->part[i].dry = false;
    p->look = true;
    pool_pump(p);
}

/* Somebody else has it, or it is settled: a claim tells which. */
static void lost_claim(struct pool *p, struct slice_in_hand *s)
{
    slice_note(p, s, NOTE_LOST, NULL);
    calls_abort(p, s);
    slice_claim(p, s);
}

void pool_touched(struct pool *p, const struct pool_ref *touched, int n, const bool *ours,
                  bool failed)
{
    p->now = p->ops.now_ms(p->ops.world);
    p->touching = false;
    for (int i = 0; i < n && !failed; i++) {
        struct slice_in_hand *s = slice_find(p, touched[i]);
        if (s == NULL || ours[i])
            continue;
        /* one that is being settled is not pending any more when that commits: no news */
        if (s->state == S_JUDGING || s->state == S_CHECKING || s->state == S_RETRY)
            lost_claim(p, s);
    }
    pool_pump(p);
}

void pool_tick(struct pool *p)
{
    p->now = p->ops.now_ms(p->ops.world);
    pool_pump(p);
}

static int64_t slice_wake(const struct slice_in_hand *s)
{
    if (s->state == S_WAITING || s->state == S_BUSY || s->state == S_RETRY)
        return s->again_at;
    return s->state == S_JUDGING ? s->next_due : INT64_MAX;
}

int64_t pool_next_wake(const struct pool *p)
{
    if (p->leaving == LEFT)
        return INT64_MAX;
    int64_t wake = p->touching ? INT64_MAX : p->touch_at;
    for (int e = 0; e < p->engine_count; e++) {
        const struct engine_desk *desk = &p->desk[e];
        int64_t next = share_next(&desk->share, p->now);
        for (uint32_t slot = desk->oldest; slot != NO_SLOT; slot = p->slots[slot].newer) {
            int64_t at = slice_wake(&p->slots[slot]);
            if (at > p->now && at < next)
                next = at; /* what is past waits for something else: room, or an answer */
        }
        if (next < wake)
            wake = next;
    }
    if (p->leaving == REVOKING || p->leaving == DRAINING) {
        int64_t leave = p->now < p->leave_by ? p->leave_by : p->leave_hard;
        if (leave < wake)
            wake = leave;
    }
    return wake;
}

struct pool_numbers pool_numbers(const struct pool *p, int engine)
{
    const struct engine_desk *desk = &p->desk[engine];
    struct pool_numbers n = {.calls = desk->share.in_flight,
                             .share = desk->share.granted,
                             .current = desk->current,
                             .closed = desk->closed};
    for (int i = 0; i < p->part_count; i++)
        n.partitions += p->part[i].id.engine == engine;
    for (uint32_t slot = desk->oldest; slot != NO_SLOT; slot = p->slots[slot].newer)
        n.slices++;
    return n;
}

const uint64_t *pool_edges(const struct pool *p)
{
    return p->edges;
}
