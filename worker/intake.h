/* The worker's membership in the group, and the way from a message's bytes to a slice's address:
 * between the broker's consumer and the core. Decides nothing; the window and the offsets are the
 * core's (pool_window.c). Partitions are named by the engine whose topic they are of. */
#ifndef REVEILLE_INTAKE_H
#define REVEILLE_INTAKE_H

#include "broker.h"
#include "loop.h"
#include "pool_core.h"

#include <stddef.h>

struct intake;

struct intake_config {
    const struct broker_property *properties; /* borrowed during intake_new */
    size_t property_count;
    const char *group;
    const char *const *topics; /* one an engine, in the engines' order */
    size_t topic_count;
    void (*on_assigned)(void *arg, const struct pool_part *parts, int n);
    void (*on_revoked)(void *arg, bool lost);
    void (*on_messages)(void *arg);
    void (*on_error)(void *arg, const struct err *err);
    void *arg;
};

/* Joins the group. */
struct intake *intake_new(struct loop *loop, const struct intake_config *cfg, struct err *err);
/* A member that has not left is left behind: its handle may hang, and the process ends anyway. */
void intake_free(struct intake *in);

bool intake_take(struct intake *in, struct pool_part part, struct pool_message *ret_m);
void intake_store(struct intake *in, struct pool_part part, int64_t next);
void intake_unassign(struct intake *in);
/* Commits and leaves; on_left comes once, from the loop. */
void intake_leave(struct intake *in, void (*on_left)(void *arg));

#endif
