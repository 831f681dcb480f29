/* See run_world.h. */
#include "run_world.h"

#include "attrs.h"
#include "clock.h"

static struct producer *of(void *world)
{
    return CHECK_MAGIC(struct producer, world, PRODUCER_MAGIC);
}

static int64_t world_now(void *world)
{
    (void)world;
    return clock_mono_ms();
}

static void world_open(void *world)
{
    run_store_open(of(world)->store);
}

static void world_plan(void *world, struct lead_ref ref, const struct opened_run *run, int pages)
{
    run_store_plan(of(world)->store, ref, run, pages);
}

static void world_draw(void *world, struct lead_ref ref, const struct uuid *run, int after,
                       int limit)
{
    run_store_draw(of(world)->store, ref, run, after, limit);
}

static bool world_publish(void *world, struct lead_ref ref, const struct opened_run *run,
                          int32_t slice_no, int32_t partition)
{
    return publisher_publish(of(world)->publisher, ref, &run->run_id, run->engine, slice_no,
                             partition);
}

static void world_note_published(void *world, struct lead_ref ref, const struct uuid *run,
                                 const int32_t *slices, const int64_t *offsets, int n)
{
    run_store_note_published(of(world)->store, ref, run, slices, offsets, n);
}

static void world_progress(void *world, struct lead_ref ref, const struct uuid *run)
{
    run_store_progress(of(world)->store, ref, run);
}

static void world_overdue(void *world, struct lead_ref ref, const struct uuid *run, int limit)
{
    run_store_overdue(of(world)->store, ref, run, limit);
}

static void world_committed(void *world, const char *engine, int partitions)
{
    publisher_committed(of(world)->publisher, engine, partitions);
}

static void world_renew(void *world, struct lead_ref ref, const struct opened_run *run)
{
    run_store_renew(of(world)->store, ref, run);
}

static void world_close(void *world, struct lead_ref ref, const struct opened_run *run)
{
    run_store_close(of(world)->store, ref, run);
}

static void world_fail(void *world, struct lead_ref ref, const struct opened_run *run,
                       const char *why)
{
    run_store_fail(of(world)->store, ref, run, why);
}

static void world_give_up(void *world, struct lead_ref ref, const struct opened_run *run)
{
    run_store_give_up(of(world)->store, ref, run);
}

static void world_end_overdue(void *world)
{
    watchdog_end_overdue(of(world)->watchdog);
}

static void world_watch(void *world)
{
    watchdog_watch(of(world)->watchdog);
}

static void world_ensure_topic(void *world, const char *engine, int partitions)
{
    publisher_ensure_topic(of(world)->publisher, engine, partitions);
}

static void world_stopped(void *world)
{
    producer_core_stopped(of(world));
}

static void world_note(void *world, const struct run_note *note)
{
    struct producer *p = of(world);
    producer_notes_take(p->notes, note);
    if (note->kind == RUN_NOTE_STARTED || note->kind == RUN_NOTE_ENDED)
        trigger_api_run_moved(p->api);
}

struct run_ops run_world_ops(struct producer *p)
{
    return (struct run_ops){
        .world = p,
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
        .ensure_topic = world_ensure_topic,
        .stopped = world_stopped,
        .note = world_note,
    };
}
