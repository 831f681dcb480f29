/* The core's world: each op it asks for goes to its adapter, each adapter's answer goes to the
 * core, and after everything told to the core its next wake is armed. Nothing here decides. */
#include "worker.h"

#include "attrs.h"
#include "clock.h"

#include <string.h>

static struct worker *worker_of(void *arg)
{
    return CHECK_MAGIC(struct worker, arg, WORKER_MAGIC);
}

void worker_rearm(struct worker *w)
{
    int64_t at = pool_next_wake(w->pool);
    if (at == w->wake_at)
        return;
    w->wake_at = at;
    if (at == INT64_MAX)
        loop_timer_disarm(w->wake);
    else
        loop_timer_arm(w->wake, at - clock_mono_ms());
}

static void wake_up(void *arg)
{
    struct worker *w = worker_of(arg);
    w->wake_at = INT64_MAX;
    pool_tick(w->pool);
    worker_rearm(w);
}

/* ---- what the core asks for -------------------------------------------------------------- */

static int64_t op_now_ms(void *world UNUSED)
{
    return clock_mono_ms();
}

static bool op_take(void *world, struct pool_part part, struct pool_message *ret_m)
{
    return intake_take(worker_of(world)->intake, part, ret_m);
}

static void op_claim(void *world, int engine, struct pool_ref ref, const struct uuid *run,
                     int32_t slice)
{
    struct worker *w = worker_of(world);
    slice_store_claim(w->slices, ref, engines_names(w->engines)[engine], run, slice);
}

static void op_call(void *world, int engine, const struct engine_call *call)
{
    const struct engine *e = engines_at(worker_of(world)->engines, engine);
    e->start(e->self, call);
}

static void op_abort_calls(void *world, int engine, struct pool_ref ref)
{
    const struct engine *e = engines_at(worker_of(world)->engines, engine);
    e->abort_slice(e->self, ref.slot, ref.generation);
}

static void op_settle(void *world, struct pool_ref ref, const struct pool_outcome *out)
{
    settle_start(worker_of(world)->settle, ref, out);
}

static void op_judge(void *world, int engine, struct pool_ref ref, const struct pool_judge *judge)
{
    engine_sql_judge(worker_of(world)->sql, engine, ref, judge);
}

static void op_touch(void *world, const struct pool_ref *refs, const struct uuid *runs,
                     const int32_t *slices, const int32_t *calls, const char *const *classes, int n)
{
    slice_store_touch(worker_of(world)->slices, refs, runs, slices, calls, classes, n);
}

static void op_release(void *world, const struct uuid *runs, const int32_t *slices, int n)
{
    slice_store_release(worker_of(world)->slices, runs, slices, n);
}

static void op_ask_share(void *world, int engine, int want, const struct share_report *report)
{
    struct worker *w = worker_of(world);
    share_store_ask(w->shares, engine, engines_names(w->engines)[engine], want, report);
}

static void op_store(void *world, struct pool_part part, int64_t next)
{
    intake_store(worker_of(world)->intake, part, next);
}

static void op_dead_letter(void *world, struct pool_part part, int64_t offset, const char *reason)
{
    struct worker *w = worker_of(world);
    const char *topic = w->topics[part.engine];
    worker_notes_dead_letter(w->notes, topic, part.partition, offset, reason);
    slice_store_dead_letter(w->slices, topic, part.partition, offset, reason);
}

static void op_unassign(void *world)
{
    struct worker *w = worker_of(world);
    log_event(w->log, EV_PARTITIONS_REVOKED, log_int("partitions", w->partitions),
              log_bool("lost", w->lost), log_int("released", w->released));
    w->partitions = w->released = 0;
    intake_unassign(w->intake);
}

/* Closing may call back at once, and the core must have returned before. */
static void op_leave(void *world)
{
    loop_timer_arm(worker_of(world)->leave, 0);
}

static void op_note(void *world, const struct pool_note *note)
{
    struct worker *w = worker_of(world);
    w->released += note->kind == NOTE_RELEASED;
    worker_notes_pool(w->notes, note);
}

/* ---- what happened ----------------------------------------------------------------------- */

void worker_world_answered(void *arg, int engine, struct call_ref ref, struct answer *answer,
                           int64_t duration_us)
{
    struct worker *w = worker_of(arg);
    worker_notes_call(w->notes, engine, answer, duration_us);
    pool_answered(w->pool, ref, answer);
    worker_rearm(w);
}

void worker_world_claimed(void *arg, struct pool_ref ref, struct claim *claim)
{
    struct worker *w = worker_of(arg);
    pool_claimed(w->pool, ref, claim);
    worker_rearm(w);
}

void worker_world_touched(void *arg, const struct pool_ref *refs, int n, const bool *ours,
                          bool failed)
{
    struct worker *w = worker_of(arg);
    pool_touched(w->pool, refs, n, ours, failed);
    worker_rearm(w);
}

void worker_world_released(void *arg, bool failed)
{
    struct worker *w = worker_of(arg);
    pool_released(w->pool, failed);
    worker_rearm(w);
}

void worker_world_settled(void *arg, struct pool_ref ref, const struct settle_answer *answer)
{
    struct worker *w = worker_of(arg);
    pool_settled(w->pool, ref, answer);
    worker_rearm(w);
}

void worker_world_judged(void *arg, int engine, struct pool_ref ref,
                         const struct settle_answer *answer, int64_t duration_us)
{
    struct worker *w = worker_of(arg);
    worker_notes_judge(w->notes, engine, answer, duration_us);
    pool_settled(w->pool, ref, answer);
    worker_rearm(w);
}

void worker_world_lent(void *arg, int engine, const struct share_answer *answer)
{
    struct worker *w = worker_of(arg);
    pool_lent(w->pool, engine, answer);
    worker_rearm(w);
}

static void assigned(void *arg, const struct pool_part *parts, int n)
{
    struct worker *w = worker_of(arg);
    log_event(w->log, EV_PARTITIONS_ASSIGNED, log_int("partitions", n));
    w->partitions = n;
    w->member = true;
    pool_assigned(w->pool, parts, n);
    worker_rearm(w);
    worker_life_check_ready(w);
}

static void revoked(void *arg, bool lost)
{
    struct worker *w = worker_of(arg);
    w->lost = lost;
    pool_revoked(w->pool, lost);
    worker_rearm(w);
}

static void messages_wait(void *arg)
{
    struct worker *w = worker_of(arg);
    pool_messages_waiting(w->pool);
    worker_rearm(w);
}

static void broker_failed(void *arg, const struct err *err)
{
    worker_life_broker_error(worker_of(arg), err);
}

struct intake_config worker_world_intake(struct worker *w)
{
    return (struct intake_config){.on_assigned = assigned,
                                  .on_revoked = revoked,
                                  .on_messages = messages_wait,
                                  .on_error = broker_failed,
                                  .arg = w};
}

/* ---- the pool ---------------------------------------------------------------------------- */

static uint64_t random_seed(void)
{
    struct uuid random;
    uint64_t seed = (uint64_t)clock_mono_us();
    if (uuid_random(&random, NULL) == 0) /* for jitter only: the clock will do */
        memcpy(&seed, random.b, sizeof(seed));
    return seed;
}

int worker_world_new(struct worker *w, struct err *err)
{
    struct pool_engine engines[POOL_ENGINES_MAX];
    struct pool_config cfg = {
        .engines = engines, .engine_count = engines_count(w->engines), .seed = random_seed()};
    struct pool_ops ops = {.world = w,
                           .now_ms = op_now_ms,
                           .take = op_take,
                           .claim = op_claim,
                           .call = op_call,
                           .abort_calls = op_abort_calls,
                           .settle = op_settle,
                           .judge = op_judge,
                           .touch = op_touch,
                           .release = op_release,
                           .ask_share = op_ask_share,
                           .store = op_store,
                           .dead_letter = op_dead_letter,
                           .unassign = op_unassign,
                           .leave = op_leave,
                           .note = op_note};
    for (int i = 0; i < cfg.engine_count; i++)
        engines[i] = (struct pool_engine){.name = engines_names(w->engines)[i],
                                          .timeout_ms = engines_at(w->engines, i)->timeout_ms,
                                          .bulk = engines_at(w->engines, i)->bulk};
    w->wake = loop_timer_new(w->loop, wake_up, w, err);
    if (w->wake == NULL)
        return -1;
    w->pool = pool_new(&cfg, &ops, err);
    return w->pool != NULL ? 0 : -1;
}
