#include "scripted_engine_timers.h"

#include <assert.h>
#include <stdlib.h>

#define NOWHERE (-1)

struct entry {
    int64_t due;
    int slot;
};

struct timers {
    int n_slots;
    int n; /* entries in the heap, the earliest in front */
    struct entry *heap;
    int *place_of; /* slot → its place in the heap, NOWHERE without one */
};

struct timers *timers_new(int slots, struct why *why)
{
    struct timers *t = calloc(1, sizeof(*t));

    if (t == NULL)
        goto err0;
    if ((t->heap = calloc((size_t)slots, sizeof(*t->heap))) == NULL)
        goto err1;
    if ((t->place_of = calloc((size_t)slots, sizeof(*t->place_of))) == NULL)
        goto err1;
    t->n_slots = slots;
    for (int i = 0; i < slots; i++)
        t->place_of[i] = NOWHERE;
    return t;

err1:
    timers_free(t);
err0:
    (void)why_errno(why, "timers");
    return NULL;
}

void timers_free(struct timers *t)
{
    if (t != NULL) {
        free(t->place_of);
        free(t->heap);
    }
    free(t);
}

static void put(struct timers *t, int place, struct entry e)
{
    t->heap[place] = e;
    t->place_of[e.slot] = place;
}

/* Moves e to its place, starting at a hole; the hole may be anywhere in the heap. */
static void settle_in(struct timers *t, int hole, struct entry e)
{
    while (hole > 0 && t->heap[(hole - 1) / 2].due > e.due) {
        put(t, hole, t->heap[(hole - 1) / 2]);
        hole = (hole - 1) / 2;
    }
    for (;;) {
        int child = 2 * hole + 1;

        if (child + 1 < t->n && t->heap[child + 1].due < t->heap[child].due)
            child++;
        if (child >= t->n || t->heap[child].due >= e.due)
            break;
        put(t, hole, t->heap[child]);
        hole = child;
    }
    put(t, hole, e);
}

void timers_set(struct timers *t, int slot, int64_t due)
{
    assert(slot >= 0 && slot < t->n_slots);
    timers_clear(t, slot);
    t->n++;
    settle_in(t, t->n - 1, (struct entry){.due = due, .slot = slot});
}

void timers_clear(struct timers *t, int slot)
{
    int place = t->place_of[slot];

    if (place == NOWHERE)
        return;
    t->place_of[slot] = NOWHERE;
    t->n--;
    if (place < t->n)
        settle_in(t, place, t->heap[t->n]);
}

int64_t timers_next(const struct timers *t)
{
    return t->n > 0 ? t->heap[0].due : TIMERS_NEVER;
}

int timers_take(struct timers *t, int64_t now)
{
    if (t->n == 0 || t->heap[0].due > now)
        return -1;
    int slot = t->heap[0].slot;
    timers_clear(t, slot);
    return slot;
}
