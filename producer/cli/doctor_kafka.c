/* The doctor's look at Kafka: is there a broker, are the topics there with partitions enough, does
 * somebody work on what lies in them. Blocking and read-only; the programs' own way to Kafka is
 * broker.h. A consumer's handle: a producer's would let the broker create a topic by asking. */
#include "doctor.h"

#include "limits.h"
#include "scrub.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MAGIC 0x6c6f6f6bu
#define LIST_MAX 2048 /* bytes of a list of topics: LIMIT_TOPICS of them; what is longer is cut */

struct look {
    unsigned magic;
    rd_kafka_t *rk;
    rd_kafka_resp_err_t code;  /* why there is no answer, ... */
    char reason[ERR_TEXT_MAX]; /* ... in librdkafka's words; "": it gave none */
    const char *prefix;
    const PGresult *engines;
    const struct rd_kafka_metadata *metadata;
};

static void drop_log(const rd_kafka_t *rk UNUSED, int level UNUSED, const char *facility UNUSED,
                     const char *text UNUSED)
{
}

static void keep_reason(struct look *look, rd_kafka_resp_err_t code, const char *reason)
{
    look->code = code;
    (void)scrub_text(reason, strlen(reason), look->reason, sizeof(look->reason));
}

/* The first reason is the nearest to the cause; that all brokers are down says the least. */
static void on_error(rd_kafka_t *rk UNUSED, int code, const char *reason, void *opaque)
{
    struct look *look = CHECK_MAGIC(struct look, opaque, LOOK_MAGIC);
    if (look->reason[0] == '\0' || look->code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        keep_reason(look, code, reason);
}

/* Sets look->rk, or the reason why librdkafka refuses the configuration. */
static void open_handle(struct look *look, const struct config *config)
{
    size_t n;
    char reason[ERR_TEXT_MAX] = "KAFKA_GROUP_ID is refused";
    const struct broker_property *properties = config_kafka(config, &n);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool ok = rd_kafka_conf_set(conf, "group.id", config_text(config, CFG_KAFKA_GROUP_ID), NULL,
                                0) == RD_KAFKA_CONF_OK;
    for (size_t i = 0; i < n; i++)
        ok = ok && rd_kafka_conf_set(conf, properties[i].name, properties[i].value, NULL, 0) ==
                       RD_KAFKA_CONF_OK;
    rd_kafka_conf_set_log_cb(conf, drop_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, look);
    look->rk = ok ? rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason)) : NULL;
    if (look->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        keep_reason(look, RD_KAFKA_RESP_ERR__INVALID_ARG, reason);
    }
}

/* ---- the broker ---------------------------------------------------------------------------- */

/* Whether a broker answered: then look->metadata is there, else the reason. */
static bool ask(struct look *look)
{
    if (look->rk == NULL)
        return false;
    if (rd_kafka_metadata(look->rk, 1, NULL, &look->metadata, CLI_KAFKA_MS) ==
        RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    while (rd_kafka_poll(look->rk, 0) > 0) {
    } /* on_error is called here */
    return false;
}

/* librdkafka's code of a failed TLS handshake is now _SSL, now _TRANSPORT: one mend for both. */
static const char *mend_of(rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
        code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED)
        return "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD must be ones "
               "that the broker knows; with SCRAM, Kafka 4 needs librdkafka 2.6.1 or newer";
    return "is KAFKA_BOOTSTRAP_SERVERS right, does it listen, is KAFKA_SECURITY_PROTOCOL the "
           "listener's? With TLS, KAFKA_SSL_CA_LOCATION names who issued the brokers' "
           "certificates, which must hold the brokers' names; KAFKA_SSL_CERTIFICATE_LOCATION and "
           "KAFKA_SSL_KEY_LOCATION one that they trust. Until it answers nothing is lost, runs "
           "wait";
}

static void check_broker(json_t *checks, const struct look *look, bool there)
{
    if (there)
        doctor_add(checks, "broker", DOCTOR_OK, "", "%d answer", look->metadata->broker_cnt);
    else if (look->rk == NULL)
        doctor_add(checks, "broker", DOCTOR_WRONG, "correct that KAFKA_ variable",
                   "librdkafka refuses the configuration: %s", look->reason);
    else
        doctor_add(checks, "broker", DOCTOR_WRONG, mend_of(look->code), "no answer within %d s%s%s",
                   CLI_KAFKA_MS / 1000, look->reason[0] ? ": " : "", look->reason);
}

/* ---- topics -------------------------------------------------------------------------------- */

static void topic_name(const struct look *look, int row, char out[BROKER_TOPIC_SIZE])
{
    snprintf(out, BROKER_TOPIC_SIZE, "%s.%s", look->prefix, PQgetvalue(look->engines, row, 0));
}

/* 0: there is no such topic, or this user may not see it. */
static int partitions_of(const struct look *look, const char *topic)
{
    for (int i = 0; i < look->metadata->topic_cnt; i++)
        if (strcmp(look->metadata->topics[i].topic, topic) == 0)
            return look->metadata->topics[i].partition_cnt;
    return 0;
}

static void check_topics(json_t *checks, const struct look *look)
{
    char topic[BROKER_TOPIC_SIZE], list[LIST_MAX] = "";
    for (int row = 0; row < PQntuples(look->engines); row++) {
        size_t len = strlen(list);
        int wanted = atoi(PQgetvalue(look->engines, row, 1));
        topic_name(look, row, topic);
        int there = partitions_of(look, topic);
        if (there < wanted)
            snprintf(list + len, sizeof(list) - len, "%s%s has %d of %d partitions",
                     len > 0 ? ", " : "", topic, there, wanted);
    }
    doctor_add(checks, "topics", list[0] ? DOCTOR_WRONG : DOCTOR_OK,
               "a producer that may create topics makes them (in Kafka: Create and Write on all of "
               "KAFKA_TOPIC_PREFIX, without which they are not seen either); else kafka-topics.sh "
               "--create, or --alter --partitions; is the prefix the programs' own?",
               "%s", list[0] ? list : "one an engine, with partitions enough");
}

/* ---- the group ----------------------------------------------------------------------------- */

/* Messages of one partition that the group has not passed; -1: no answer. */
static int64_t lag_of(const struct look *look, const char *topic, int32_t partition)
{
    int64_t low, high, lag = -1;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition);
    if (rd_kafka_committed(look->rk, list, CLI_KAFKA_MS) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        rd_kafka_query_watermark_offsets(look->rk, topic, partition, &low, &high, CLI_KAFKA_MS) ==
            RD_KAFKA_RESP_ERR_NO_ERROR) {
        int64_t at = list->elems[0].offset; /* negative: nothing was committed yet */
        lag = at > low ? (at < high ? high - at : 0) : high - low;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return lag;
}

/* Messages of an engine's topic that wait; -1: Kafka did not say. */
static int64_t lag_of_topic(const struct look *look, const char *topic)
{
    int64_t lag = 0;
    for (int32_t p = 0; lag >= 0 && p < partitions_of(look, topic); p++) {
        int64_t one = lag_of(look, topic, p);
        lag = one < 0 ? -1 : lag + one;
    }
    return lag;
}

static void check_group(json_t *checks, const struct look *look)
{
    char topic[BROKER_TOPIC_SIZE], list[LIST_MAX] = "";
    int64_t all = 0;
    bool silent = false;
    for (int row = 0; row < PQntuples(look->engines) && !silent; row++) {
        size_t len = strlen(list);
        topic_name(look, row, topic);
        int64_t lag = lag_of_topic(look, topic);
        silent = lag < 0;
        all += lag;
        if (lag > 0 && atoi(PQgetvalue(look->engines, row, 2)) == 0)
            snprintf(list + len, sizeof(list) - len, "%s%lld wait in %s and no worker lives",
                     len > 0 ? ", " : "", (long long)lag, topic);
    }
    if (silent)
        doctor_add(checks, "group", DOCTOR_WRONG,
                   "may this user read the offsets of KAFKA_GROUP_ID (in Kafka, Describe on it)?",
                   "the group's offsets cannot be read");
    else if (list[0])
        doctor_add(checks, "group", DOCTOR_WRONG,
                   "start reveille-worker with the same KAFKA_GROUP_ID and that engine", "%s",
                   list);
    else
        doctor_add(checks, "group", DOCTOR_OK, "", "%lld messages wait, for workers that live",
                   (long long)all);
}

bool doctor_kafka(json_t *checks, const struct config *config, const PGresult *engines)
{
    if (config == NULL || !config_has(config, CFG_KAFKA_BOOTSTRAP_SERVERS)) {
        doctor_add(checks, "broker", DOCTOR_UNKNOWN,
                   "run doctor with the producer's KAFKA_ variables to have Kafka looked at",
                   "KAFKA_BOOTSTRAP_SERVERS is not set here");
        return true;
    }
    struct look look = {.magic = LOOK_MAGIC,
                        .prefix = config_text(config, CFG_KAFKA_TOPIC_PREFIX),
                        .engines = engines};
    open_handle(&look, config);
    bool there = ask(&look);
    check_broker(checks, &look, there);
    if (there && engines != NULL) {
        check_topics(checks, &look);
        check_group(checks, &look);
    }
    if (look.metadata != NULL)
        rd_kafka_metadata_destroy(look.metadata);
    if (look.rk != NULL)
        rd_kafka_destroy_flags(look.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return there;
}
