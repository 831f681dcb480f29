/* A partition's window: which messages to take, and how far its offset may move. An offset is
 * stored only when every slice up to it is finished; that is the whole of "effect before
 * acknowledgement". */
#include "pool_internal.h"

static bool window_has_room(const struct window *w)
{
    return !w->dry && w->unfinished < LIMIT_WINDOW_UNFINISHED && w->count < WINDOW_MAX;
}

static void window_add(struct window *w, int64_t offset)
{
    int at = (w->head + w->count) % WINDOW_MAX;
    w->entry[at].offset = offset;
    w->entry[at].finished = false;
    w->count++;
    w->unfinished++;
}

static void window_take_one(struct pool *p, int part, const struct pool_message *m)
{
    struct window *w = &p->part[part];
    window_add(w, m->offset);
    if (m->bad != NULL) {
        p->ops.dead_letter(p->ops.world, w->id, m->offset, m->bad);
        window_finished(p, part, m->offset);
    } else if (slice_in_hand_already(p, &m->run, m->slice)) {
        /* rung twice: the one in hand decides, and its own offset holds the window */
        window_finished(p, part, m->offset);
    } else {
        slice_new(p, part, m);
    }
}

void window_take_all(struct pool *p)
{
    if (!p->look || p->leaving != STAYING)
        return;
    p->look = false;
    /* one message a partition in turn, so that no partition fills the worker alone */
    for (bool took = true; took;) {
        took = false;
        for (int i = 0; i < p->part_count; i++) {
            struct window *w = &p->part[i];
            struct pool_message m;
            if (!window_has_room(w) || p->free_count == 0)
                continue;
            if (p->ops.take(p->ops.world, w->id, &m)) {
                window_take_one(p, i, &m);
                took = true;
            } else {
                w->dry = true;
            }
        }
    }
}

void window_finished(struct pool *p, int part, int64_t offset)
{
    if (part < 0)
        return; /* the partition was taken back: its offset is somebody else's */
    struct window *w = &p->part[part];
    for (int i = 0; i < w->count; i++) {
        int at = (w->head + i) % WINDOW_MAX;
        if (w->entry[at].offset == offset && !w->entry[at].finished) {
            w->entry[at].finished = true;
            w->unfinished--;
            break;
        }
    }
    int64_t next = -1;
    while (w->count > 0 && w->entry[w->head].finished) {
        next = w->entry[w->head].offset + 1;
        w->head = (w->head + 1) % WINDOW_MAX;
        w->count--;
    }
    if (next >= 0)
        p->ops.store(p->ops.world, w->id, next);
    p->look = true;
}
