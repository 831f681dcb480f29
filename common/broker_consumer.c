/* A member of the workers' group. librdkafka polls nobody but us: its control queue (rebalances,
 * errors, commit results) is drained at each wake, and each partition has a queue of its own that
 * is read only when the caller takes. Knows offsets, not slices. */
#include "broker_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CONSUMER_MAGIC 0x62636f6eu
#define NO_OFFSET (-1)

static const struct broker_setting settings[] = {
    {.name = "client.id", .value = "reveille"},
    {.name = "enable.auto.offset.store", .value = "false", .required = true},
    {.name = "enable.auto.commit", .value = "false", .required = true}, /* commit_stored() does */
    /* Eager, and one for all: librdkafka 2.0.2 loses assignments with the cooperative one. In turn,
     * because a small run's slices lie on neighbouring partitions: `range` gives them to one
     * worker. */
    {.name = "partition.assignment.strategy",
     .value = "roundrobin",
     .required = true,
     .alternative = "range"},
    {.name = "auto.offset.reset", .value = "earliest"}, /* a slice done already costs one look */
    {.name = "session.timeout.ms", .value = TEXT_OF(BROKER_SESSION_MS)},
    {.name = "heartbeat.interval.ms", .value = "1000"}, /* so late others hear of a death */
    {.name = "max.poll.interval.ms", .value = "300000"},
    {.name = "queued.min.messages", .value = "64"}, /* a rebalance throws away what is read ahead */
    {.name = "queued.max.messages.kbytes", .value = "64"},
    {.name = "fetch.wait.max.ms", .value = "100"}, /* the embedded broker waits it out */
    {.name = "fetch.error.backoff.ms", .value = "100"},
    {.name = "reconnect.backoff.max.ms", .value = "1000"},
    {.name = "socket.nagle.disable", .value = "true"},
    {.name = "allow.auto.create.topics", .value = "false"},
    /* How soon a topic is found that was not there when we subscribed. */
    {.name = "topic.metadata.refresh.interval.ms", .value = "3000"},
};

struct held {
    struct broker_partition part;
    rd_kafka_queue_t *queue;
    int64_t stored;    /* NO_OFFSET: nothing yet */
    int64_t committed; /* the last one sent to be committed, unless that failed */
};

struct broker_consumer {
    unsigned magic;
    rd_kafka_t *rk;
    rd_kafka_queue_t *control;
    struct broker_wake *wake;
    struct loop_timer *commit_timer;
    struct loop_timer *close_timer; /* the watchdog */
    struct broker_reporter reporter;
    char **topics;
    size_t topic_count;
    struct held *held; /* what the group has given us */
    size_t held_count;
    bool committing; /* a commit of the timer is under way */
    enum { C_OPEN, C_CLOSING, C_CLOSED, C_STUCK } state;
    void (*on_assign)(void *arg, const struct broker_partition *parts, size_t n);
    void (*on_revoke)(void *arg, bool lost);
    void (*on_messages)(void *arg);
    void (*on_closed)(void *arg);
    void *arg;
};

/* ---- partitions held ----------------------------------------------------------------------- */

static int topic_index(const struct broker_consumer *c, const char *topic)
{
    for (size_t i = 0; i < c->topic_count; i++) {
        if (strcmp(c->topics[i], topic) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static struct held *find_held(struct broker_consumer *c, struct broker_partition part)
{
    for (size_t i = 0; i < c->held_count; i++) {
        if (c->held[i].part.partition == part.partition && c->held[i].part.topic == part.topic) {
            return &c->held[i];
        }
    }
    return NULL;
}

static void drop_held(struct broker_consumer *c)
{
    for (size_t i = 0; i < c->held_count; i++) {
        broker_wake_detach(c->held[i].queue);
        rd_kafka_queue_destroy(c->held[i].queue);
    }
    free(c->held);
    c->held = NULL;
    c->held_count = 0;
}

/* ---- committing ---------------------------------------------------------------------------- */

/* Sends what was stored since the last time; false when there is nothing. */
static bool commit_stored(struct broker_consumer *c)
{
    rd_kafka_topic_partition_list_t *offsets =
        rd_kafka_topic_partition_list_new((int)c->held_count);
    rd_kafka_resp_err_t code;
    bool sent = false;

    for (size_t i = 0; i < c->held_count; i++) {
        struct held *h = &c->held[i];
        if (h->stored != h->committed) {
            rd_kafka_topic_partition_list_add(offsets, c->topics[h->part.topic], h->part.partition)
                ->offset = h->stored;
            h->committed = h->stored;
        }
    }
    if (offsets->cnt > 0) {
        code = rd_kafka_commit_queue(c->rk, offsets, c->control, NULL, NULL);
        sent = code == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!sent) {
            broker_report(&c->reporter, code, NULL);
        }
    }
    rd_kafka_topic_partition_list_destroy(offsets);
    return sent;
}

static void on_commit_timer(void *arg)
{
    struct broker_consumer *c = CHECK_MAGIC(struct broker_consumer, arg, CONSUMER_MAGIC);

    loop_timer_arm(c->commit_timer, COMMIT_OFFSETS_MS);
    if (!c->committing &&
        c->state == C_OPEN) { /* else they would pile up while no broker answers */
        c->committing = commit_stored(c);
    }
}

/* What failed is sent again with the next one. */
static void on_committed(struct broker_consumer *c, rd_kafka_event_t *ev)
{
    const rd_kafka_topic_partition_list_t *offsets = rd_kafka_event_topic_partition_list(ev);
    rd_kafka_resp_err_t code = rd_kafka_event_error(ev);

    c->committing = false;
    for (int i = 0; offsets != NULL && i < offsets->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &offsets->elems[i];
        struct held *h =
            find_held(c, (struct broker_partition){topic_index(c, p->topic), p->partition});
        bool failed = code != RD_KAFKA_RESP_ERR_NO_ERROR || p->err != RD_KAFKA_RESP_ERR_NO_ERROR;
        if (failed && h != NULL && h->committed == p->offset) {
            h->committed = NO_OFFSET;
        }
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__NO_OFFSET) {
        broker_report(&c->reporter, code, NULL);
    }
}

void broker_consumer_store(struct broker_consumer *c, struct broker_partition part, int64_t next)
{
    struct held *h = find_held(c, part);

    if (h != NULL) {
        h->stored = next;
    }
}

/* ---- the group ----------------------------------------------------------------------------- */

static void assign(struct broker_consumer *c, const rd_kafka_topic_partition_list_t *parts)
{
    rd_kafka_resp_err_t code = rd_kafka_assign(c->rk, parts);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        broker_report(&c->reporter, code, NULL);
    }
}

/* Cuts the partition's queue off from the control queue, before anything is fetched into it. */
static void hold(struct broker_consumer *c, struct held *h, struct broker_partition part)
{
    rd_kafka_queue_t *queue =
        rd_kafka_queue_get_partition(c->rk, c->topics[part.topic], part.partition);

    *h = (struct held){.part = part, .queue = queue, .stored = NO_OFFSET, .committed = NO_OFFSET};
    rd_kafka_queue_forward(queue, NULL);
    broker_wake_attach(c->wake, queue);
}

static void on_given(struct broker_consumer *c, const rd_kafka_topic_partition_list_t *parts)
{
    size_t n = (size_t)parts->cnt;
    struct broker_partition *given = calloc(n + 1, sizeof(*given));

    drop_held(c); /* nothing, unless librdkafka has skipped a revocation */
    c->held = calloc(n + 1, sizeof(*c->held));
    if (given == NULL || c->held == NULL) {
        magic_failed("no memory for an assignment", __FILE__, __LINE__);
    }
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_topic_partition_t *p = &parts->elems[i];
        struct broker_partition part = {topic_index(c, p->topic), p->partition};
        if (part.topic >= 0) { /* else: not what we subscribed to; its messages are dropped */
            given[c->held_count] = part;
            hold(c, &c->held[c->held_count++], part);
        }
    }
    assign(c, parts);
    c->on_assign(c->arg, given, c->held_count);
    free(given);
}

static void on_rebalance(struct broker_consumer *c, rd_kafka_event_t *ev)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(ev);

    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        on_given(c, rd_kafka_event_topic_partition_list(ev));
    } else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && c->held_count > 0) {
        c->on_revoke(c->arg, rd_kafka_assignment_lost(c->rk) != 0);
    } else {
        broker_consumer_unassign(c); /* nobody holds anything */
    }
}

void broker_consumer_unassign(struct broker_consumer *c)
{
    /* Of lost partitions somebody else may have committed more already. */
    if (rd_kafka_assignment_lost(c->rk) == 0) {
        (void)commit_stored(c);
    }
    c->committing = false;
    drop_held(c);
    assign(c, NULL);
}

/* ---- waking -------------------------------------------------------------------------------- */

static void drain_control(struct broker_consumer *c)
{
    rd_kafka_event_t *ev;

    while ((ev = rd_kafka_queue_poll(c->control, 0)) != NULL) {
        switch (rd_kafka_event_type(ev)) {
        case RD_KAFKA_EVENT_REBALANCE:
            on_rebalance(c, ev);
            break;
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
            on_committed(c, ev);
            break;
        case RD_KAFKA_EVENT_ERROR:
            broker_report(&c->reporter, rd_kafka_event_error(ev), rd_kafka_event_error_string(ev));
            break;
        default:
            break;
        }
        rd_kafka_event_destroy(ev);
    }
}

static void closed(struct broker_consumer *c, bool stuck)
{
    c->state = stuck ? C_STUCK : C_CLOSED;
    loop_timer_disarm(c->close_timer);
    c->on_closed(c->arg); /* may free c */
}

/* The control queue first: after a gap in the loop the partitions may be somebody else's. */
static void on_wake(void *arg)
{
    struct broker_consumer *c = CHECK_MAGIC(struct broker_consumer, arg, CONSUMER_MAGIC);

    if (c->state == C_CLOSED || c->state == C_STUCK) {
        return;
    }
    drain_control(c);
    if (c->held_count > 0) {
        c->on_messages(c->arg);
    }
    if (c->state == C_CLOSING && rd_kafka_consumer_closed(c->rk)) {
        closed(c, false);
    }
}

/* ---- taking -------------------------------------------------------------------------------- */

/* 00-32 hex digits-16 hex digits-2 hex digits, in lower case (W3C Trace Context) */
static bool is_traceparent(const char *text, size_t len)
{
    if (len != 55) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        bool dash = i == 2 || i == 35 || i == 52;
        bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (dash ? text[i] != '-' : !hex) {
            return false;
        }
    }
    return true;
}

static void read_traceparent(const rd_kafka_message_t *m, char out[56])
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t len;

    out[0] = '\0';
    if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        rd_kafka_header_get_last(headers, "traceparent", &value, &len) ==
            RD_KAFKA_RESP_ERR_NO_ERROR &&
        value != NULL && is_traceparent(value, len)) {
        memcpy(out, value, len);
        out[len] = '\0';
    }
}

int broker_consumer_take(struct broker_consumer *c, struct broker_partition part,
                         struct broker_message *ret_m)
{
    struct held *h = find_held(c, part);
    rd_kafka_message_t *m;

    while (h != NULL && (m = rd_kafka_consume_queue(h->queue, 0)) != NULL) {
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            broker_report(&c->reporter, m->err, rd_kafka_message_errstr(m));
            rd_kafka_message_destroy(m);
            continue;
        }
        *ret_m = (struct broker_message){
            .offset = m->offset, .bytes = m->payload, .len = m->len, .opaque = m};
        read_traceparent(m, ret_m->traceparent);
        return 1;
    }
    return 0;
}

void broker_message_release(struct broker_message *m)
{
    if (m->opaque != NULL) {
        rd_kafka_message_destroy(m->opaque);
        *m = (struct broker_message){0};
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

static int copy_topics(struct broker_consumer *c, const struct broker_consumer_config *cfg,
                       struct err *err)
{
    c->topics = calloc(cfg->topic_count + 1, sizeof(*c->topics));
    for (size_t i = 0; c->topics != NULL && i < cfg->topic_count; i++) {
        if (cfg->topics[i][0] == '^') {
            return err_set(err, ERR_CONFIG, "bad_topic", "a topic's name cannot begin with ^");
        }
        c->topics[i] = strdup(cfg->topics[i]);
        if (c->topics[i] == NULL) {
            break;
        }
        c->topic_count++;
    }
    return c->topic_count == cfg->topic_count && c->topics != NULL
               ? 0
               : err_set(err, ERR_SYSTEM, NULL, "no memory for a consumer");
}

static int open_handle(struct broker_consumer *c, const struct broker_consumer_config *cfg,
                       struct err *err)
{
    rd_kafka_conf_t *conf =
        broker_conf_new(settings, COUNT_OF(settings), cfg->properties, cfg->property_count, err);

    if (conf == NULL) {
        return -1;
    }
    if (rd_kafka_conf_set(conf, "group.id", cfg->group, NULL, 0) != RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_CONFIG, "bad_group", "librdkafka refuses the group's name");
    }
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT |
                                       RD_KAFKA_EVENT_ERROR);
    c->rk = broker_handle_new(RD_KAFKA_CONSUMER, conf, err);
    if (c->rk == NULL) {
        return -1;
    }
    (void)rd_kafka_poll_set_consumer(c->rk); /* fails only for producers */
    c->control = rd_kafka_queue_get_consumer(c->rk);
    broker_wake_attach(c->wake, c->control);
    return 0;
}

static int subscribe(struct broker_consumer *c, struct err *err)
{
    rd_kafka_topic_partition_list_t *topics =
        rd_kafka_topic_partition_list_new((int)c->topic_count);
    rd_kafka_resp_err_t code;

    for (size_t i = 0; i < c->topic_count; i++) {
        (void)rd_kafka_topic_partition_list_add(topics, c->topics[i], RD_KAFKA_PARTITION_UA);
    }
    code = rd_kafka_subscribe(c->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : broker_err(err, code, NULL);
}

static void on_close_timer(void *arg)
{
    closed(CHECK_MAGIC(struct broker_consumer, arg, CONSUMER_MAGIC), true);
}

struct broker_consumer *
broker_consumer_new(struct loop *loop, const struct broker_consumer_config *cfg, struct err *err)
{
    struct broker_consumer *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for a consumer");
        return NULL;
    }
    *c = (struct broker_consumer){.magic = CONSUMER_MAGIC,
                                  .reporter = {.fn = cfg->on_error, .arg = cfg->arg},
                                  .on_assign = cfg->on_assign,
                                  .on_revoke = cfg->on_revoke,
                                  .on_messages = cfg->on_messages,
                                  .arg = cfg->arg};
    if (copy_topics(c, cfg, err)) {
        goto fail;
    }
    c->commit_timer = loop_timer_new(loop, on_commit_timer, c, err);
    c->close_timer = loop_timer_new(loop, on_close_timer, c, err);
    c->wake = broker_wake_new(loop, on_wake, c, err);
    if (c->commit_timer == NULL || c->close_timer == NULL || c->wake == NULL) {
        goto fail;
    }
    if (open_handle(c, cfg, err) || subscribe(c, err)) {
        goto fail;
    }
    loop_timer_arm(c->commit_timer, COMMIT_OFFSETS_MS);
    return c;
fail:
    broker_consumer_free(c);
    return NULL;
}

/* librdkafka sends what is left to say to a queue of our choice, which must not be the old one. If
 * partitions are held, it revokes them first, and unassign commits what is stored. */
void broker_consumer_close(struct broker_consumer *c, void (*on_closed)(void *arg))
{
    rd_kafka_queue_t *old = c->control;
    rd_kafka_error_t *error;

    assert(c->state == C_OPEN);
    c->state = C_CLOSING;
    c->on_closed = on_closed;
    loop_timer_arm(c->close_timer, BROKER_CLOSE_MS);
    c->control = rd_kafka_queue_new(c->rk);
    broker_wake_attach(c->wake, c->control);
    broker_wake_detach(old);
    error = rd_kafka_consumer_close_queue(c->rk, c->control);
    rd_kafka_queue_destroy(old);
    if (error != NULL) {
        broker_report(&c->reporter, rd_kafka_error_code(error), rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        loop_timer_arm(c->close_timer, 0); /* a handle that has failed for good says no more */
    }
}

void broker_consumer_free(struct broker_consumer *c)
{
    if (c == NULL) {
        return;
    }
    drop_held(c);
    if (c->control != NULL) {
        broker_wake_detach(c->control);
        rd_kafka_queue_destroy(c->control);
    }
    if (c->rk != NULL && c->state != C_STUCK) {
        broker_handle_destroy(c->rk, true);
    }
    broker_wake_free(c->wake);
    loop_timer_free(c->close_timer);
    loop_timer_free(c->commit_timer);
    for (size_t i = 0; i < c->topic_count; i++) {
        free(c->topics[i]);
    }
    free(c->topics);
    c->magic = 0;
    free(c);
}
