/* A worker's hold on slices, in the database: claim, renew, give back; and the note that a message
 * was of no use. Each is one call of a SQL function; what they mean, the core knows. Settling is
 * settle.h's.
 *
 * Answers come from the loop, never from within the call that asks. */
#ifndef REVEILLE_SLICE_STORE_H
#define REVEILLE_SLICE_STORE_H

#include "db.h"
#include "loop.h"
#include "pool_core.h"

struct slice_store;

struct slice_store_config {
    struct db *claims;       /* for claims, releases, dead letters */
    struct db *renewals;     /* for renewals only, so that nothing slow stands before them */
    const char *worker_name; /* borrowed */
    int stale_ms;            /* a claim not renewed for so long is anybody's */
    void (*on_claimed)(void *arg, struct pool_ref ref, struct claim *claim); /* takes claim */
    void (*on_touched)(void *arg, const struct pool_ref *refs, int n, const bool *ours,
                       bool failed);
    void (*on_released)(void *arg, bool failed);
    void *arg;
};

struct slice_store *slice_store_new(struct loop *loop, const struct slice_store_config *cfg,
                                    struct err *err);
void slice_store_free(struct slice_store *s);

/* One at a time for a slot of the core. engine: whose topic brought it. → on_claimed */
void slice_store_claim(struct slice_store *s, struct pool_ref ref, const char *engine,
                       const struct uuid *run, int32_t slice);
/* One at a time; everything is copied. → on_touched */
void slice_store_touch(struct slice_store *s, const struct pool_ref *refs, const struct uuid *runs,
                       const int32_t *slices, const int32_t *calls, const char *const *classes,
                       int n);
/* → on_released, once a call */
void slice_store_release(struct slice_store *s, const struct uuid *runs, const int32_t *slices,
                         int n);
/* Written if it can be: at most DEAD_LETTERS_PENDING wait. No answer. topic: borrowed for ever. */
void slice_store_dead_letter(struct slice_store *s, const char *topic, int32_t partition,
                             int64_t offset, const char *reason);

#endif
