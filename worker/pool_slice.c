/* One slice's life in this worker: its states, its slot, its claim. How it is settled:
 * pool_settle.c. */
#include "pool_internal.h"

#include <stdlib.h>
#include <string.h>

#define RECLAIM_MIN_MS 100
#define RECLAIM_MAX_MS 5000

static const char *const state_names[POOL_STATES] = {
    "waiting", "claiming", "busy", "judging", "checking", "settling", "retry", "done", "gone"};

/* The only edges there are; row: from, bit: to. */
#define TO(s) (1u << (s))
static const unsigned edges[POOL_STATES] = {
    [S_WAITING] = TO(S_CLAIMING) | TO(S_GONE),
    [S_CLAIMING] = TO(S_WAITING) | TO(S_BUSY) | TO(S_JUDGING) | TO(S_CHECKING) | TO(S_SETTLING) |
                   TO(S_RETRY) | TO(S_DONE) | TO(S_GONE),
    [S_BUSY] = TO(S_CLAIMING) | TO(S_GONE),
    [S_JUDGING] = TO(S_CHECKING) | TO(S_SETTLING) | TO(S_CLAIMING) | TO(S_WAITING) | TO(S_GONE),
    [S_CHECKING] = TO(S_JUDGING) | TO(S_SETTLING) | TO(S_CLAIMING) | TO(S_GONE),
    [S_SETTLING] = TO(S_DONE) | TO(S_RETRY) | TO(S_CLAIMING) | TO(S_SETTLING),
    [S_RETRY] = TO(S_SETTLING) | TO(S_JUDGING) | TO(S_CLAIMING) | TO(S_GONE),
};

const char *pool_state_name(int state)
{
    return state >= 0 && state < POOL_STATES ? state_names[state] : "?";
}

bool pool_edge_allowed(int from, int to)
{
    return from >= 0 && from < POOL_STATES && to >= 0 && to < POOL_STATES &&
           (edges[from] & TO(to)) != 0;
}

/* ---- the engine's list and the slots ----------------------------------------------------- */

static struct slice_in_hand *at(struct pool *p, uint32_t slot)
{
    return slot == NO_SLOT ? NULL : &p->slots[slot];
}

struct slice_in_hand *slice_oldest(struct pool *p, int engine)
{
    return at(p, p->desk[engine].oldest);
}

struct slice_in_hand *slice_next(struct pool *p, const struct slice_in_hand *s)
{
    return at(p, s->newer);
}

struct slice_in_hand *slice_find(struct pool *p, struct pool_ref ref)
{
    if (ref.slot >= POOL_SLOTS || p->leaving == LEFT)
        return NULL; /* who has left hears of nothing any more */
    struct slice_in_hand *s = &p->slots[ref.slot];
    return s->used && s->generation == ref.generation ? s : NULL;
}

bool slice_in_hand_already(struct pool *p, const struct uuid *run, int32_t slice)
{
    for (int e = 0; e < p->engine_count; e++)
        for (struct slice_in_hand *s = slice_oldest(p, e); s != NULL; s = slice_next(p, s))
            if (s->slice == slice && uuid_equal(&s->run, run) && !s->abandoned)
                return true;
    return false;
}

void slice_new(struct pool *p, int part, const struct pool_message *m)
{
    assert(p->free_count > 0);
    uint32_t slot = p->free_slots[--p->free_count];
    struct slice_in_hand *s = &p->slots[slot];
    uint32_t generation = s->generation + 1;
    struct engine_desk *desk = &p->desk[p->part[part].id.engine];
    *s = (struct slice_in_hand){.slot = slot,
                                .generation = generation,
                                .used = true,
                                .older = desk->newest,
                                .newer = NO_SLOT,
                                .state = S_WAITING,
                                .engine = p->part[part].id.engine,
                                .part = part,
                                .offset = m->offset,
                                .run = m->run,
                                .slice = m->slice,
                                .next_due = INT64_MAX};
    memcpy(s->traceparent, m->traceparent, sizeof(s->traceparent));
    if (desk->newest != NO_SLOT)
        p->slots[desk->newest].newer = slot;
    else
        desk->oldest = slot;
    desk->newest = slot;
    desk->waiting++;
}

static void forget_judgement(struct slice_in_hand *s)
{
    for (int i = 0; s->claim != NULL && i < s->claim->n; i++)
        answer_free(s->subjects[i].answer);
    free(s->subjects);
    s->subjects = NULL;
    claim_free(TAKE(s->claim));
    s->open = s->untried = s->next = 0;
    s->next_due = INT64_MAX;
    s->last_failure = 0;
}

static void slice_free(struct pool *p, struct slice_in_hand *s)
{
    struct engine_desk *desk = &p->desk[s->engine];
    if (s->older != NO_SLOT)
        p->slots[s->older].newer = s->newer;
    else
        desk->oldest = s->newer;
    if (s->newer != NO_SLOT)
        p->slots[s->newer].older = s->older;
    else
        desk->newest = s->older;
    forget_judgement(s);
    s->used = false;
    p->free_slots[p->free_count++] = s->slot;
}

/* ---- states ------------------------------------------------------------------------------ */

/* The desk's counters are sums over its slices; they move here and with each subject, only. */
static void count_state(struct pool *p, const struct slice_in_hand *s, int sign)
{
    struct engine_desk *desk = &p->desk[s->engine];
    if (s->state == S_WAITING || s->state == S_CLAIMING)
        desk->waiting += sign;
    if (s->state == S_JUDGING) {
        desk->open += sign * s->open;
        desk->claimed += s->untried > 0 ? sign : 0;
    }
}

void slice_enter(struct pool *p, struct slice_in_hand *s, enum slice_state to)
{
    assert(pool_edge_allowed((int)s->state, (int)to));
    p->edges[(int)s->state * POOL_STATES + (int)to]++;
    count_state(p, s, -1);
    s->state = to;
    count_state(p, s, +1);
    if (to == S_RETRY && s->renewed_at + CLAIM_RENEW_MS < p->touch_at)
        p->touch_at = s->renewed_at + CLAIM_RENEW_MS; /* a settle is not renewed, and may be long */
    bool judged = to == S_JUDGING || (to == S_SETTLING && slice_is_bulk(p, s));
    if (!judged && p->desk[s->engine].alone == s->slot)
        p->desk[s->engine].alone = NO_SLOT;
}

bool slice_is_bulk(const struct pool *p, const struct slice_in_hand *s)
{
    return p->desk[s->engine].cfg.bulk > 0;
}

bool slice_holds_claim(const struct slice_in_hand *s)
{
    return s->state == S_JUDGING || s->state == S_CHECKING || s->state == S_RETRY ||
           s->state == S_SETTLING;
}

void slice_note(struct pool *p, const struct slice_in_hand *s, enum pool_note_kind kind,
                const struct err *err)
{
    struct pool_note note = {.kind = kind,
                             .engine = s->engine,
                             .run = s->run,
                             .slice = s->slice,
                             .claim = s->claim,
                             .subjects = s->subjects,
                             .err = err,
                             .state = pool_state_name((int)s->state),
                             .duration_ms = p->now - s->claimed_at};
    p->ops.note(p->ops.world, &note);
}

void slice_finish(struct pool *p, struct slice_in_hand *s)
{
    slice_enter(p, s, S_DONE);
    int part = s->part;
    int64_t offset = s->offset;
    slice_free(p, s);
    window_finished(p, part, offset);
}

void slice_drop(struct pool *p, struct slice_in_hand *s)
{
    slice_enter(p, s, S_GONE);
    slice_free(p, s);
}

void slice_later(struct pool *p, struct slice_in_hand *s)
{
    s->wait_ms = backoff_next(&p->rng, s->wait_ms, RECLAIM_MIN_MS, RECLAIM_MAX_MS);
    s->again_at = p->now + s->wait_ms;
}

void slice_give_back(struct pool *p, struct slice_in_hand *s)
{
    p->releases++;
    p->ops.release(p->ops.world, &s->run, &s->slice, 1);
    slice_note(p, s, NOTE_RELEASED, NULL);
    slice_enter(p, s, S_WAITING);
    forget_judgement(s);
}

/* ---- claim ------------------------------------------------------------------------------- */

void slice_claim(struct pool *p, struct slice_in_hand *s)
{
    slice_enter(p, s, S_CLAIMING);
    s->renewed_at = p->now;
    struct pool_ref ref = {s->slot, s->generation};
    p->ops.claim(p->ops.world, s->engine, ref, &s->run, s->slice);
}

static bool begin_judging(struct pool *p, struct slice_in_hand *s, struct claim *claim)
{
    s->subjects = calloc((size_t)claim->n + 1, sizeof(*s->subjects));
    if (s->subjects == NULL) {
        claim_free(claim);
        return false; /* the claim goes stale and somebody with memory takes it */
    }
    s->claim = claim;
    for (int i = 0; i < claim->n; i++)
        s->subjects[i].state = claim->eligible[i] ? SUBJECT_OPEN : SUBJECT_SKIPPED;
    s->open = slice_is_bulk(p, s);
    for (int i = 0; i < claim->n; i++)
        s->open += claim->eligible[i];
    s->untried = s->open;
    s->alone = claim->attempt >= ALONE_FROM_ATTEMPT;
    s->claimed_at = p->now;
    slice_note(p, s, NOTE_CLAIMED, NULL);
    return true;
}

static void claimed_ours(struct pool *p, struct slice_in_hand *s, struct claim *claim)
{
    s->wait_ms = 0;
    if (s->claim != NULL && s->claim->n == claim->n) {
        claim_free(claim); /* claimed again: what was judged still holds */
    } else if (!begin_judging(p, s, claim)) {
        slice_later(p, s);
        slice_enter(p, s, S_WAITING);
        return;
    }
    if (p->touch_at == INT64_MAX)
        p->touch_at = p->now + CLAIM_RENEW_MS;
    if (s->open > 0)
        slice_enter(p, s, S_JUDGING);
    else
        slice_judged(p, s); /* it may have been lost while an outage was asked about */
}

static void claimed_busy(struct pool *p, struct slice_in_hand *s, int stale_ms)
{
    forget_judgement(s);
    if (s->busy_before) { /* its owner lives and renews; if that ends, the reconciler rings */
        slice_note(p, s, NOTE_REDELIVERED, NULL);
        slice_finish(p, s);
        return;
    }
    s->busy_before = true;
    s->again_at = p->now + stale_ms;
    slice_enter(p, s, S_BUSY);
}

static void claim_failed(struct pool *p, struct slice_in_hand *s, const struct err *err)
{
    slice_note(p, s, NOTE_CLAIM_FAILED, err);
    slice_later(p, s);
    s->claim_first = true;
    slice_enter(p, s, s->claim == NULL ? S_WAITING : S_RETRY);
}

/* When the partition has come back meanwhile, the claim may belong to the slice's next life here.
 */
static bool claimed_anew(struct pool *p, const struct slice_in_hand *s)
{
    for (struct slice_in_hand *o = slice_oldest(p, s->engine); o != NULL; o = slice_next(p, o))
        if (o != s && o->slice == s->slice && uuid_equal(&o->run, &s->run) &&
            (o->state == S_CLAIMING || slice_holds_claim(o)))
            return true;
    return false;
}

static void note_worker_lost(struct pool *p, const struct slice_in_hand *s,
                             const struct claim *claim)
{
    struct pool_note note = {.kind = NOTE_WORKER_LOST,
                             .engine = s->engine,
                             .run = s->run,
                             .slice = s->slice,
                             .claim = claim};
    p->ops.note(p->ops.world, &note);
}

/* Partitions were taken back while the claim was under way. */
static void claimed_unwanted(struct pool *p, struct slice_in_hand *s, const struct claim *claim)
{
    if (claim->outcome == CLAIM_LOST)
        note_worker_lost(p, s, claim);
    if (claim->outcome == CLAIM_OURS && !claimed_anew(p, s)) {
        p->releases++;
        p->ops.release(p->ops.world, &s->run, &s->slice, 1);
    }
    slice_drop(p, s);
}

/* There is nothing to do. Its partition is still ours: else the slice were abandoned. */
static void claimed_over(struct pool *p, struct slice_in_hand *s, const struct claim *claim)
{
    if (claim->outcome == CLAIM_LOST) {
        note_worker_lost(p, s, claim);
    } else if (claim->outcome == CLAIM_UNKNOWN) {
        p->ops.dead_letter(p->ops.world, p->part[s->part].id, s->offset, "unknown_slice");
    } else {
        slice_note(p, s, NOTE_REDELIVERED, NULL);
    }
    slice_finish(p, s);
}

void pool_claimed(struct pool *p, struct pool_ref ref, struct claim *claim)
{
    struct slice_in_hand *s = slice_find(p, ref);
    p->now = p->ops.now_ms(p->ops.world);
    if (s == NULL || s->state != S_CLAIMING) {
        claim_free(claim);
        return;
    }
    enum claim_outcome outcome = claim->outcome;
    if (s->abandoned) {
        claimed_unwanted(p, s, claim);
        claim_free(claim);
    } else if (outcome == CLAIM_OURS) {
        claimed_ours(p, s, claim);
    } else {
        if (outcome == CLAIM_BUSY) {
            claimed_busy(p, s, claim->stale_ms);
        } else if (outcome == CLAIM_FAILED) {
            claim_failed(p, s, &claim->err);
        } else {
            claimed_over(p, s, claim);
        }
        claim_free(claim);
    }
    pool_pump(p);
}
