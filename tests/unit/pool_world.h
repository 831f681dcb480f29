/* A world for pool_core's tests: its ops write down what the core asks for, one word after another
 * ("claim 3;call 3/0;"), and the helpers answer. Asks for a share are only counted: share.c has its
 * own test. */
#ifndef REVEILLE_UNIT_POOL_WORLD_H
#define REVEILLE_UNIT_POOL_WORLD_H

#include "pool_core.h"
#include "unit.h"

#define POOL_WORLD_MAGIC 0x0b5e55edu
#define WORLD_SLICES 32
#define WORLD_MESSAGES 32

struct pool_world {
    unsigned magic;
    int64_t now;
    struct pool *pool;
    char said[2000];
    int asks, wanted;
    char tries[65]; /* all that was reported; every ask is answered in the tests that look */
    int ok;
    struct share_report reported;
    int next[2], count[2]; /* messages of two partitions: taken, there */
    struct pool_message message[2][WORLD_MESSAGES];
    struct pool_ref ref[WORLD_SLICES]; /* as last asked to claim */
    struct pool_ref touched[WORLD_SLICES];
    bool tells_touches; /* they come every two seconds: most tests do not want to hear of them */
};

static inline void say(struct pool_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void say(struct pool_world *w, const char *fmt, ...)
{
    size_t used = strlen(w->said);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->said + used, sizeof(w->said) - used, fmt, ap);
    va_end(ap);
}

static inline struct pool_world *pool_world(void *world)
{
    return CHECK_MAGIC(struct pool_world, world, POOL_WORLD_MAGIC);
}

static inline int64_t world_now(void *world)
{
    return pool_world(world)->now;
}

static inline bool world_take(void *world, struct pool_part part, struct pool_message *ret_m)
{
    struct pool_world *w = pool_world(world);
    if (w->next[part.partition] == w->count[part.partition])
        return false;
    *ret_m = w->message[part.partition][w->next[part.partition]++];
    return true;
}

static inline void world_claim(void *world, int engine, struct pool_ref ref, const struct uuid *run,
                               int32_t slice)
{
    struct pool_world *w = pool_world(world);
    (void)engine, (void)run;
    w->ref[slice] = ref;
    say(w, "claim %d;", (int)slice);
}

static inline int world_slice(const struct pool_world *w, uint32_t slot, uint32_t generation)
{
    for (int i = 0; i < WORLD_SLICES; i++)
        if (w->ref[i].slot == slot && w->ref[i].generation == generation)
            return i;
    return -1;
}

static inline void world_call(void *world, int engine, const struct engine_call *c)
{
    struct pool_world *w = pool_world(world);
    (void)engine;
    say(w, "call %d/%d;", world_slice(w, c->ref.slot, c->ref.generation), (int)c->ref.subject);
}

static inline void world_abort(void *world, int engine, struct pool_ref ref)
{
    struct pool_world *w = pool_world(world);
    (void)engine;
    say(w, "abort %d;", world_slice(w, ref.slot, ref.generation));
}

static inline void world_settle(void *world, struct pool_ref ref, const struct pool_outcome *out)
{
    static const char letters[] = {'?', 'k', 'j', 'e'};
    struct pool_world *w = pool_world(world);
    (void)ref;
    say(w, "settle %d ", (int)out->slice);
    for (int i = 0; i < out->claim->n; i++)
        say(w, "%c", letters[out->subjects[i].state]);
    say(w, "%s%s;", out->each ? " each" : "", out->careful ? " careful" : "");
}

static inline void world_judge(void *world, int engine, struct pool_ref ref,
                               const struct pool_judge *judge)
{
    struct pool_world *w = pool_world(world);
    (void)engine, (void)ref;
    say(w, "judge %d%s%s;", (int)judge->slice, judge->each ? " each" : "",
        judge->careful ? " careful" : "");
}

static inline void world_touch(void *world, const struct pool_ref *refs, const struct uuid *runs,
                               const int32_t *slices, const int32_t *calls,
                               const char *const *classes, int n)
{
    struct pool_world *w = pool_world(world);
    (void)runs, (void)calls, (void)classes;
    memcpy(w->touched, refs, (size_t)n * sizeof(*refs));
    for (int i = 0; i < n && w->tells_touches; i++)
        say(w, "touch %d;", (int)slices[i]);
}

static inline void world_release(void *world, const struct uuid *runs, const int32_t *slices, int n)
{
    struct pool_world *w = pool_world(world);
    (void)runs;
    for (int i = 0; i < n; i++)
        say(w, "release %d;", (int)slices[i]);
}

static inline void world_ask(void *world, int engine, int want, const struct share_report *report)
{
    struct pool_world *w = pool_world(world);
    (void)engine;
    w->asks++;
    w->wanted = want;
    w->reported = *report;
    w->ok += report->ok;
    if (strlen(w->tries) + strlen(report->tries) < sizeof(w->tries))
        strcat(w->tries, report->tries);
}

static inline void world_store(void *world, struct pool_part part, int64_t next)
{
    say(pool_world(world), "store %d:%d;", (int)part.partition, (int)next);
}

static inline void world_dead(void *world, struct pool_part part, int64_t offset,
                              const char *reason)
{
    say(pool_world(world), "dead %d:%d %s;", (int)part.partition, (int)offset, reason);
}

static inline void world_unassign(void *world)
{
    say(pool_world(world), "unassign;");
}

static inline void world_leave(void *world)
{
    say(pool_world(world), "leave;");
}

static inline void world_note(void *world, const struct pool_note *n)
{
    (void)pool_world(world), (void)n;
}

/* ---- the course of a test ---------------------------------------------------------------- */

static inline struct pool_world *world_begin_with(struct pool_engine engine)
{
    struct pool_world *w = calloc(1, sizeof(*w));
    struct pool_config cfg = {.engines = &engine, .engine_count = 1, .seed = 1};
    struct pool_ops ops = {.world = w,
                           .now_ms = world_now,
                           .take = world_take,
                           .claim = world_claim,
                           .call = world_call,
                           .abort_calls = world_abort,
                           .settle = world_settle,
                           .judge = world_judge,
                           .touch = world_touch,
                           .release = world_release,
                           .ask_share = world_ask,
                           .store = world_store,
                           .dead_letter = world_dead,
                           .unassign = world_unassign,
                           .leave = world_leave,
                           .note = world_note};
    assert_non_null(w);
    w->magic = POOL_WORLD_MAGIC;
    w->now = 100000;
    w->pool = pool_new(&cfg, &ops, NULL);
    assert_non_null(w->pool);
    for (int i = 0; i < WORLD_SLICES; i++)
        w->ref[i].slot = UINT32_MAX;
    pool_tick(w->pool);
    return w;
}

static inline struct pool_world *world_begin(void)
{
    return world_begin_with((struct pool_engine){.name = "http", .timeout_ms = 1000});
}

/* With a bulk engine, two slices at a time. */
static inline struct pool_world *world_begin_bulk(void)
{
    return world_begin_with((struct pool_engine){.name = "sql", .timeout_ms = 1000, .bulk = 2});
}

static inline void world_end(struct pool_world *w)
{
    pool_free(w->pool);
    free(w);
}

/* What was asked for since the last look, word for word. */
#define assert_said(w, words)                    \
    do {                                         \
        assert_string_equal((w)->said, (words)); \
        (w)->said[0] = '\0';                     \
    } while (0)

static inline void forget_said(struct pool_world *w)
{
    w->said[0] = '\0';
}

static inline void rung(struct pool_world *w, int partition, int slice)
{
    int n = w->count[partition]++;
    w->message[partition][n] = (struct pool_message){.offset = n, .slice = slice};
}

static inline void assigned(struct pool_world *w, int partitions)
{
    const struct pool_part parts[2] = {{0, 0}, {0, 1}};
    pool_assigned(w->pool, parts, partitions);
}

static inline void claim_answer(struct pool_world *w, int slice, enum claim_outcome outcome,
                                int stale_ms)
{
    struct claim *c = calloc(1, sizeof(*c));
    c->outcome = outcome;
    c->stale_ms = stale_ms;
    pool_claimed(w->pool, w->ref[slice], c);
}

/* eligible: a letter a subject, 'y' or 'n'. */
static inline void ours(struct pool_world *w, int slice, const char *eligible, int attempt)
{
    struct claim *c = calloc(1, sizeof(*c));
    size_t n = strlen(eligible);
    c->outcome = CLAIM_OURS;
    c->attempt = attempt;
    c->n = (int)n;
    c->subject_ids = calloc(n + 1, sizeof(*c->subject_ids));
    c->user_ids = calloc(n + 1, sizeof(*c->user_ids));
    c->eligible = calloc(n + 1, sizeof(*c->eligible));
    for (size_t i = 0; i < n; i++)
        c->eligible[i] = eligible[i] == 'y';
    pool_claimed(w->pool, w->ref[slice], c);
}

static inline void lend_a_probe(struct pool_world *w)
{
    struct share_answer a = {.arrived = true,
                             .granted = 1,
                             .probe = true,
                             .lease_ms = 10000000,
                             .retry_ms = SHARE_ASK_MS,
                             .outage_ms = 1000};
    pool_lent(w->pool, 0, &a);
}

static inline void lend_in(struct pool_world *w, int granted, int64_t outage_ms)
{
    struct share_answer a = {.arrived = true,
                             .granted = granted,
                             .lease_ms = 10000000,
                             .retry_ms = SHARE_ASK_MS,
                             .outage_ms = outage_ms};
    pool_lent(w->pool, 0, &a);
}

static inline void lend(struct pool_world *w, int granted)
{
    lend_in(w, granted, -1);
}

static inline void answers(struct pool_world *w, int slice, int subject, struct answer *a)
{
    pool_answered(w->pool, (struct call_ref){w->ref[slice].slot, w->ref[slice].generation, subject},
                  a);
}

static inline void judged(struct pool_world *w, int slice, int subject)
{
    struct answer *a = calloc(1, sizeof(*a));
    a->sign = TRY_ANSWERED;
    a->ok = true;
    answers(w, slice, subject, a);
}

static inline void fails(struct pool_world *w, int slice, int subject, enum err_class cls)
{
    bool engine_alive = cls == ERR_LOGIC;
    answers(w, slice, subject,
            answer_failed(cls, engine_alive ? TRY_ANSWERED : TRY_FAILED, !engine_alive, "no"));
}

static inline void settled(struct pool_world *w, int slice, enum settle_result result)
{
    struct settle_answer a = {.result = result};
    pool_settled(w->pool, w->ref[slice], &a);
}

/* Time passes; the alarm rings whenever it is set. */
static inline void passes(struct pool_world *w, int64_t ms)
{
    int64_t end = w->now + ms;
    for (int i = 0; i < 1000 && pool_next_wake(w->pool) <= end; i++) {
        int64_t wake = pool_next_wake(w->pool);
        w->now = wake > w->now ? wake : w->now;
        pool_tick(w->pool);
    }
    w->now = end;
    pool_tick(w->pool);
}

/* A slice that is being settled. */
static inline struct pool_world *settling(void)
{
    struct pool_world *w = world_begin();
    rung(w, 0, 0);
    assigned(w, 1);
    ours(w, 0, "n", 1);
    forget_said(w);
    return w;
}

#endif
