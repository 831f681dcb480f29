/* Subjects and the engine's limit: which call to start next, what its answer means, when a failed
 * try is tried again, and which tries an outage takes back. */
#include "pool_internal.h"

/* ---- counters that follow a subject ------------------------------------------------------ */

static void untried_moves(struct pool *p, struct slice_in_hand *s, int by)
{
    struct engine_desk *desk = &p->desk[s->engine];
    assert(s->state == S_JUDGING);
    desk->claimed -= s->untried > 0;
    s->untried += by;
    desk->claimed += s->untried > 0;
}

static void open_moves(struct pool *p, struct slice_in_hand *s, int by)
{
    s->open += by;
    if (s->state == S_JUDGING)
        p->desk[s->engine].open += by;
}

/* ---- which call next --------------------------------------------------------------------- */

static bool callable(const struct subject *u)
{
    return u->state == SUBJECT_OPEN && !u->in_flight;
}

static int next_untried(struct slice_in_hand *s)
{
    if (s->untried == 0)
        return -1;
    for (int i = s->next; i < s->claim->n; i++) {
        if (callable(&s->subjects[i]) && s->subjects[i].due_ms == 0) {
            s->next = i;
            return i;
        }
    }
    return -1;
}

/* The one that waits longest, so that a probe asks about another subject each time. Looks at all of
 * them, but only when one is due: a retry is the exception. */
static int next_retry(struct slice_in_hand *s, int64_t now)
{
    if (s->next_due > now)
        return -1;
    int found = -1;
    s->next_due = INT64_MAX;
    for (int i = 0; i < s->claim->n; i++) {
        const struct subject *u = &s->subjects[i];
        if (!callable(u) || u->due_ms == 0 || u->due_ms >= s->next_due)
            continue;
        s->next_due = u->due_ms;
        found = i;
    }
    return s->next_due <= now ? found : -1;
}

/* The subject to call now, -1 for none: those never called first. */
static int next_call(struct slice_in_hand *s, int64_t now)
{
    int i = next_untried(s);
    return i >= 0 ? i : next_retry(s, now);
}

/* No judge while claims are renewed: it locks its slice's row, the renewal would wait for that, and
 * all others with it. */
static bool startable(const struct pool *p, const struct slice_in_hand *s)
{
    return s->state == S_JUDGING && (p->leaving == STAYING || s->begun) &&
           !(slice_is_bulk(p, s) && p->touching);
}

/* What has not begun must not die with a slice that may kill the worker: each death counts as an
 * attempt of whatever is claimed, and the innocent would be given up with the poison. */
static void give_others_back(struct pool *p, const struct slice_in_hand *alone)
{
    for (struct slice_in_hand *s = slice_oldest(p, alone->engine); s != NULL; s = slice_next(p, s))
        if (s != alone && s->state == S_JUDGING && !s->begun)
            slice_give_back(p, s);
}

/* A slice that has failed twice already is worked alone, so that what kills workers is found. Alone
 * among its engine's: a sick engine must not stand in the way of the others'. */
static bool may_begin(struct pool *p, struct slice_in_hand *s)
{
    struct engine_desk *desk = &p->desk[s->engine];
    if (!startable(p, s))
        return false;
    if (desk->alone != NO_SLOT)
        return desk->alone == s->slot;
    if (!s->alone)
        return true;
    if (desk->share.in_flight > s->in_flight)
        return false;
    desk->alone = s->slot;
    give_others_back(p, s);
    return true;
}

static void start_judge(struct pool *p, struct slice_in_hand *s)
{
    struct pool_ref ref = {s->slot, s->generation};
    struct pool_judge judge = {
        .run = s->run, .slice = s->slice, .each = s->each, .careful = s->careful};
    s->begun = true;
    s->in_flight = 1;
    share_call_started(&p->desk[s->engine].share);
    slice_enter(p, s, S_SETTLING);
    p->ops.judge(p->ops.world, s->engine, ref, &judge);
}

static void start(struct pool *p, struct slice_in_hand *s, int i)
{
    struct subject *u = &s->subjects[i];
    u->in_flight = true;
    if (u->due_ms == 0)
        untried_moves(p, s, -1);
    s->begun = true;
    s->in_flight++;
    share_call_started(&p->desk[s->engine].share);
    struct engine_call call = {.ref = {s->slot, s->generation, i},
                               .claim = s->claim,
                               .invocation = &s->run,
                               .traceparent = s->traceparent};
    p->ops.call(p->ops.world, s->engine, &call);
}

/* Starts the slice's next call; false: none is due. */
static bool start_next(struct pool *p, struct slice_in_hand *s)
{
    if (slice_is_bulk(p, s)) {
        start_judge(p, s);
        return true;
    }
    int i = next_call(s, p->now);
    if (i >= 0)
        start(p, s, i);
    return i >= 0;
}

/* The engine is closed, and this call is the fleet's only one: of the slice whose calls failed the
 * longest ago, or never, so that one with nothing but hopeless subjects does not keep it closed. */
static void start_probe(struct pool *p, int engine)
{
    struct slice_in_hand *best = NULL;
    for (struct slice_in_hand *s = slice_oldest(p, engine); s != NULL; s = slice_next(p, s)) {
        if (!startable(p, s))
            continue;
        bool due = slice_is_bulk(p, s) || next_call(s, p->now) >= 0;
        if (due && (best == NULL || s->failed_at < best->failed_at))
            best = s;
    }
    if (best != NULL)
        (void)start_next(p, best); /* it is due */
}

void calls_start(struct pool *p, int engine)
{
    struct engine_desk *desk = &p->desk[engine];
    int room = share_room(&desk->share, p->now);
    if (desk->alone != NO_SLOT && !desk->closed) /* closed: probes ask about others, too */
        give_others_back(p, &p->slots[desk->alone]);
    if (room > 0 && desk->share.probe) {
        start_probe(p, engine);
        return;
    }
    struct slice_in_hand *s = slice_oldest(p, engine);
    while (room > 0 && s != NULL) {
        struct slice_in_hand *next = slice_next(p, s);
        if (may_begin(p, s)) {
            if (start_next(p, s)) {
                room--;
                next = slice_is_bulk(p, s) ? next : s;
            }
        } else if (s->state == S_JUDGING && s->alone && desk->alone == NO_SLOT) {
            return; /* it waits for the others to end: nobody younger starts before it */
        }
        s = next;
    }
}

void calls_abort(struct pool *p, struct slice_in_hand *s)
{
    if (s->in_flight == 0)
        return;
    struct pool_ref ref = {s->slot, s->generation};
    p->ops.abort_calls(p->ops.world, s->engine, ref);
    share_calls_aborted(&p->desk[s->engine].share, p->now, s->in_flight);
    s->in_flight = 0;
    for (int i = 0; i < s->claim->n; i++) {
        struct subject *u = &s->subjects[i];
        if (!u->in_flight)
            continue;
        u->in_flight = false;
        if (u->due_ms == 0) {
            untried_moves(p, s, +1);
            if (i < s->next)
                s->next = i;
        } else if (u->due_ms < s->next_due) {
            s->next_due = u->due_ms;
        }
    }
}

/* ---- what an answer means ---------------------------------------------------------------- */

static bool may_be_outage(enum err_class cls)
{
    return cls == ERR_NETWORK || cls == ERR_TIMEOUT;
}

static void ended(struct pool *p, struct slice_in_hand *s, struct subject *u,
                  enum subject_state state)
{
    u->state = state;
    s->calls_done++;
    open_moves(p, s, -1);
}

static void failed(struct pool *p, struct slice_in_hand *s, struct subject *u)
{
    const struct answer *a = u->answer;
    u->tries++;
    u->failed_ms = s->failed_at = p->now;
    s->last_class = err_class_name(a->cls);
    if (a->retry && u->tries < ENGINE_TRIES) {
        u->wait_ms =
            backoff_next(&p->rng, u->wait_ms, ENGINE_BACKOFF_MIN_MS, ENGINE_BACKOFF_MAX_MS);
        u->due_ms = p->now + u->wait_ms;
        if (u->due_ms < s->next_due)
            s->next_due = u->due_ms;
        return;
    }
    if (may_be_outage(a->cls))
        s->last_failure = p->now;
    ended(p, s, u, SUBJECT_FAILED);
}

void pool_answered(struct pool *p, struct call_ref ref, struct answer *answer)
{
    struct pool_ref slice = {ref.slot, ref.generation};
    struct slice_in_hand *s = slice_find(p, slice);
    p->now = p->ops.now_ms(p->ops.world);
    if (s == NULL || s->claim == NULL || ref.subject < 0 || ref.subject >= s->claim->n ||
        !s->subjects[ref.subject].in_flight) {
        answer_free(answer);
        return;
    }
    struct subject *u = &s->subjects[ref.subject];
    u->in_flight = false;
    s->in_flight--;
    share_call_ended(&p->desk[s->engine].share, p->now, answer, u->tries == 0);
    answer_free(u->answer);
    u->answer = answer;
    if (answer->ok)
        ended(p, s, u, SUBJECT_JUDGED);
    else
        failed(p, s, u);
    if (s->open == 0)
        slice_judged(p, s);
    pool_pump(p);
}

/* What a judge's end says of the engine: the database that refuses a statement for its data or its
 * rights, or has somebody else before it, is alive. */
static struct answer judge_as_answer(const struct settle_answer *a)
{
    struct answer as = {.sign = TRY_ANSWERED};
    switch (a->result) {
    case SETTLE_DONE:
        as.ok = true;
        break;
    case SETTLE_NOT_OPEN:
    case SETTLE_DUPLICATE:
    case SETTLE_BAD_DATA:
    case SETTLE_TRANSIENT:
    case SETTLE_FORBIDDEN:
        break;
    case SETTLE_UNKNOWN:
    case SETTLE_REFUSED:
        as.sign = TRY_FAILED;
        break;
    }
    return as;
}

void calls_judged(struct pool *p, struct slice_in_hand *s, const struct settle_answer *a)
{
    struct answer as = judge_as_answer(a);
    bool first = s->failed_at == 0 && s->settle_tries == 0 && !s->each && !s->careful;
    s->in_flight = 0;
    share_call_ended(&p->desk[s->engine].share, p->now, &as, first);
    if (as.sign == TRY_FAILED)
        s->failed_at = p->now;
    if (as.sign == TRY_FAILED || a->result == SETTLE_FORBIDDEN)
        s->last_class = err_class_name(a->err.cls);
}

/* ---- the lent limit ---------------------------------------------------------------------- */

void calls_want(struct pool *p, int engine)
{
    struct engine_desk *desk = &p->desk[engine];
    bool bulk = desk->cfg.bulk > 0;
    int want = desk->open + (bulk ? desk->share.in_flight : 0);
    if (p->leaving == STAYING)
        want += desk->waiting * (bulk ? 1 : WAITING_GUESS);
    if (bulk && want > desk->cfg.bulk)
        want = desk->cfg.bulk;
    share_set_want(&desk->share, p->now, want);
}

static int slices_of(struct pool *p, int engine)
{
    int n = 0;
    for (struct slice_in_hand *s = slice_oldest(p, engine); s != NULL; s = slice_next(p, s))
        n++;
    return n;
}

void calls_ask(struct pool *p, int engine)
{
    struct engine_desk *desk = &p->desk[engine];
    struct share_report report;
    if (!share_ask(&desk->share, p->now, &report))
        return;
    report.slices = slices_of(p, engine);
    report.partitions = 0;
    for (int i = 0; i < p->part_count; i++)
        report.partitions += p->part[i].id.engine == engine;
    p->ops.ask_share(p->ops.world, engine, desk->share.asked_want, &report);
}

/* Whether its errors may still turn out to be an outage's: also while its claim is claimed again.
 */
static bool undecided(const struct slice_in_hand *s)
{
    bool claimed_again = s->state == S_CLAIMING || (s->state == S_RETRY && s->claim_first);
    return s->state == S_JUDGING || s->state == S_CHECKING || (claimed_again && s->claim != NULL);
}

/* Takes back what an outage has charged to one slice's subjects. */
static void strike(struct pool *p, struct slice_in_hand *s, int64_t since)
{
    for (int i = 0; i < s->claim->n; i++) {
        struct subject *u = &s->subjects[i];
        if (u->tries == 0 || u->failed_ms < since || u->in_flight || u->state == SUBJECT_JUDGED ||
            !may_be_outage(u->answer->cls))
            continue;
        u->tries = 0;
        u->due_ms = p->now + ENGINE_BACKOFF_MIN_MS;
        if (u->due_ms < s->next_due)
            s->next_due = u->due_ms;
        if (u->state == SUBJECT_FAILED) {
            u->state = SUBJECT_OPEN;
            s->calls_done--;
            open_moves(p, s, +1);
        }
    }
    s->last_failure = 0;
    if (s->state == S_CHECKING && s->open > 0)
        slice_enter(p, s, S_JUDGING);
}

static void note_health(struct pool *p, int engine, const struct share_answer *a)
{
    struct engine_desk *desk = &p->desk[engine];
    bool closed = a->outage_ms >= 0;
    desk->current = a->current;
    if (closed == desk->closed)
        return;
    desk->closed = closed;
    struct pool_note note = {.kind = closed ? NOTE_ENGINE_CLOSED : NOTE_ENGINE_OPEN,
                             .engine = engine,
                             .outage_ms = a->outage_ms};
    p->ops.note(p->ops.world, &note);
}

void pool_lent(struct pool *p, int engine, const struct share_answer *a)
{
    struct engine_desk *desk = &p->desk[engine];
    p->now = p->ops.now_ms(p->ops.world);
    if (p->leaving == LEFT)
        return;
    share_lent(&desk->share, p->now, a);
    if (a->arrived) {
        note_health(p, engine, a);
        bool outage = a->outage_ms >= 0 && a->outage_ms < OUTAGE_CHARGED_AFTER_MS;
        struct slice_in_hand *next;
        for (struct slice_in_hand *s = slice_oldest(p, engine); s != NULL; s = next) {
            next = slice_next(p, s);
            if (outage && undecided(s))
                strike(p, s, desk->share.outage_since);
            if (s->state == S_CHECKING)
                slice_checked(p, s);
        }
    }
    pool_pump(p);
}
