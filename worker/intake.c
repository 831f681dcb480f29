/* See intake.h. */
#include "intake.h"

#include "attrs.h"
#include "limits.h"
#include "slice_msg.h"

#include <stdlib.h>
#include <string.h>

#define INTAKE_MAGIC 0x696e746bu

struct intake {
    unsigned magic;
    struct intake_config cfg; /* the functions; what was borrowed is not looked at again */
    struct broker_consumer *consumer;
    void (*on_left)(void *arg);
    bool leaving, left;
};

static struct broker_partition theirs(struct pool_part part)
{
    return (struct broker_partition){.topic = part.engine, .partition = part.partition};
}

/* ---- what the group says ----------------------------------------------------------------- */

static void assigned(void *arg, const struct broker_partition *parts, size_t n)
{
    struct intake *in = CHECK_MAGIC(struct intake, arg, INTAKE_MAGIC);
    struct pool_part ours[LIMIT_PARTITIONS];
    struct err err = ERR_INIT;
    int count = n < LIMIT_PARTITIONS ? (int)n : LIMIT_PARTITIONS;
    for (int i = 0; i < count; i++)
        ours[i] = (struct pool_part){.engine = parts[i].topic, .partition = parts[i].partition};
    if (n > LIMIT_PARTITIONS) {
        (void)err_set(&err, ERR_LIMIT, "partitions",
                      "%zu partitions, a worker works on %d: start more workers", n,
                      LIMIT_PARTITIONS);
        in->cfg.on_error(in->cfg.arg, &err);
    }
    in->cfg.on_assigned(in->cfg.arg, ours, count);
}

static void revoked(void *arg, bool lost)
{
    struct intake *in = CHECK_MAGIC(struct intake, arg, INTAKE_MAGIC);
    in->cfg.on_revoked(in->cfg.arg, lost);
}

static void messages_wait(void *arg)
{
    struct intake *in = CHECK_MAGIC(struct intake, arg, INTAKE_MAGIC);
    in->cfg.on_messages(in->cfg.arg);
}

static void broker_failed(void *arg, const struct err *err)
{
    struct intake *in = CHECK_MAGIC(struct intake, arg, INTAKE_MAGIC);
    in->cfg.on_error(in->cfg.arg, err);
}

static void left(void *arg)
{
    struct intake *in = CHECK_MAGIC(struct intake, arg, INTAKE_MAGIC);
    in->left = true;
    in->on_left(in->cfg.arg);
}

/* ---- messages ---------------------------------------------------------------------------- */

/* The decoder's codes as what stands in dead_letter and in the metric's label: constants. */
static const char *reason_of(const struct err *err)
{
    static const char *const reasons[] = {"too_long", "unreadable", "version", "fields"};
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (strcmp(err->code, reasons[i]) == 0)
            return reasons[i];
    return "unreadable";
}

bool intake_take(struct intake *in, struct pool_part part, struct pool_message *ret_m)
{
    struct broker_message m;
    struct slice_msg address;
    struct err err = ERR_INIT;
    if (broker_consumer_take(in->consumer, theirs(part), &m) == 0)
        return false;
    memset(ret_m, 0, sizeof(*ret_m));
    ret_m->offset = m.offset;
    if (slice_msg_decode(m.bytes, m.len, &address, &err)) {
        ret_m->bad = reason_of(&err);
    } else {
        ret_m->run = address.run;
        ret_m->slice = address.slice;
        memcpy(ret_m->traceparent, m.traceparent, sizeof(ret_m->traceparent));
    }
    broker_message_release(&m);
    return true;
}

void intake_store(struct intake *in, struct pool_part part, int64_t next)
{
    broker_consumer_store(in->consumer, theirs(part), next);
}

void intake_unassign(struct intake *in)
{
    broker_consumer_unassign(in->consumer);
}

void intake_leave(struct intake *in, void (*on_left)(void *arg))
{
    assert(!in->leaving);
    in->leaving = true;
    in->on_left = on_left;
    broker_consumer_close(in->consumer, left);
}

/* ---- life -------------------------------------------------------------------------------- */

struct intake *intake_new(struct loop *loop, const struct intake_config *cfg, struct err *err)
{
    struct intake *in = calloc(1, sizeof(*in));
    if (in == NULL) {
        (void)err_errno(err, "intake");
        return NULL;
    }
    in->magic = INTAKE_MAGIC;
    in->cfg = *cfg;
    struct broker_consumer_config consumer = {.properties = cfg->properties,
                                              .property_count = cfg->property_count,
                                              .group = cfg->group,
                                              .topics = cfg->topics,
                                              .topic_count = cfg->topic_count,
                                              .on_error = broker_failed,
                                              .on_assign = assigned,
                                              .on_revoke = revoked,
                                              .on_messages = messages_wait,
                                              .arg = in};
    in->consumer = broker_consumer_new(loop, &consumer, err);
    if (in->consumer == NULL) {
        free(in);
        return NULL;
    }
    return in;
}

void intake_free(struct intake *in)
{
    if (in == NULL)
        return;
    if (in->left)
        broker_consumer_free(in->consumer);
    free(in);
}
