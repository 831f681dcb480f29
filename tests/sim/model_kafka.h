/* Kafka, as far as the two cores can tell it from the real one: a topic an engine, its logs, the
 * delivery of messages, and one group of consumers with eager rebalances, sessions and committed
 * offsets. model_log.c keeps topics and logs, model_group.c the group. */
#ifndef REVEILLE_SIM_MODEL_KAFKA_H
#define REVEILLE_SIM_MODEL_KAFKA_H

#include "pool_core.h"
#include "world.h"

#define LOG_MAX 4000
#define MEMBERS_MAX 64

struct log_entry {
    struct uuid run;
    int32_t slice;
    bool hole; /* acknowledged, but lost */
    bool bad;  /* unreadable */
    int64_t visible_at;
};

#define STILL_ENOUGH_MS (OFFSET_STILL_MS - 5000) /* seen late by the producer, at most so much */

struct log {
    struct log_entry *entry; /* owned, room of them */
    int room;
    int64_t end, committed; /* -1: none */
    int64_t still_since;    /* that has not moved since then, with something to read */
    int64_t stood_until; /* until then it had not moved for so long that it was no lag; 0: never */
};

struct topic_model {
    bool exists;
    int partitions;
    bool anew; /* was emptied or gone once: offsets may say anything from then on */
    struct log part[PARTITIONS_MAX];
};

struct position {
    bool assigned;
    int64_t next, stored, sent; /* -1: nothing stored, nothing sent */
};

struct member {
    struct address of;
    int64_t silent_since;         /* its process is dead since then; 0: it lives */
    bool in_group, joined;        /* joined: holds nothing, waits for the assignment */
    bool revoking;                /* was told to give back; has not yet */
    bool rejoining;               /* was thrown out, has given back, is on its way in again */
    int generation;               /* of what it holds; 0: nothing */
    int64_t asked_at;             /* when it was told to give back */
    int64_t cut_since, cut_until; /* nothing passes between it and the brokers */
    bool lost;                    /* ... because it was too late already */
    struct position at[ENGINES_MAX][PARTITIONS_MAX];
};

struct model_kafka {
    struct world *world;
    struct topic_model topic[ENGINES_MAX];
    struct member member[MEMBERS_MAX];
    int members;
    int generation;
    bool balancing;
};

struct model_kafka *model_kafka_new(struct world *w);
void model_kafka_free(struct model_kafka *k);

/* ---- model_log.c */
/* Puts a message into the log; who consumes the partition hears of it when it is visible. */
void model_kafka_append(struct model_kafka *k, int engine, int partition, struct log_entry e);
/* Makes sure of the topic, with so many partitions at least; false: not possible now. */
bool model_kafka_ensure(struct model_kafka *k, int engine, int partitions);
void model_kafka_empty(struct model_kafka *k, int engine, bool keep_offsets);
void model_kafka_remove(struct model_kafka *k, int engine);
/* The next message of a partition of that worker. */
bool model_kafka_take(struct model_kafka *k, struct address worker, struct pool_part part,
                      struct pool_message *ret);
/* Messages that nobody has read, over all topics but those that were made anew. */
int64_t model_kafka_lag(const struct model_kafka *k);

/* ---- model_group.c */
void model_kafka_join(struct model_kafka *k, struct address worker);
void model_kafka_leave(struct model_kafka *k, struct address worker);
void model_kafka_unassign(struct model_kafka *k, struct address worker);
void model_kafka_store(struct model_kafka *k, struct address worker, struct pool_part part,
                       int64_t next);
void model_kafka_rebalance(struct model_kafka *k);
/* Throws a member out as if its session had ended. */
void model_kafka_expel(struct model_kafka *k, struct address worker);
void model_kafka_cut(struct model_kafka *k, struct address worker, int64_t until);
void model_kafka_mend(struct model_kafka *k); /* every cut is over */
struct member *model_kafka_member(struct model_kafka *k, struct address worker); /* NULL: none */
/* Once a second: members whose process has been silent for a session are thrown out. */
void model_kafka_watch(struct model_kafka *k);

#endif
