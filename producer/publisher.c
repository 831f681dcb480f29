/* See publisher.h. */
#include "publisher.h"

#include "attrs.h"
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLISHER_MAGIC 0x5055424Cu
/* All that the core may have on its way. */
#define OUT_MAX (LIMIT_RUNS_HELD * (LIMIT_AHEAD_MAX + LIMIT_PUBLISH_BATCH))

/* A slice's address on its way; its place in the table is the token of the delivery report. */
struct out {
    struct lead_ref ref;
    int32_t slice_no, partition;
    int next_free; /* NOT_FREE while it is on its way */
    bool unsent;   /* the library refused it for good: to be reported as failed in the next turn */
};
#define NOT_FREE (-2)
#define NO_MORE (-1)

struct topic {
    char engine[41], name[BROKER_TOPIC_SIZE];
    int partitions;      /* as last said */
    bool ready, failed;  /* failed: said so already */
    bool not_asked;      /* the library could not even be asked: to be answered in the next turn */
    bool offsets_failed; /* the same for the committed offsets */
};

struct publisher {
    unsigned magic;
    struct publisher_config cfg;
    struct run_core *core;
    struct broker_producer *broker;
    struct loop_timer *next_turn;
    struct out *outs; /* owned; grows up to OUT_MAX */
    int out_count, first_free;
    struct topic topics[LIMIT_TOPICS];
    size_t topic_count;
    bool was_ready;
};

/* ---- the table of what is on its way ------------------------------------------------------ */

static int out_grow(struct publisher *p)
{
    int more = p->out_count ? p->out_count * 2 : LIMIT_PUBLISH_BATCH;
    if (more > OUT_MAX)
        more = OUT_MAX;
    struct out *outs =
        more > p->out_count ? reallocarray(p->outs, (size_t)more, sizeof *outs) : NULL;
    if (!outs)
        return -1;
    for (int i = p->out_count; i < more; i++)
        outs[i] = (struct out){.next_free = i + 1 < more ? i + 1 : NO_MORE};
    p->first_free = p->out_count;
    p->out_count = more;
    p->outs = outs;
    return 0;
}

/* A place in the table, NO_MORE when it is full. */
static int out_take(struct publisher *p)
{
    if (p->first_free == NO_MORE && out_grow(p))
        return NO_MORE;
    int at = p->first_free;
    p->first_free = p->outs[at].next_free;
    p->outs[at] = (struct out){.next_free = NOT_FREE};
    return at;
}

static void out_give_back(struct publisher *p, int at)
{
    p->outs[at].next_free = p->first_free;
    p->first_free = at;
}

static void out_report(struct publisher *p, int at, bool ok, int64_t offset)
{
    struct out out = p->outs[at];
    out_give_back(p, at);
    run_core_delivered(p->core, out.ref, out.slice_no, out.partition, ok, offset);
}

static void delivered(void *arg, uint64_t token, bool ok, int64_t offset)
{
    struct publisher *p = CHECK_MAGIC(struct publisher, arg, PUBLISHER_MAGIC);
    assert(token < (uint64_t)p->out_count && p->outs[token].next_free == NOT_FREE);
    out_report(p, (int)token, ok, offset);
    core_wake_rearm(p->cfg.wake);
}

/* ---- topics ------------------------------------------------------------------------------ */

/* The topic of an engine, made when it is first named; NULL: too many, or too long a name. */
static struct topic *topic_of(struct publisher *p, const char *engine)
{
    for (size_t i = 0; i < p->topic_count; i++)
        if (strcmp(p->topics[i].engine, engine) == 0)
            return &p->topics[i];
    struct topic t = {.ready = false};
    if (p->topic_count == LIMIT_TOPICS || strlen(engine) >= sizeof t.engine ||
        strlen(p->cfg.topic_prefix) + 1 + strlen(engine) >= sizeof t.name)
        return NULL;
    snprintf(t.engine, sizeof t.engine, "%s", engine);
    snprintf(t.name, sizeof t.name, "%s.%s", p->cfg.topic_prefix, engine);
    p->topics[p->topic_count] = t;
    return &p->topics[p->topic_count++];
}

static struct topic *topic_named(struct publisher *p, const char *name)
{
    for (size_t i = 0; i < p->topic_count; i++)
        if (strcmp(p->topics[i].name, name) == 0)
            return &p->topics[i];
    return NULL;
}

bool publisher_is_ready(const struct publisher *p)
{
    for (size_t i = 0; i < p->topic_count; i++)
        if (!p->topics[i].ready)
            return false;
    return p->topic_count > 0;
}

static void tell_ready(struct publisher *p)
{
    bool ready = publisher_is_ready(p);
    if (ready == p->was_ready)
        return;
    p->was_ready = ready;
    p->cfg.on_ready(p->cfg.arg, ready);
}

/* err NULL: it is there. Says so once, not at each try. */
static void topic_answered(struct publisher *p, struct topic *t, int partitions,
                           const struct err *err)
{
    if (!err && (!t->ready || t->partitions != partitions)) {
        log_event(p->cfg.log, EV_TOPIC_READY, log_name("topic", t->name),
                  log_int("partitions", partitions));
        t->partitions = partitions;
    }
    if (err && !t->failed)
        log_event(p->cfg.log, EV_TOPIC_FAILED, log_name("topic", t->name), LOG_ERR(err));
    t->ready = !err;
    t->failed = err != NULL;
    tell_ready(p);
    run_core_topic(p->core, t->engine, t->ready);
    core_wake_rearm(p->cfg.wake);
}

static void topic_ensured(void *arg, const char *topic, int32_t partitions, const struct err *err)
{
    struct publisher *p = CHECK_MAGIC(struct publisher, arg, PUBLISHER_MAGIC);
    struct topic *t = topic_named(p, topic);
    if (t)
        topic_answered(p, t, partitions, err);
}

void publisher_ensure_topic(struct publisher *p, const char *engine, int partitions)
{
    struct topic *t = topic_of(p, engine);
    if (!t)
        return; /* the core then never publishes to it, and readiness is not asked of it */
    if (broker_ensure_topic(p->broker, t->name, partitions, topic_ensured, p, NULL)) {
        t->not_asked = true;
        loop_timer_arm(p->next_turn, 0);
    }
}

/* ---- the group's offsets ----------------------------------------------------------------- */

static void offsets_read(void *arg, const char *topic, const int64_t *offsets, size_t n,
                         const struct err *err)
{
    struct publisher *p = CHECK_MAGIC(struct publisher, arg, PUBLISHER_MAGIC);
    struct topic *t = topic_named(p, topic);
    if (!t)
        return;
    run_core_committed(p->core, t->engine, err ? NULL : offsets, err ? 0 : (int)n);
    core_wake_rearm(p->cfg.wake);
}

void publisher_committed(struct publisher *p, const char *engine, int partitions)
{
    struct topic *t = topic_of(p, engine);
    if (t &&
        broker_committed(p->broker, p->cfg.group, t->name, partitions, offsets_read, p, NULL)) {
        t->offsets_failed = true;
        loop_timer_arm(p->next_turn, 0);
    }
}

/* ---- publishing -------------------------------------------------------------------------- */

/* Each slice is a span of the run's trace, so that both can be found from one id. */
static void write_traceparent(const struct uuid *run, int32_t slice_no, char *out)
{
    size_t n = (size_t)snprintf(out, BROKER_TRACEPARENT_SIZE, "00-");
    for (size_t i = 0; i < sizeof run->b; i++)
        n += (size_t)snprintf(out + n, BROKER_TRACEPARENT_SIZE - n, "%02x", run->b[i]);
    snprintf(out + n, BROKER_TRACEPARENT_SIZE - n, "-%016llx-01", (unsigned long long)slice_no + 1);
}

bool publisher_publish(struct publisher *p, struct lead_ref ref, const struct uuid *run,
                       const char *engine, int32_t slice_no, int32_t partition)
{
    struct topic *t = topic_of(p, engine);
    int at = t ? out_take(p) : NO_MORE;
    if (at == NO_MORE)
        return false;
    p->outs[at].ref = ref;
    p->outs[at].slice_no = slice_no;
    p->outs[at].partition = partition;
    struct slice_msg msg = {.run = *run, .slice = slice_no};
    char traceparent[BROKER_TRACEPARENT_SIZE];
    struct err err = ERR_INIT;
    write_traceparent(run, slice_no, traceparent);
    if (broker_producer_send(p->broker, t->name, partition, &msg, traceparent, (uint64_t)at,
                             &err) == 0)
        return true;
    if (err.cls == ERR_LIMIT) { /* its queue is full: the core tries again */
        out_give_back(p, at);
        return false;
    }
    p->outs[at].unsent = true; /* the topic is gone: a failed report makes the core see to it */
    loop_timer_arm(p->next_turn, 0);
    return true;
}

/* Answers what could not even be asked, outside the core's own calls. */
static void answer_refused(void *arg)
{
    struct publisher *p = CHECK_MAGIC(struct publisher, arg, PUBLISHER_MAGIC);
    const struct err refused = {.cls = ERR_LIMIT, .text = "the library takes no question now"};
    for (size_t i = 0; i < p->topic_count; i++) {
        struct topic *t = &p->topics[i];
        if (t->not_asked) {
            t->not_asked = false;
            topic_answered(p, t, 0, &refused);
        }
        if (t->offsets_failed) {
            t->offsets_failed = false;
            run_core_committed(p->core, t->engine, NULL, 0);
        }
    }
    for (int i = 0; i < p->out_count; i++)
        if (p->outs[i].next_free == NOT_FREE && p->outs[i].unsent)
            out_report(p, i, false, -1);
    core_wake_rearm(p->cfg.wake);
}

/* ---- life -------------------------------------------------------------------------------- */

static void broker_failed(void *arg, const struct err *err)
{
    struct publisher *p = CHECK_MAGIC(struct publisher, arg, PUBLISHER_MAGIC);
    log_failure(p->cfg.log, EV_BROKER_ERROR, err);
}

struct publisher *publisher_new(const struct publisher_config *cfg, struct err *err)
{
    struct publisher *p = calloc(1, sizeof *p);
    if (!p) {
        err_errno(err, "publisher");
        return NULL;
    }
    *p = (struct publisher){.magic = PUBLISHER_MAGIC,
                            .cfg = *cfg,
                            .core = core_wake_core(cfg->wake),
                            .first_free = NO_MORE};
    struct broker_producer_config broker = {.properties = cfg->properties,
                                            .property_count = cfg->property_count,
                                            .on_error = broker_failed,
                                            .on_delivery = delivered,
                                            .arg = p};
    p->next_turn = loop_timer_new(cfg->loop, answer_refused, p, err);
    if (p->next_turn)
        p->broker = broker_producer_new(cfg->loop, &broker, err);
    if (!p->broker) {
        publisher_free(p);
        return NULL;
    }
    return p;
}

void publisher_free(struct publisher *p)
{
    if (!p)
        return;
    broker_producer_free(p->broker);
    loop_timer_free(p->next_turn);
    free(p->outs);
    p->magic = 0;
    free(p);
}
