/* What the broker's files share: configuration, error mapping, the wake-up of the loop by
 * librdkafka's threads, and the end of a handle. Nobody else includes it. */
#ifndef REVEILLE_BROKER_INTERNAL_H
#define REVEILLE_BROKER_INTERNAL_H

#include "broker.h"
#include "limits.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>

/* ---- configuration ----------------------------------------------------------------------- */
/* required: what the guarantee rests on. value is librdkafka's own spelling (acks=all reads back
 * as "-1"), alternative a second one that is as good, or NULL. */
struct broker_setting {
    const char *name, *value;
    bool required;
    const char *alternative;
};

/* Returns owned: `settings`, overridden by `properties`. NULL with CONFIG: a property that
 * librdkafka does not know or whose value it refuses, a required one that differs, or no
 * bootstrap.servers. The text names the property, never its value. */
rd_kafka_conf_t *broker_conf_new(const struct broker_setting *settings, size_t n,
                                 const struct broker_property *properties, size_t property_count,
                                 struct err *err);

/* Makes a handle of conf, which it takes in any case. */
rd_kafka_t *broker_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err);

/* librdkafka waits by the wall clock: set back meanwhile, a wait of a second is one of hours. So
 * whoever waits for a thread that is in it waits no longer than until a time (clock_mono_ms).
 * False: it is there still; whatever it uses, the handle too, must be left to it. */
bool broker_thread_join(pthread_t thread, int64_t until_ms);

/* Destroys a handle in a thread, since librdkafka joins its own there. wait: returns when that is
 * done, at the latest after BROKER_CLOSE_MS, then it is left to itself. */
void broker_handle_destroy(rd_kafka_t *rk, bool wait);

/* ---- errors ------------------------------------------------------------------------------ */
/* Fills *err with class, name of the code and the scrubbed text; returns -1. */
int broker_err(struct err *err, rd_kafka_resp_err_t code, const char *text);
/* The same from an error object, which it takes. */
int broker_err_take(struct err *err, rd_kafka_error_t *error);

/* Passes errors on; the same code only every BROKER_AGAIN_MS, for librdkafka repeats itself. */
struct broker_reporter {
    broker_error_fn fn;
    void *arg;
    struct {
        rd_kafka_resp_err_t code;
        int64_t at_ms; /* 0: a free place */
    } recent[BROKER_RECENT_CODES];
};
void broker_report(struct broker_reporter *r, rd_kafka_resp_err_t code, const char *text);

/* ---- wake-up ----------------------------------------------------------------------------- */
/* One descriptor that any number of queues write to, and a tick every BROKER_TICK_MS, since
 * librdkafka writes only when a queue stops being empty: who is woken drains. */
struct broker_wake;
typedef void (*broker_wake_fn)(void *arg); /* may free the wake */
struct broker_wake *broker_wake_new(struct loop *loop, broker_wake_fn fn, void *arg,
                                    struct err *err);
/* Every queue must be detached before, or librdkafka writes to a descriptor that is gone. */
void broker_wake_free(struct broker_wake *w);
void broker_wake_attach(struct broker_wake *w, rd_kafka_queue_t *queue);
void broker_wake_detach(rd_kafka_queue_t *queue);
void broker_wake_kick(struct broker_wake *w); /* from any thread */

/* ---- topics ------------------------------------------------------------------------------ */
/* broker_ensure_topic's work. librdkafka 2.0.2 can only wait for metadata, so each call has a
 * thread of its own; it ends within BROKER_ADMIN_MS, and within about a second when told to. */
struct broker_topic_job;
/* Borrows rk and wake until broker_topic_job_free; kicks wake when done. Returns owned. */
struct broker_topic_job *broker_topic_job_new(rd_kafka_t *rk, struct broker_wake *wake,
                                              const char *topic, int32_t partitions,
                                              struct err *err);
bool broker_topic_job_done(const struct broker_topic_job *job);
/* After done: the topic, how many partitions were asked for, and NULL or why it failed. Lent until
 * the free. */
const struct err *broker_topic_job_result(const struct broker_topic_job *job,
                                          const char **ret_topic, int32_t *ret_partitions);
/* Nobody wants the answer any more. From then on the thread does not kick wake. */
void broker_topic_job_stop(struct broker_topic_job *job);
/* As broker_thread_join; also the job is left to the thread that is there still. */
bool broker_topic_job_free(struct broker_topic_job *job, int64_t until_ms);

/* ---- a group's offsets ------------------------------------------------------------------- */
/* broker_committed's work. Each question has a thread of its own; it ends within BROKER_ADMIN_MS
 * and a second, and within a second when told to. */
struct broker_offsets;
/* Borrows wake, whose waker calls broker_offsets_serve; connects with the first question. */
struct broker_offsets *broker_offsets_new(struct broker_wake *wake,
                                          const struct broker_property *properties,
                                          size_t property_count, struct err *err);
/* As broker_committed; the first question's group is the handle's. */
int broker_offsets_ask(struct broker_offsets *o, const char *group, const char *topic, int32_t n,
                       broker_offsets_fn fn, void *arg, struct err *err) MUST_CHECK;
void broker_offsets_serve(struct broker_offsets *o); /* passes on what has been answered */
/* Waits for the threads, no longer than until that time (clock_mono_ms); questions under way get no
 * answer. */
void broker_offsets_free(struct broker_offsets *o, int64_t until_ms);

#endif
