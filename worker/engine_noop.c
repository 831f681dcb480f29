/* See engine_noop.h. One timer, and a list of who asked; no longer than what can be lent. */
#include "engine_noop.h"

#include "attrs.h"
#include "clock.h"
#include "limits.h"

#include <stdlib.h>

#define NOOP_MAGIC 0x6e6f6f70u

struct asked {
    struct call_ref ref;
    int64_t at_us;
};

struct engine_noop {
    unsigned magic;
    engine_answer_fn on_answer;
    void *arg;
    struct loop_timer *timer;
    int n;
    struct asked asked[LIMIT_SHARE_WANT];
};

static void noop_start(void *self, const struct engine_call *call)
{
    struct engine_noop *e = CHECK_MAGIC(struct engine_noop, self, NOOP_MAGIC);
    assert(e->n < LIMIT_SHARE_WANT); /* share.c never wants more */
    e->asked[e->n++] = (struct asked){call->ref, clock_mono_us()};
    if (e->n == 1)
        loop_timer_arm(e->timer, 0);
}

/* Newest first: an answer may start further calls, which are answered in the same turn at most once
 * for each that was there. */
static void timer_fired(void *arg)
{
    struct engine_noop *e = CHECK_MAGIC(struct engine_noop, arg, NOOP_MAGIC);
    for (int left = e->n; left > 0 && e->n > 0; left--) {
        struct answer *a = answer_nothing_due();
        if (a == NULL) {
            loop_timer_arm(e->timer, ENGINE_ANSWER_AGAIN_MS);
            return;
        }
        struct asked one = e->asked[--e->n];
        e->on_answer(e->arg, one.ref, a, clock_mono_us() - one.at_us);
    }
    if (e->n > 0)
        loop_timer_arm(e->timer, 0);
}

static void noop_abort_slice(void *self, uint32_t slot, uint32_t generation)
{
    struct engine_noop *e = CHECK_MAGIC(struct engine_noop, self, NOOP_MAGIC);
    int kept = 0;
    for (int i = 0; i < e->n; i++)
        if (e->asked[i].ref.slot != slot || e->asked[i].ref.generation != generation)
            e->asked[kept++] = e->asked[i];
    e->n = kept;
}

static void noop_free(void *self)
{
    if (self == NULL)
        return;
    struct engine_noop *e = CHECK_MAGIC(struct engine_noop, self, NOOP_MAGIC);
    loop_timer_free(e->timer);
    free(e);
}

int engine_noop_new(struct loop *loop, engine_answer_fn on_answer, void *arg,
                    struct engine *ret_engine, struct err *err)
{
    struct engine_noop *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return err_errno(err, "engine noop");
    e->magic = NOOP_MAGIC;
    e->on_answer = on_answer;
    e->arg = arg;
    e->timer = loop_timer_new(loop, timer_fired, e, err);
    if (e->timer == NULL) {
        noop_free(e);
        return -1;
    }
    *ret_engine = (struct engine){.name = "noop",
                                  .timeout_ms = ENGINE_NOOP_MS,
                                  .self = e,
                                  .start = noop_start,
                                  .abort_slice = noop_abort_slice,
                                  .free = noop_free};
    return 0;
}
