/* See heap.h: a binary heap in an array that doubles. */
#include "heap.h"

#include <stdlib.h>

static bool before(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void swap(struct event *a, struct event *b)
{
    struct event c = *a;
    *a = *b;
    *b = c;
}

void heap_push(struct heap *h, int64_t at, event_fn fn, void *data)
{
    if (h->count == h->room) {
        h->room = h->room == 0 ? 256 : 2 * h->room;
        h->events = realloc(h->events, h->room * sizeof(*h->events));
        if (h->events == NULL)
            abort();
    }
    size_t i = h->count++;
    h->events[i] = (struct event){.at = at, .order = h->pushed++, .fn = fn, .data = data};
    while (i > 0 && before(&h->events[i], &h->events[(i - 1) / 2])) {
        swap(&h->events[i], &h->events[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

bool heap_pop(struct heap *h, struct event *ret_event)
{
    if (h->count == 0)
        return false;
    *ret_event = h->events[0];
    h->events[0] = h->events[--h->count];
    for (size_t i = 0;;) {
        size_t first = i, left = 2 * i + 1, right = left + 1;
        if (left < h->count && before(&h->events[left], &h->events[first]))
            first = left;
        if (right < h->count && before(&h->events[right], &h->events[first]))
            first = right;
        if (first == i)
            return true;
        swap(&h->events[i], &h->events[first]);
        i = first;
    }
}

void heap_release(struct heap *h)
{
    for (size_t i = 0; i < h->count; i++)
        free(h->events[i].data);
    free(h->events);
    *h = (struct heap){.events = NULL};
}
