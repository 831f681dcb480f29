/* A world for run_core's tests: its ops write down what the core asks for ("draw -1+8;publish 0;"),
 * and the helpers answer. The looks for overdue runs and of the watchdog are only counted: they
 * come every few seconds. */
#ifndef REVEILLE_UNIT_RUN_WORLD_H
#define REVEILLE_UNIT_RUN_WORLD_H

#include "run_core.h"
#include "unit.h"

#define RUN_WORLD_MAGIC 0x0b5e55eeu

struct run_world {
    unsigned magic;
    int64_t now;
    struct run_core *core;
    char said[4000];
    bool full;              /* Kafka's queue is */
    bool tells_progress;    /* it is read often: most tests do not want to hear of it */
    struct lead_ref ref[4]; /* of run 0 … 3 */
    int watches;            /* how often the watchdog was sent */
    int failed_noted[8];    /* slices of each note of failed deliveries */
    int failed_notes;
};

static inline void say(struct run_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void say(struct run_world *w, const char *fmt, ...)
{
    size_t used = strlen(w->said);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->said + used, sizeof(w->said) - used, fmt, ap);
    va_end(ap);
}

static inline struct run_world *run_world(void *world)
{
    return CHECK_MAGIC(struct run_world, world, RUN_WORLD_MAGIC);
}

static inline int64_t world_now(void *world)
{
    return run_world(world)->now;
}

static inline void world_open(void *world)
{
    say(run_world(world), "open;");
}

static inline void world_plan(void *world, struct lead_ref ref, const struct opened_run *run,
                              int pages)
{
    struct run_world *w = run_world(world);
    w->ref[run->run_id.b[15]] = ref;
    say(w, "plan %d;", pages);
}

static inline void world_draw(void *world, struct lead_ref ref, const struct uuid *run, int after,
                              int limit)
{
    struct run_world *w = run_world(world);
    w->ref[run->b[15]] = ref;
    say(w, "draw %s%d+%d;", run->b[15] == 0 ? "" : "other ", after, limit);
}

static inline bool world_publish(void *world, struct lead_ref ref, const struct opened_run *run,
                                 int32_t slice_no, int32_t partition)
{
    struct run_world *w = run_world(world);
    (void)ref, (void)run, (void)partition;
    if (w->full)
        return false;
    say(w, "publish %d;", (int)slice_no);
    return true;
}

static inline void world_note_published(void *world, struct lead_ref ref, const struct uuid *run,
                                        const int32_t *slices, const int64_t *offsets, int n)
{
    struct run_world *w = run_world(world);
    (void)ref, (void)run;
    for (int i = 0; i < n; i++)
        say(w, "note %d@%d;", (int)slices[i], (int)offsets[i]);
}

static inline void world_progress(void *world, struct lead_ref ref, const struct uuid *run)
{
    struct run_world *w = run_world(world);
    w->ref[run->b[15]] = ref;
    if (w->tells_progress)
        say(w, "progress;");
}

static inline void world_overdue(void *world, struct lead_ref ref, const struct uuid *run,
                                 int limit)
{
    (void)ref, (void)run, (void)limit;
    say(run_world(world), "overdue;");
}

static inline void world_committed(void *world, const char *engine, int partitions)
{
    (void)engine, (void)partitions;
    say(run_world(world), "committed;");
}

static inline void world_renew(void *world, struct lead_ref ref, const struct opened_run *run)
{
    (void)ref, (void)run;
    say(run_world(world), "renew;");
}

static inline void world_close(void *world, struct lead_ref ref, const struct opened_run *run)
{
    (void)ref, (void)run;
    say(run_world(world), "close;");
}

static inline void world_fail(void *world, struct lead_ref ref, const struct opened_run *run,
                              const char *why)
{
    (void)ref, (void)run;
    say(run_world(world), "fail %s;", why);
}

static inline void world_give_up(void *world, struct lead_ref ref, const struct opened_run *run)
{
    (void)ref, (void)run;
    say(run_world(world), "give_up;");
}

static inline void world_end_overdue(void *world)
{
    (void)run_world(world);
}

static inline void world_watch(void *world)
{
    run_world(world)->watches++;
}

static inline void world_ensure(void *world, const char *engine, int partitions)
{
    say(run_world(world), "ensure %s/%d;", engine, partitions);
}

static inline void world_stopped(void *world)
{
    say(run_world(world), "stopped;");
}

static inline void world_note(void *world, const struct run_note *n)
{
    struct run_world *w = run_world(world);
    if (n->kind == RUN_NOTE_DELIVERY_FAILED)
        w->failed_noted[w->failed_notes++] = n->slices;
}

/* ---- the course of a test ---------------------------------------------------------------- */

#define assert_said(w, words)                    \
    do {                                         \
        assert_string_equal((w)->said, (words)); \
        (w)->said[0] = '\0';                     \
    } while (0)

static inline void forget_said(struct run_world *w)
{
    w->said[0] = '\0';
}

static inline void passes(struct run_world *w, int64_t ms)
{
    w->now += ms;
    run_core_tick(w->core);
}

/* A core whose topic of two partitions is there. */
static inline struct run_world *world_begin(void)
{
    struct run_world *w = calloc(1, sizeof(*w));
    struct run_ops ops = {.world = w,
                          .now_ms = world_now,
                          .open = world_open,
                          .plan = world_plan,
                          .draw = world_draw,
                          .publish = world_publish,
                          .note_published = world_note_published,
                          .progress = world_progress,
                          .overdue = world_overdue,
                          .committed = world_committed,
                          .renew = world_renew,
                          .close = world_close,
                          .fail = world_fail,
                          .give_up = world_give_up,
                          .end_overdue = world_end_overdue,
                          .watch = world_watch,
                          .ensure_topic = world_ensure,
                          .stopped = world_stopped,
                          .note = world_note};
    assert_non_null(w);
    w->magic = RUN_WORLD_MAGIC;
    w->now = 100000;
    w->core = run_core_new(&ops, NULL);
    assert_non_null(w->core);
    run_core_engine(w->core, "http", 2);
    assert_said(w, "open;ensure http/2;");
    run_core_topic(w->core, "http", true);
    return w;
}

static inline void world_end(struct run_world *w)
{
    run_core_free(w->core);
    free(w);
}

static inline void opens(struct run_world *w, int id, enum run_state state, int slices,
                         bool takeover)
{
    struct opened_run r = {.fence = 1,
                           .state = state,
                           .slices = slices,
                           .topic_partitions = 2,
                           .takeover = takeover,
                           .has_cursor = slices > 0};
    r.run_id.b[15] = (uint8_t)id;
    strcpy(r.engine, "http");
    run_core_opened(w->core, false, &r);
}

static inline void plans(struct run_world *w, enum plan_outcome outcome, int slices)
{
    struct planned_pages p = {.outcome = outcome,
                              .slices = slices,
                              .has_cursor = slices > 0,
                              .state = outcome == PLAN_LAST ? RUN_RUNNING : RUN_PLANNING};
    run_core_planned(w->core, w->ref[0], &p);
}

/* Slices first … first + n - 1 are drawn for run `id`, in partitions 0, 1, 0, 1 … */
static inline void draws(struct run_world *w, int id, int first, int n)
{
    struct drawn_slice slices[64];
    for (int i = 0; i < n; i++)
        slices[i] = (struct drawn_slice){first + i, (first + i) % 2};
    run_core_drawn(w->core, w->ref[id], false, slices, n);
}

static inline void progresses(struct run_world *w, int id, enum run_state state, int slices,
                              int pending)
{
    struct run_progress p = {.found = true,
                             .state = state,
                             .slices = slices,
                             .pending = pending,
                             .planned = state == RUN_PLANNING ? -1 : slices};
    run_core_progressed(w->core, w->ref[id], &p);
}

static inline void delivered(struct run_world *w, int slice, int64_t offset)
{
    run_core_delivered(w->core, w->ref[0], slice, slice % 2, true, offset);
}

static inline void overdue(struct run_world *w, int slice, int64_t offset)
{
    struct overdue_slice o = {slice, slice % 2, offset};
    run_core_overdue(w->core, w->ref[0], false, &o, 1);
}

static inline void committed(struct run_world *w, int64_t first, int64_t second)
{
    int64_t offsets[2] = {first, second};
    run_core_committed(w->core, "http", offsets, 2);
}

#endif
