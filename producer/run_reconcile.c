/* Ring again for what is planned and not moving, but never into a lag: a slice whose message the
 * group has not read yet is not overdue, it waits its turn. Two exceptions: the partition's offset
 * stands still for OFFSET_STILL_MS, or a delivery report showed that the log was made anew. */
#include "run_core_internal.h"

#include <string.h>

#define OFFSETS_FRESH_MS 1000
#define OFFSETS_WATCHED_MS 10000 /* they are read once a second while anything is overdue */

void reconcile_ask(struct run_core *c, struct lead *l)
{
    if (l->overdue_asked || l->overdue_count > 0 || c->now < l->overdue_at ||
        c->topic[l->topic].state != TOPIC_READY)
        return;
    l->overdue_asked = true;
    l->overdue_at = c->now + RECONCILE_MS;
    c->ops.overdue(c->ops.world, lead_ref(c, l), &l->run.run_id, LIMIT_AHEAD_MAX);
}

static bool not_read_yet(const struct topic *t, const struct overdue_slice *o)
{
    if (!t->committed_known)
        return true;
    if (o->partition < 0 || o->partition >= t->partitions)
        return false;
    const struct topic_part *part = &t->part[o->partition];
    if (part->committed > o->published_offset)
        return false;
    bool stands_still = t->committed_ms - part->changed_ms >= OFFSET_STILL_MS;
    bool of_the_old_log = part->anew && o->published_offset > part->delivered;
    return !stands_still && !of_the_old_log;
}

/* Whether to ring for this one now. */
static bool rings(const struct run_core *c, const struct lead *l, const struct overdue_slice *o)
{
    if (publish_under_way(l, o->slice_no))
        return false;
    if (o->published_offset < 0)
        return o->slice_no <= l->after; /* else it will be drawn */
    return !not_read_yet(&c->topic[l->topic], o);
}

static void ring(struct run_core *c, struct lead *l)
{
    int rung = 0;
    for (int i = 0; i < l->overdue_count; i++) {
        const struct overdue_slice *o = &l->overdue[i];
        if (rings(c, l, o) && publish_one(c, l, o->slice_no, o->partition))
            rung++;
    }
    l->overdue_count = 0;
    if (rung > 0)
        lead_note(c, l, RUN_NOTE_RUNG_AGAIN, rung, NULL);
}

void run_core_overdue(struct run_core *c, struct lead_ref ref, bool failed,
                      const struct overdue_slice *slices, int n)
{
    struct lead *l = lead_find(c, ref);
    c->now = c->ops.now_ms(c->ops.world);
    if (l == NULL)
        return;
    struct topic *t = &c->topic[l->topic];
    l->overdue_asked = false;
    l->overdue_at = c->now + RECONCILE_MS;
    l->overdue_count = 0;
    if (!failed && n > 0 && !c->draining) {
        l->overdue_count = n < LIMIT_AHEAD_MAX ? n : LIMIT_AHEAD_MAX;
        memcpy(l->overdue, slices, (size_t)l->overdue_count * sizeof(*slices));
        if (t->committed_known && c->now - t->committed_ms < OFFSETS_FRESH_MS) {
            ring(c, l);
        } else if (!t->committed_asked) {
            t->committed_asked = true;
            c->ops.committed(c->ops.world, t->engine, t->partitions);
        }
    }
    run_core_pump(c);
}

/* Only what was looked at all the time is known to have stood still. */
static void keep_offsets(struct run_core *c, struct topic *t, const int64_t *offsets, int n)
{
    bool watched = t->committed_known && c->now - t->committed_ms < OFFSETS_WATCHED_MS;
    for (int i = 0; i < n && i < t->partitions; i++) {
        struct topic_part *part = &t->part[i];
        if (t->committed_known && offsets[i] < part->committed) {
            part->anew = true; /* a group reads on, never back: log and offsets began again */
            part->delivered = NOT_DELIVERED;
        }
        if (part->committed != offsets[i] || !watched)
            part->changed_ms = c->now;
        part->committed = offsets[i];
    }
    t->committed_known = true;
    t->committed_ms = c->now;
}

void run_core_committed(struct run_core *c, const char *engine, const int64_t *offsets, int n)
{
    c->now = c->ops.now_ms(c->ops.world);
    for (int i = 0; i < c->topic_count; i++) {
        struct topic *t = &c->topic[i];
        if (strcmp(t->engine, engine) != 0)
            continue;
        t->committed_asked = false;
        if (offsets != NULL)
            keep_offsets(c, t, offsets, n);
        for (int k = 0; k < LIMIT_RUNS_HELD; k++)
            if (c->lead[k].used && c->lead[k].topic == i && c->lead[k].overdue_count > 0)
                ring(c, &c->lead[k]);
    }
    run_core_pump(c);
}
