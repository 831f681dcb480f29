/* The core's side of Kafka: sends slices' addresses and hands the delivery reports back, makes sure
 * of topics, reads how far the workers' group has come. Holds nothing that matters: what is lost
 * here is rung again by the core. Decides neither what is sent nor when. */
#ifndef REVEILLE_PUBLISHER_H
#define REVEILLE_PUBLISHER_H

#include "broker.h"
#include "core_wake.h"
#include "err.h"
#include "log.h"
#include "loop.h"
#include "run_core.h"

struct publisher;

struct publisher_config { /* borrowed for its life */
    struct loop *loop;
    struct log *log;
    struct core_wake *wake;
    const struct broker_property *properties;
    size_t property_count;
    const char *topic_prefix, *group;
    /* Told when all topics that were asked for are there, or one is not any more. */
    void (*on_ready)(void *arg, bool ready);
    void *arg;
};

struct publisher *publisher_new(const struct publisher_config *cfg, struct err *err);
void publisher_free(struct publisher *p); /* what is not sent yet is dropped */

/* As the ops of the same names in run_core.h. */
bool publisher_publish(struct publisher *p, struct lead_ref ref, const struct uuid *run,
                       const char *engine, int32_t slice_no, int32_t partition);
void publisher_ensure_topic(struct publisher *p, const char *engine, int partitions);
void publisher_committed(struct publisher *p, const char *engine, int partitions);

/* Whether at least one topic was asked for and all are there. */
bool publisher_is_ready(const struct publisher *p);

#endif
