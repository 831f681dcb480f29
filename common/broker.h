/* Kafka through librdkafka, in the loop: its threads reach us through queues and a descriptor.
 * Two handles: a producer of slice addresses, and a member of the workers' group. Everything is
 * asynchronous; a broker that is away costs time, and shows as on_error, which is for the log.
 *
 * Properties are librdkafka's own names ("bootstrap.servers"); they override our defaults, except
 * those the guarantee rests on, which are refused with CONFIG when they differ:
 * enable.auto.offset.store=false, enable.idempotence=true, acks=all, and for the consumer an eager
 * assignor (range or roundrobin). */
#ifndef REVEILLE_BROKER_H
#define REVEILLE_BROKER_H

#include "err.h"
#include "loop.h"
#include "slice_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BROKER_TOPIC_SIZE 250      /* Kafka's longest topic, and the zero */
#define BROKER_TRACEPARENT_SIZE 56 /* 00-, 32 and 16 hex digits, -01, and the zero */

struct broker_property {
    const char *name, *value; /* value may be a password: never logged */
};

/* For the log: librdkafka's error name and a scrubbed text. Transient ones too; none is fatal. */
typedef void (*broker_error_fn)(void *arg, const struct err *err);

const char *broker_library_version(void);

/* The group's session timeout in force with these properties: what it says, or our default. A
 * worker that was silent so long is no member any more, so its claims are stale. */
int broker_session_ms(const struct broker_property *properties, size_t n);

/* ---- producing --------------------------------------------------------------------------- */
struct broker_producer;
struct broker_producer_config {
    const struct broker_property *properties; /* copied */
    size_t property_count;
    broker_error_fn on_error;
    /* One report for each message that was taken: token as given, ok, and its offset if ok. */
    void (*on_delivery)(void *arg, uint64_t token, bool ok, int64_t offset);
    void *arg;
};
struct broker_producer *
broker_producer_new(struct loop *loop, const struct broker_producer_config *cfg, struct err *err);
/* Waits for no broker: messages not yet sent are dropped (PostgreSQL knows them); for threads of
 * librdkafka's, at most BROKER_CLOSE_MS a handle. */
void broker_producer_free(struct broker_producer *p);

/* 0: taken, a report follows. -1: LIMIT (its queue is full: try later), NETWORK or PROTOCOL
 * (unknown topic or partition). traceparent may be NULL; it goes into a header. */
int broker_producer_send(struct broker_producer *p, const char *topic, int32_t partition,
                         const struct slice_msg *msg, const char *traceparent, uint64_t token,
                         struct err *err) MUST_CHECK;

/* Makes sure that the topic exists with at least `partitions` partitions: asks for its metadata,
 * creates it when it is missing, adds partitions when it is smaller. Calls fn once: ok, or why not
 * (code "too_few_partitions" when it is smaller and the broker does not let us; a broker without
 * admin API and without the topic: NETWORK, retry). */
typedef void (*broker_topic_fn)(void *arg, const char *topic, int32_t partitions,
                                const struct err *err); /* err NULL: ok */
int broker_ensure_topic(struct broker_producer *p, const char *topic, int32_t partitions,
                        broker_topic_fn fn, void *arg, struct err *err) MUST_CHECK;

/* The group's committed offsets of partitions 0 … n-1 of a topic; fn once, offsets borrowed
 * (-1: none committed), or NULL with err. */
typedef void (*broker_offsets_fn)(void *arg, const char *topic, const int64_t *offsets, size_t n,
                                  const struct err *err);
int broker_committed(struct broker_producer *p, const char *group, const char *topic, int32_t n,
                     broker_offsets_fn fn, void *arg, struct err *err) MUST_CHECK;

/* ---- consuming --------------------------------------------------------------------------- */
/* Partitions are named by (topic index in the configuration, partition number). Messages are not
 * pushed: they wait in a queue a partition and are taken when there is room, so a slow slice never
 * stands between the group and its control events. */
struct broker_consumer;
struct broker_partition {
    int topic; /* index into topics */
    int32_t partition;
};
struct broker_message {
    int64_t offset;
    const void *bytes; /* borrowed until broker_message_release */
    size_t len;
    char traceparent[BROKER_TRACEPARENT_SIZE]; /* "" when there is none, or it is malformed */
    void *opaque;
};
struct broker_consumer_config {
    const struct broker_property *properties; /* copied */
    size_t property_count;
    const char *group;
    const char *const *topics; /* copied */
    size_t topic_count;
    broker_error_fn on_error;
    /* The group gave these partitions; the library has assigned them when this returns. */
    void (*on_assign)(void *arg, const struct broker_partition *parts, size_t n);
    /* The group takes all partitions back (eager). lost: too late, somebody else may have them
     * already. End or give up what is under way, then call broker_consumer_unassign. */
    void (*on_revoke)(void *arg, bool lost);
    /* There may be messages to take (after this, take until none is left or there is no room). */
    void (*on_messages)(void *arg);
    void *arg;
};
struct broker_consumer *
broker_consumer_new(struct loop *loop, const struct broker_consumer_config *cfg, struct err *err);
/* 1: *ret_m is filled, 0: none waits now (on_messages will tell). After taking 0 the next arrival
 * is announced again. */
int broker_consumer_take(struct broker_consumer *c, struct broker_partition part,
                         struct broker_message *ret_m);
void broker_message_release(struct broker_message *m);

/* The offset to start from after a crash: one behind the last finished. Kept and committed every
 * COMMIT_OFFSETS_MS, asynchronously. A partition that is no longer ours is ignored. */
void broker_consumer_store(struct broker_consumer *c, struct broker_partition part, int64_t next);

void broker_consumer_unassign(struct broker_consumer *c); /* the answer to on_revoke */
/* Commits what is stored and leaves the group; on_closed is called once, at the latest after
 * BROKER_CLOSE_MS (then the handle is leaked on purpose: librdkafka hangs, we do not). on_revoke
 * may come meanwhile. */
void broker_consumer_close(struct broker_consumer *c, void (*on_closed)(void *arg));
/* After on_closed, or when it never started. */
void broker_consumer_free(struct broker_consumer *c);

#endif
