/* Does a topic exist with enough partitions, and if not, create it, or add them. A thread a
 * question, for librdkafka 2.0.2 can only wait for metadata; the thread touches nothing but its
 * job, the handle and the wake-up. */
#include "broker_internal.h"

#include "clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct broker_topic_job {
    rd_kafka_t *rk;
    struct broker_wake *wake;
    rd_kafka_topic_t *topic;
    int32_t partitions;
    int64_t deadline_ms;
    pthread_t thread;
    atomic_bool stop, done;
    struct err err; /* the thread's until done */
};

static bool job_over(const struct broker_topic_job *job)
{
    return atomic_load(&job->stop) || clock_mono_ms() >= job->deadline_ms;
}

/* How many partitions there are; 0: no such topic; -1: not known, *ret_code says why. */
static int count_partitions(struct broker_topic_job *job, rd_kafka_resp_err_t *ret_code)
{
    const struct rd_kafka_metadata *md = NULL;
    int count = -1;

    *ret_code = rd_kafka_metadata(job->rk, 0, job->topic, &md, BROKER_METADATA_MS);
    if (*ret_code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return -1;
    }
    *ret_code = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR__BAD_MSG;
    if (*ret_code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        *ret_code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        count = 0;
    } else if (*ret_code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        count = md->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(md);
    return count;
}

/* Both answers have one form. */
static const rd_kafka_topic_result_t **topic_results(rd_kafka_event_t *ev, size_t *ret_n)
{
    const rd_kafka_CreateTopics_result_t *created = rd_kafka_event_CreateTopics_result(ev);
    const rd_kafka_CreatePartitions_result_t *added = rd_kafka_event_CreatePartitions_result(ev);

    *ret_n = 0;
    return created != NULL ? rd_kafka_CreateTopics_result_topics(created, ret_n)
           : added != NULL ? rd_kafka_CreatePartitions_result_topics(added, ret_n)
                           : NULL;
}

/* Waits for the answer of the admin API; what it says is only a hint, metadata decides. */
static rd_kafka_resp_err_t await_answer(struct broker_topic_job *job, rd_kafka_queue_t *queue)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_event_t *ev = NULL;
    const rd_kafka_topic_result_t **topics;
    size_t n = 0;

    while (ev == NULL && !job_over(job)) {
        ev = rd_kafka_queue_poll(queue, BROKER_METADATA_PAUSE_MS);
    }
    if (ev == NULL) {
        return code;
    }
    code = rd_kafka_event_error(ev);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        topics = topic_results(ev, &n);
        code = n == 1 ? rd_kafka_topic_result_error(topics[0]) : code;
    }
    rd_kafka_event_destroy(ev);
    return code;
}

/* Returns owned: both time-outs of an admin request. */
static rd_kafka_AdminOptions_t *options_new(struct broker_topic_job *job, rd_kafka_admin_op_t op)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(job->rk, op);

    (void)rd_kafka_AdminOptions_set_request_timeout(options, BROKER_ADMIN_MS, NULL, 0);
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, BROKER_OPERATION_MS, NULL, 0);
    return options;
}

static rd_kafka_resp_err_t create_topic(struct broker_topic_job *job)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(job->rk);
    rd_kafka_AdminOptions_t *options = options_new(job, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    /* -1: as many replicas as the broker's default says. */
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(rd_kafka_topic_name(job->topic), job->partitions, -1, NULL, 0);

    if (topic != NULL) {
        rd_kafka_CreateTopics(job->rk, &topic, 1, options, queue);
        code = await_answer(job, queue);
        rd_kafka_NewTopic_destroy(topic);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return code;
}

static rd_kafka_resp_err_t add_partitions(struct broker_topic_job *job)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(job->rk);
    rd_kafka_AdminOptions_t *options = options_new(job, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS);
    rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new(rd_kafka_topic_name(job->topic),
                                                                (size_t)job->partitions, NULL, 0);

    if (more != NULL) {
        rd_kafka_CreatePartitions(job->rk, &more, 1, options, queue);
        code = await_answer(job, queue);
        rd_kafka_NewPartitions_destroy(more);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return code;
}

static int finish(struct broker_topic_job *job, int count, rd_kafka_resp_err_t code)
{
    const char *name = rd_kafka_topic_name(job->topic);

    if (count >= job->partitions) {
        return 0;
    }
    if (count > 0) {
        return err_set(&job->err, ERR_CONFIG, "too_few_partitions",
                       "topic %s has %d partitions and needs %d, and the broker adds none (%s): "
                       "add them there, or set the engine's topic_partitions back",
                       name, count, (int)job->partitions, rd_kafka_err2name(code));
    }
    if (count == 0 &&
        (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
         code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)) {
        /* Its broker may have no admin API; somebody else may create the topic yet. */
        (void)err_retry(&job->err, ERR_NETWORK, "no_topic",
                        "the topic is missing, and no broker has created it in time");
    } else {
        (void)broker_err(&job->err, code, NULL);
    }
    return err_prefix(&job->err, name);
}

/* Asks for what is missing; whether somebody else was quicker, metadata tells. */
static rd_kafka_resp_err_t mend_topic(struct broker_topic_job *job, int count)
{
    rd_kafka_resp_err_t code = count == 0 ? create_topic(job) : add_partitions(job);

    return code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS ||
                   code == RD_KAFKA_RESP_ERR_INVALID_PARTITIONS
               ? RD_KAFKA_RESP_ERR_NO_ERROR
               : code;
}

static void *topic_thread(void *arg)
{
    struct broker_topic_job *job = arg; /* private to this file: pthread_create hands it over */
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT, mended;
    bool asked = false;
    int count = -1;

    while (!job_over(job)) {
        count = count_partitions(job, &code);
        if (count >= job->partitions) {
            break;
        }
        if (count >= 0 && !asked) {
            asked = true;
            mended = mend_topic(job, count);
            if (mended != RD_KAFKA_RESP_ERR_NO_ERROR) {
                code = mended;
                break;
            }
        }
        if (code == RD_KAFKA_RESP_ERR__TRANSPORT || count >= 0) {
            struct timespec pause = {.tv_nsec = BROKER_METADATA_PAUSE_MS *
                                                1000000L}; /* failed without waiting */
            (void)nanosleep(&pause, NULL);
        }
    }
    (void)finish(job, count, code);
    atomic_store(&job->done, true);
    if (!atomic_load(&job->stop)) { /* nobody waits any more, and the wake-up may be gone */
        broker_wake_kick(job->wake);
    }
    return NULL;
}

struct broker_topic_job *broker_topic_job_new(rd_kafka_t *rk, struct broker_wake *wake,
                                              const char *topic, int32_t partitions,
                                              struct err *err)
{
    struct broker_topic_job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory to ask for a topic");
        return NULL;
    }
    job->rk = rk;
    job->wake = wake;
    job->partitions = partitions;
    job->deadline_ms = clock_mono_ms() + BROKER_ADMIN_MS;
    job->err = ERR_INIT;
    job->topic = rd_kafka_topic_new(rk, topic, NULL);
    if (job->topic == NULL) {
        (void)broker_err(err, rd_kafka_last_error(), NULL);
        goto fail;
    }
    if (pthread_create(&job->thread, NULL, topic_thread, job) != 0) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no thread to ask for a topic");
        goto fail_topic;
    }
    return job;
fail_topic:
    rd_kafka_topic_destroy(job->topic);
fail:
    free(job);
    return NULL;
}

bool broker_topic_job_done(const struct broker_topic_job *job)
{
    return atomic_load(&job->done);
}

const struct err *broker_topic_job_result(const struct broker_topic_job *job,
                                          const char **ret_topic, int32_t *ret_partitions)
{
    *ret_topic = rd_kafka_topic_name(job->topic);
    *ret_partitions = job->partitions;
    return err_is_set(&job->err) ? &job->err : NULL;
}

void broker_topic_job_stop(struct broker_topic_job *job)
{
    atomic_store(&job->stop, true);
}

bool broker_topic_job_free(struct broker_topic_job *job, int64_t until_ms)
{
    broker_topic_job_stop(job);
    if (!broker_thread_join(job->thread, until_ms)) {
        return false;
    }
    rd_kafka_topic_destroy(job->topic);
    free(job);
    return true;
}
