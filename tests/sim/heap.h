/* The events to come, earliest first; of one instant, in the order they were pushed, so that a seed
 * replays. Knows nothing of what they mean. */
#ifndef REVEILLE_SIM_HEAP_H
#define REVEILLE_SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

/* Takes data: frees it, or pushes it again. */
typedef void (*event_fn)(struct world *w, void *data);

struct event {
    int64_t at;
    uint64_t order;
    event_fn fn;
    void *data; /* owned; from malloc, owns nothing itself */
};

struct heap {
    struct event *events; /* owned */
    size_t count, room;
    uint64_t pushed;
};

void heap_push(struct heap *h, int64_t at, event_fn fn, void *data); /* takes data */
bool heap_pop(struct heap *h, struct event *ret_event);              /* its data is the caller's */
void heap_release(struct heap *h);

#endif
