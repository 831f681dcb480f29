/* Tests intake.c against librdkafka's mock cluster, and against a real broker if there is one:
 * bytes become addresses or reasons, partitions are named by their engine, and what is stored is
 * where the next member begins. */
#include "broker_world.h"

#include "intake.h"

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define JOIN_MS 30000
#define PARTITIONS 2

struct member {
    struct world *w;
    struct intake *in;
    int assigned, revoked, errors, left;
    bool asking, lost;
    struct err err; /* of class LIMIT, if there was one */
    struct pool_part parts[LIMIT_PARTITIONS];
    int held;
    struct pool_message got[64];
    struct pool_part from[64];
    int taken;
};

static void on_assigned(void *arg, const struct pool_part *parts, int n)
{
    struct member *m = arg;
    assert_in_range(n, 0, LIMIT_PARTITIONS);
    memcpy(m->parts, parts, (size_t)n * sizeof(*parts));
    m->held = n;
    m->assigned++;
}

static void on_revoked(void *arg, bool lost)
{
    struct member *m = arg;
    m->revoked++;
    m->lost = lost;
    m->held = 0;
    intake_unassign(m->in);
}

static void on_messages(void *arg)
{
    struct member *m = arg;
    for (int i = 0; i < m->held; i++) {
        while (m->taken < 64 && intake_take(m->in, m->parts[i], &m->got[m->taken])) {
            m->from[m->taken++] = m->parts[i];
        }
    }
}

static void on_error(void *arg, const struct err *err)
{
    struct member *m = arg;
    m->errors++;
    if (err->cls == ERR_LIMIT) {
        m->err = *err;
    }
}

static void on_left(void *arg)
{
    struct member *m = arg;
    assert_false(m->asking); /* from the loop only */
    m->left++;
    intake_free(TAKE(m->in));
}

/* Joins with these topics, one an engine. */
static void join(struct member *m, struct world *w, const char *const *topics, size_t n)
{
    char group[250];
    const struct broker_property properties[] = {
        {"bootstrap.servers", w->servers}, {"session.timeout.ms", "6000"},
        {"heartbeat.interval.ms", "1000"}, {"max.poll.interval.ms", "6000"},
        {"fetch.wait.max.ms", "20"},
    };
    (void)snprintf(group, sizeof(group), "%s-workers", topics[0]);
    struct intake_config cfg = {.properties = properties,
                                .property_count = COUNT_OF(properties),
                                .group = group,
                                .topics = topics,
                                .topic_count = n,
                                .on_assigned = on_assigned,
                                .on_revoked = on_revoked,
                                .on_messages = on_messages,
                                .on_error = on_error,
                                .arg = m};
    *m = (struct member){.w = w};
    m->in = intake_new(w->loop, &cfg, NULL);
    assert_non_null(m->in);
}

static bool holds(void *arg)
{
    return ((struct member *)arg)->held > 0;
}

static bool has_left(void *arg)
{
    return ((struct member *)arg)->left > 0;
}

static void leave(struct member *m)
{
    m->asking = true;
    intake_leave(m->in, on_left);
    m->asking = false;
    assert_true(world_until(m->w, has_left, m, BROKER_CLOSE_MS + 5000));
    assert_int_equal(m->left, 1);
}

struct taken {
    struct member *m;
    int n;
};

static bool has_taken(void *arg)
{
    struct taken *t = arg;
    return t->m->taken >= t->n;
}

/* ---- messages that only a stranger sends --------------------------------------------------- */

static rd_kafka_t *stranger_new(struct world *w)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", w->servers, NULL, 0);
    (void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    assert_non_null(rk);
    return rk;
}

static void stranger_sends(rd_kafka_t *rk, const char *topic, int32_t partition, const void *bytes,
                           size_t len, const char *trace)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    (void)rd_kafka_header_add(headers, "traceparent", -1, trace, -1);
    rd_kafka_vu_t v[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = (void *)(uintptr_t)bytes, .size = len}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    assert_null(rd_kafka_produceva(rk, v, COUNT_OF(v)));
    assert_int_equal(rd_kafka_flush(rk, 20000), 0); /* one after the other: offsets are known */
}

static void send_all(struct world *w, const char *topic, const struct slice_msg *good)
{
    uint8_t bytes[SLICE_MSG_MAX + 1] = {0};
    size_t len = slice_msg_encode(good, bytes);
    rd_kafka_t *rk = stranger_new(w);
    stranger_sends(rk, topic, 1, bytes, len, TRACE);     /* 0 */
    stranger_sends(rk, topic, 1, bytes, len - 1, TRACE); /* 1: cut */
    stranger_sends(rk, topic, 1, "", 0, TRACE);
    stranger_sends(rk, topic, 1, bytes, sizeof(bytes), TRACE);
    stranger_sends(rk, topic, 1, "\x81\xa1v\x02", 4, TRACE);
    stranger_sends(rk, topic, 1, "\x81\xa1v\x01", 4, TRACE);
    stranger_sends(rk, topic, 1, bytes, len, "00-nonsense"); /* 6 */
    rd_kafka_destroy(rk);
}

/* ---- the tests ----------------------------------------------------------------------------- */

static void check_good(const struct pool_message *got, const struct slice_msg *sent,
                       const char *trace)
{
    assert_null(got->bad);
    assert_true(uuid_equal(&got->run, &sent->run));
    assert_int_equal(got->slice, sent->slice);
    assert_string_equal(got->traceparent, trace);
}

static void check_all(const struct member *m, const struct slice_msg *sent)
{
    static const char *const reasons[] = {"unreadable", "unreadable", "too_long", "version",
                                          "fields"};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(m->got[i].offset, i);
        assert_int_equal(m->from[i].engine, 1); /* the second topic is the second engine's */
        assert_int_equal(m->from[i].partition, 1);
    }
    check_good(&m->got[0], sent, TRACE);
    for (int i = 0; i < 5; i++) {
        const struct pool_message *bad = &m->got[1 + i];
        assert_non_null(bad->bad);
        assert_string_equal(bad->bad, reasons[i]);
        assert_int_equal(bad->slice, 0); /* nothing of it is taken over */
        assert_string_equal(bad->traceparent, "");
    }
    check_good(&m->got[6], sent, "");
}

/* One membership after the other, since each joining takes seconds. */
static void bytes_become_addresses_or_reasons(void **state)
{
    struct world *w = *state;
    char first[200], second[200];
    const char *const topics[] = {first, second};
    struct slice_msg sent = {.slice = INT32_MAX};
    struct producer_log log = {0};
    struct member m;
    memset(sent.run.b, 0xab, sizeof(sent.run.b));
    struct broker_producer *p = world_producer(w, &log);
    world_topic(w, p, "intake-http", PARTITIONS);
    (void)snprintf(first, sizeof(first), "%s", world_name(w, "intake-http"));
    world_topic(w, p, "intake-noop", PARTITIONS);
    (void)snprintf(second, sizeof(second), "%s", world_name(w, "intake-noop"));
    send_all(w, second, &sent);

    join(&m, w, topics, 2);
    assert_true(world_until(w, holds, &m, JOIN_MS));
    assert_int_equal(m.held, 2 * PARTITIONS);
    assert_true(world_until(w, has_taken, &(struct taken){&m, 7}, JOIN_MS));
    check_all(&m, &sent);
    intake_store(m.in, m.from[0], 5);
    leave(&m);

    join(&m, w, topics, 2);
    assert_true(world_until(w, has_taken, &(struct taken){&m, 2}, JOIN_MS));
    assert_int_equal(m.got[0].offset, 5); /* a dead letter's offset passes, too */
    assert_int_equal(m.got[1].offset, 6);
    assert_int_equal(m.taken, 2);
    leave(&m);
    assert_false(m.lost);
    broker_producer_free(p);
}

static void more_partitions_than_a_worker_can_hold_are_said(void **state)
{
    struct world *w = *state;
    char topic[200];
    const char *const topics[] = {topic};
    struct member m;
    (void)snprintf(topic, sizeof(topic), "%s", world_name(w, "intake-many"));
    (void)rd_kafka_mock_topic_create(w->mock, topic, LIMIT_PARTITIONS + 4, 1);
    join(&m, w, topics, 1);
    assert_true(world_until(w, holds, &m, JOIN_MS));
    assert_int_equal(m.held, LIMIT_PARTITIONS);
    assert_string_equal(m.err.code, "partitions");
    assert_non_null(strstr(m.err.text, "260"));
    leave(&m);
}

static void a_property_that_breaks_the_guarantee_is_refused(void **state)
{
    struct world *w = *state;
    static const char *const topics[] = {"t"};
    const struct broker_property bad[] = {{"bootstrap.servers", w->servers},
                                          {"enable.auto.offset.store", "true"}};
    struct intake_config cfg = {.properties = bad,
                                .property_count = COUNT_OF(bad),
                                .group = "g",
                                .topics = topics,
                                .topic_count = 1};
    struct err err = ERR_INIT;
    assert_null(intake_new(w->loop, &cfg, &err)); /* and nothing is left: the sanitizer looks */
    assert_string_equal(err_class_name(err.cls), err_class_name(ERR_CONFIG));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"R-D4: bytes become addresses or reasons, and what is stored is where the next begins",
         bytes_become_addresses_or_reasons, NULL, NULL, NULL},
        {"a property that breaks the guarantee is refused",
         a_property_that_breaks_the_guarantee_is_refused, NULL, NULL, NULL},
    };
    const struct CMUnitTest many[] = {
        /* hundreds of partitions for one look: the mock's are free */
        {"R-P5: more partitions than a worker can hold are cut, and said",
         more_partitions_than_a_worker_can_hold_are_said, NULL, NULL, NULL},
    };
    return WORLD_RUN(tests) +
           cmocka_run_group_tests_name("mock, many", many, world_setup_mock, world_teardown);
}
