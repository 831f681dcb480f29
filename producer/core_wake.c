/* See core_wake.h. */
#include "core_wake.h"

#include "clock.h"
#include "limits.h"

#include <stdlib.h>

#define CORE_WAKE_MAGIC 0x57414B45u

struct core_wake {
    unsigned magic;
    struct run_core *core;
    struct loop_timer *timer;
    bool started;
};

static void wake_fired(void *arg)
{
    struct core_wake *w = CHECK_MAGIC(struct core_wake, arg, CORE_WAKE_MAGIC);
    run_core_tick(w->core);
    core_wake_rearm(w);
}

struct core_wake *core_wake_new(struct loop *loop, struct run_core *core, struct err *err)
{
    struct core_wake *w = calloc(1, sizeof *w);
    if (!w) {
        err_errno(err, "core wake");
        return NULL;
    }
    *w = (struct core_wake){.magic = CORE_WAKE_MAGIC, .core = core};
    w->timer = loop_timer_new(loop, wake_fired, w, err);
    if (!w->timer) {
        core_wake_free(w);
        return NULL;
    }
    return w;
}

void core_wake_free(struct core_wake *w)
{
    if (!w)
        return;
    loop_timer_free(w->timer);
    w->magic = 0;
    free(w);
}

void core_wake_start(struct core_wake *w)
{
    w->started = true;
    loop_timer_arm(w->timer, 0);
}

struct run_core *core_wake_core(struct core_wake *w)
{
    return w->core;
}

void core_wake_rearm(struct core_wake *w)
{
    if (!w->started)
        return;
    int64_t next = run_core_next_wake(w->core), now = clock_mono_ms();
    loop_timer_arm(w->timer, next > now + CORE_WAKE_MAX_MS ? CORE_WAKE_MAX_MS : next - now);
}
