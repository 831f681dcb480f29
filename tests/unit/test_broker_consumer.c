/* broker: a member of the workers' group, against librdkafka's mock cluster and, with
 * REVEILLE_TEST_KAFKA=host:port, against that broker. Joining takes 3 s on the mock. */
#include "broker_world.h"

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define JOIN_MS 30000

/* One member and what it was told. It takes as many messages as `room` allows. */
struct member {
    struct world *w;
    struct broker_consumer *c;
    int assigned, revoked, closed, errors;
    bool lost;
    bool keeps; /* does not answer a revocation by itself */
    struct broker_partition parts[16];
    size_t held, room, taken;
    struct broker_message messages[256];
    struct broker_partition from[256];
};

static void on_assign(void *arg, const struct broker_partition *parts, size_t n)
{
    struct member *m = arg;

    m->assigned++;
    m->held = n;
    memcpy(m->parts, parts, n * sizeof(*parts));
}

static void on_revoke(void *arg, bool lost)
{
    struct member *m = arg;

    m->revoked++;
    m->lost = lost;
    if (!m->keeps) {
        m->held = 0;
        broker_consumer_unassign(m->c);
    }
}

static void on_messages(void *arg)
{
    struct member *m = arg;

    for (size_t i = 0; i < m->held; i++) {
        while (m->taken < m->room &&
               broker_consumer_take(m->c, m->parts[i], &m->messages[m->taken]) == 1) {
            m->from[m->taken++] = m->parts[i];
        }
    }
}

static void on_error(void *arg, const struct err *err)
{
    (void)err;
    ((struct member *)arg)->errors++;
}

static void on_closed(void *arg)
{
    struct member *m = arg;

    m->closed++;
    broker_consumer_free(TAKE(m->c)); /* allowed here */
}

static void join(struct member *m, struct world *w, const char *topic)
{
    static const struct broker_property defaults[] = {
        {"session.timeout.ms", "6000"},
        {"heartbeat.interval.ms", "1000"},
        {"max.poll.interval.ms", "6000"},
        {"fetch.wait.max.ms", "20"},
    };
    struct broker_property properties[COUNT_OF(defaults) + 1];
    char name[200], group[250];
    const char *const topics[] = {name};
    struct broker_consumer_config cfg = {.properties = properties,
                                         .property_count = COUNT_OF(properties),
                                         .group = group,
                                         .topics = topics,
                                         .topic_count = 1,
                                         .on_error = on_error,
                                         .on_assign = on_assign,
                                         .on_revoke = on_revoke,
                                         .on_messages = on_messages,
                                         .arg = m};

    memcpy(properties, defaults, sizeof(defaults));
    properties[COUNT_OF(defaults)] = (struct broker_property){"bootstrap.servers", w->servers};
    (void)snprintf(name, sizeof(name), "%s", world_name(w, topic));
    (void)snprintf(group, sizeof(group), "%s-workers", name);
    m->w = w;
    m->c = broker_consumer_new(w->loop, &cfg, NULL);
    assert_non_null(m->c);
}

static bool is_assigned(void *arg)
{
    return ((struct member *)arg)->held > 0;
}

static bool is_revoked(void *arg)
{
    return ((struct member *)arg)->revoked > 0;
}

static bool is_full(void *arg)
{
    struct member *m = arg;

    on_messages(m); /* the room may just have grown */
    return m->taken == m->room;
}

static bool is_closed(void *arg)
{
    return ((struct member *)arg)->closed > 0;
}

static void release_all(struct member *m)
{
    for (size_t i = 0; i < m->taken; i++) {
        broker_message_release(&m->messages[i]);
    }
    m->taken = 0;
}

static void leave(struct member *m)
{
    release_all(m);
    broker_consumer_close(m->c, on_closed);
    assert_true(world_until(m->w, is_closed, m, BROKER_CLOSE_MS + 5000));
    assert_int_equal(m->closed, 1);
}

/* Sends slices 0 … n-1 to partition slice % partitions, and waits until all are there. */
static void send_slices(struct world *w, struct broker_producer *p, struct producer_log *log,
                        const char *topic, int32_t n, int32_t partitions, const char *trace)
{
    size_t before = log->delivered;

    for (int32_t i = 0; i < n; i++) {
        struct slice_msg msg = {.slice = i};
        assert_int_equal(broker_producer_send(p, world_name(w, topic), i % partitions, &msg, trace,
                                              (uint64_t)i, NULL),
                         0);
    }
    assert_true(
        world_until(w, producer_has_all, (&(struct expected){log, before + (size_t)n}), 20000));
    assert_int_equal(log->failed, 0);
}

static int32_t slice_of(const struct broker_message *m)
{
    struct slice_msg msg = {.slice = -1};

    assert_int_equal(slice_msg_decode(m->bytes, m->len, &msg, NULL), 0);
    return msg.slice;
}

static void takes_in_order_with_traceparent(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct member m = {.room = 42};
    int64_t next[2] = {0, 0};

    world_topic(w, p, "order", 2);
    send_slices(w, p, &log, "order", 40, 2, TRACE);
    send_slices(w, p, &log, "order", 2, 2, "no trace parent");
    join(&m, w, "order");
    assert_true(world_until(w, is_full, &m, JOIN_MS));
    assert_int_equal(m.held, 2);
    for (size_t i = 0; i < m.taken; i++) {
        int32_t partition = m.from[i].partition;
        int64_t offset = next[partition]++;
        assert_int_equal(m.from[i].topic, 0);
        assert_int_equal(m.messages[i].offset, offset);
        assert_int_equal(slice_of(&m.messages[i]),
                         offset == 20 ? partition : offset * 2 + partition);
        assert_string_equal(m.messages[i].traceparent, offset == 20 ? "" : TRACE);
    }
    leave(&m);
    broker_producer_free(p);
}

static bool has_committed(void *arg)
{
    return ((struct offsets_answer *)arg)->calls > 0;
}

static int64_t committed(struct world *w, struct broker_producer *p, const char *topic)
{
    struct offsets_answer answer = {0};
    char name[200], group[250];

    (void)snprintf(name, sizeof(name), "%s", world_name(w, topic));
    (void)snprintf(group, sizeof(group), "%s-workers", name);
    assert_int_equal(broker_committed(p, group, name, 1, on_offsets, &answer, NULL), 0);
    assert_true(world_until(w, has_committed, &answer, 15000));
    assert_false(err_is_set(&answer.err));
    return answer.offsets[0];
}

static void what_is_stored_is_not_delivered_again(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct member first = {.room = 10}, second = {.room = 6};
    int64_t deadline_ms;

    world_topic(w, p, "stored", 1);
    send_slices(w, p, &log, "stored", 10, 1, NULL);
    join(&first, w, "stored");
    assert_true(world_until(w, is_full, &first, JOIN_MS));
    assert_int_equal(committed(w, p, "stored"), -1); /* taking commits nothing */
    broker_consumer_store(first.c, first.from[0], 3);
    deadline_ms = clock_mono_ms() + 10000;
    while (committed(w, p, "stored") != 3) { /* by the timer, while it goes on */
        assert_true(clock_mono_ms() < deadline_ms);
    }
    broker_consumer_store(first.c, first.from[0], 4);
    broker_consumer_store(first.c, (struct broker_partition){0, 99}, 5); /* not ours: ignored */
    leave(&first);                                                       /* by the close */
    assert_int_equal(committed(w, p, "stored"), 4);
    join(&second, w, "stored");
    assert_true(world_until(w, is_full, &second, JOIN_MS));
    assert_int_equal(second.messages[0].offset, 4);
    assert_int_equal(slice_of(&second.messages[5]), 9);
    leave(&second);
    broker_producer_free(p);
}

static bool clock_says(void *arg)
{
    return clock_mono_ms() >= *(int64_t *)arg;
}

static void one_who_takes_nothing_stays_a_member(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct member m = {.room = 0};
    int64_t until_ms;

    if (getenv("REVEILLE_QUICK") != NULL) {
        broker_producer_free(p);
        skip();
    }
    world_topic(w, p, "full", 1);
    send_slices(w, p, &log, "full", 200, 1, NULL);
    join(&m, w, "full");
    assert_true(world_until(w, is_assigned, &m, JOIN_MS));
    until_ms = clock_mono_ms() + 8000; /* longer than max.poll.interval.ms and the session */
    assert_true(world_until(w, clock_says, &until_ms, 10000));
    assert_int_equal(m.revoked, 0);
    assert_int_equal(m.taken, 0);
    m.room = 200;
    assert_true(world_until(w, is_full, &m, 10000));
    assert_int_equal(m.messages[199].offset, 199);
    leave(&m);
    broker_producer_free(p);
}

static void a_topic_may_appear_later(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct member m = {.room = 3};

    join(&m, w, "later");
    assert_false(world_until(w, is_assigned, &m, 1500));
    world_topic(w, p, "later", 2);
    send_slices(w, p, &log, "later", 3, 2, NULL);
    assert_true(world_until(w, is_full, &m, JOIN_MS));
    leave(&m);
    broker_producer_free(p);
}

static bool both_have_one(void *arg)
{
    struct member *m = arg;

    return m[0].held == 1 && m[1].held == 1;
}

static void a_revocation_waits_for_its_answer(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct member m[2] = {{.room = 4, .keeps = true}, {.room = 0}};

    world_topic(w, p, "revoked", 2);
    send_slices(w, p, &log, "revoked", 4, 2, NULL);
    join(&m[0], w, "revoked");
    assert_true(world_until(w, is_full, &m[0], JOIN_MS));
    join(&m[1], w, "revoked");
    assert_true(world_until(w, is_revoked, &m[0], JOIN_MS));
    assert_false(m[0].lost);
    assert_int_equal(m[1].held, 0); /* not before the first lets go */
    for (size_t i = 0; i < 4; i++) {
        if (m[0].from[i].partition == 0 && m[0].messages[i].offset == 1) {
            broker_consumer_store(m[0].c, m[0].from[i], 2);
        }
    }
    m[0].keeps = false;
    m[0].held = 0;
    m[0].room = 0;
    broker_consumer_unassign(m[0].c);
    assert_int_equal(broker_consumer_take(m[0].c, m[0].from[0], &(struct broker_message){0}), 0);
    assert_true(world_until(w, both_have_one, m, JOIN_MS));
    if (w->mock == NULL) { /* the mock refuses commits while it rebalances, Kafka takes them */
        assert_int_equal(committed(w, p, "revoked"), 2); /* partition 0, by the unassign */
    }
    for (size_t i = 0; i < 4; i++) { /* what was in hand is still readable */
        assert_true(slice_of(&m[0].messages[i]) >= 0);
    }
    m[0].taken = 4;
    leave(&m[0]);
    leave(&m[1]);
    broker_producer_free(p);
}

static void close_has_a_watchdog(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct member m = {.room = 1};
    int64_t before_ms;

    if (w->mock == NULL) {
        broker_producer_free(p);
        skip();
    }
    world_topic(w, p, "hang", 1);
    send_slices(w, p, &log, "hang", 1, 1, NULL);
    join(&m, w, "hang");
    assert_true(world_until(w, is_full, &m, JOIN_MS));
    broker_consumer_store(m.c, m.from[0], 1);
    rd_kafka_mock_broker_set_rtt(w->mock, -1, 60000); /* takes requests and is silent */
    before_ms = clock_mono_ms();
    leave(&m);
    assert_true(clock_mono_ms() - before_ms < 2 * BROKER_CLOSE_MS);
    rd_kafka_mock_broker_set_rtt(w->mock, -1, 0);
    broker_producer_free(p);
}

static void closes_without_ever_having_joined(void **state)
{
    struct world *w = *state;
    struct member m = {.room = 0}, never = {.room = 0};

    join(&m, w, "nowhere");
    leave(&m);
    join(&never, w, "nowhere");
    broker_consumer_free(never.c); /* without a close: it never got a partition */
    broker_consumer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"messages come in order, with their traceparent if it is one",
         takes_in_order_with_traceparent, NULL, NULL, NULL},
        {"I5: what is stored is committed and not delivered again, what is only taken is",
         what_is_stored_is_not_delivered_again, NULL, NULL, NULL},
        {"A3: a member that takes nothing for longer than the poll interval stays one",
         one_who_takes_nothing_stays_a_member, NULL, NULL, NULL},
        {"a topic that appears after the subscription is found", a_topic_may_appear_later, NULL,
         NULL, NULL},
        {"A1: a revocation waits for unassign, which commits; messages in hand stay readable",
         a_revocation_waits_for_its_answer, NULL, NULL, NULL},
        {"a member closes that has never joined", closes_without_ever_having_joined, NULL, NULL,
         NULL},
        {"A15: a close that hangs ends after BROKER_CLOSE_MS", close_has_a_watchdog, NULL, NULL,
         NULL},
    };

    return WORLD_RUN(tests);
}
