/* Tests publisher.c against librdkafka's mock cluster, and against a real broker if there is one:
 * every slice that was taken is reported once, what is sent is the slice's address, topics and
 * offsets reach the core by their engine. */
#include "broker_world.h"

#include "core_witness.h"
#include "notes_world.h"
#include "publisher.h"

#define REF ((struct lead_ref){3, 9})
#define PARTITIONS 4 /* as many as the mock gives a topic that it makes itself */
#define WAIT_MS 30000

struct bench {
    struct world *w;
    struct notes_world notes;
    struct run_core core;
    struct core_wake *wake;
    struct publisher *p;
    char prefix[200];
    int readies;
    bool ready;
    struct uuid run;
    bool (*is)(struct bench *b); /* world_until's */
    int wanted;
};

static void on_ready(void *arg, bool ready)
{
    struct bench *b = arg;
    assert_true(ready != b->ready || b->readies == 0);
    b->readies++;
    b->ready = ready;
}

static void bench_open(struct bench *b, struct world *w, const char *name, const char *servers,
                       const char *queue)
{
    const struct broker_property properties[] = {{"bootstrap.servers", servers},
                                                 {"queue.buffering.max.messages", queue}};
    *b = (struct bench){.w = w};
    (void)snprintf(b->prefix, sizeof(b->prefix), "%s", world_name(w, name));
    memset(b->run.b, 0xab, sizeof(b->run.b));
    b->core.loop = w->loop;
    b->core.next_wake = INT64_MAX;
    notes_open(&b->notes);
    b->wake = core_wake_new(w->loop, &b->core, NULL);
    struct publisher_config cfg = {.loop = w->loop,
                                   .log = b->notes.log,
                                   .wake = b->wake,
                                   .properties = properties,
                                   .property_count = COUNT_OF(properties),
                                   .topic_prefix = b->prefix,
                                   .group = "nobody",
                                   .on_ready = on_ready,
                                   .arg = b};
    b->p = publisher_new(&cfg, NULL);
    assert_non_null(b->p);
    assert_false(publisher_is_ready(b->p)); /* nothing was asked for yet */
}

static void bench_close(struct bench *b)
{
    publisher_free(b->p);
    core_wake_free(b->wake);
    notes_close(&b->notes);
}

static bool is_so(void *arg)
{
    struct bench *b = arg;
    return b->is(b);
}

static void wait_for(struct bench *b, bool (*is)(struct bench *b), int wanted)
{
    b->is = is;
    b->wanted = wanted;
    int64_t deadline = clock_mono_ms() + WAIT_MS;
    while (!is(b) && clock_mono_ms() < deadline) { /* the witness stops the loop */
        (void)world_until(b->w, is_so, b, 100);
    }
    assert_true(is(b));
}

static bool has_deliveries(struct bench *b)
{
    return b->core.deliveries >= b->wanted;
}

static bool has_topics(struct bench *b)
{
    return b->core.topics >= b->wanted;
}

static bool has_commits(struct bench *b)
{
    return b->core.commits >= b->wanted;
}

static bool publish(struct bench *b, const char *engine, int32_t slice, int32_t partition)
{
    b->core.asking = true;
    bool taken = publisher_publish(b->p, REF, &b->run, engine, slice, partition);
    b->core.asking = false;
    return taken;
}

static void start_ensure(struct bench *b, const char *engine, int partitions)
{
    b->core.asking = true;
    publisher_ensure_topic(b->p, engine, partitions);
    b->core.asking = false;
}

static void ensure(struct bench *b, const char *engine, int partitions)
{
    int before = b->core.topics;
    start_ensure(b, engine, partitions);
    wait_for(b, has_topics, before + 1);
    assert_int_equal(b->core.topics, before + 1);
    assert_string_equal(b->core.engine, engine);
}

/* ---- publishing ---------------------------------------------------------------------------- */

/* The first message of a partition, as a stranger sees it. */
static void check_message(struct bench *b, const char *topic, int32_t partition, int32_t slice)
{
    char trace[64];
    const void *header;
    size_t header_len, len;
    uint8_t bytes[SLICE_MSG_MAX];
    rd_kafka_headers_t *headers;
    struct slice_msg sent = {.run = b->run, .slice = slice};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", b->w->servers, NULL, 0);
    (void)rd_kafka_conf_set(conf, "group.id", "stranger", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    rd_kafka_topic_partition_list_t *parts = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(parts, topic, partition)->offset = 0;
    assert_int_equal(rd_kafka_assign(rk, parts), 0);
    rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, WAIT_MS);
    assert_true(m != NULL && m->err == 0);
    len = slice_msg_encode(&sent, bytes);
    assert_int_equal(m->len, len);
    assert_memory_equal(m->payload, bytes, len);
    assert_int_equal(rd_kafka_message_headers(m, &headers), 0);
    assert_int_equal(rd_kafka_header_get_last(headers, "traceparent", &header, &header_len), 0);
    /* the run is the trace; a span's id of zero would be none */
    snprintf(trace, sizeof(trace), "00-abababababababababababababababab-%016x-01", slice + 1);
    assert_int_equal(header_len, strlen(trace));
    assert_memory_equal(header, trace, header_len);
    rd_kafka_message_destroy(m);
    rd_kafka_topic_partition_list_destroy(parts);
    rd_kafka_destroy(rk);
}

static void each_slice_is_reported_once_with_its_offset(void **state)
{
    enum { MANY = 3 * LIMIT_PUBLISH_BATCH }; /* the table grows twice */
    struct bench b;
    char topic[210];
    bench_open(&b, *state, "publish", ((struct world *)*state)->servers, "100000");
    ensure(&b, "http", PARTITIONS);
    for (int i = 0; i < MANY; i++) {
        assert_true(publish(&b, "http", i, i % PARTITIONS));
    }
    wait_for(&b, has_deliveries, MANY);
    assert_int_equal(b.core.deliveries, MANY);
    assert_int_equal(b.core.delivered_ok, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(b.core.seen[i], 1);
    }
    assert_int_equal(b.core.ref.slot, 3);
    assert_int_equal(b.core.ref.generation, 9);
    assert_true(publish(&b, "http", MANY, 1)); /* in a place that was used before */
    wait_for(&b, has_deliveries, MANY + 1);
    assert_int_equal(b.core.slice_no, MANY);
    assert_int_equal(b.core.partition, 1);
    assert_int_equal(b.core.offset, MANY / PARTITIONS);
    snprintf(topic, sizeof(topic), "%s.http", b.prefix);
    check_message(&b, topic, 0, 0);
    bench_close(&b);
}

/* As many as may ever be on their way at once, and more: what is reported leaves its place. */
static void a_place_is_used_again_when_its_slice_is_reported(void **state)
{
    enum {
        ROUND = 1000,
        ROUNDS = LIMIT_RUNS_HELD * (LIMIT_AHEAD_MAX + LIMIT_PUBLISH_BATCH) / ROUND
    };
    struct bench b;
    bench_open(&b, *state, "again", ((struct world *)*state)->servers, "100000");
    ensure(&b, "http", PARTITIONS);
    for (int round = 0; round <= ROUNDS; round++) {
        for (int i = 0; i < ROUND; i++) {
            assert_true(publish(&b, "http", i, i % PARTITIONS));
        }
        wait_for(&b, has_deliveries, (round + 1) * ROUND);
    }
    assert_int_equal(b.core.delivered_ok, (ROUNDS + 1) * ROUND);
    bench_close(&b);
}

static void a_partition_that_is_not_there_is_a_failed_report(void **state)
{
    struct bench b;
    bench_open(&b, *state, "gone", ((struct world *)*state)->servers, "100000");
    ensure(&b, "http", PARTITIONS);
    assert_true(publish(&b, "http", 1, 0)); /* the library knows the topic from now on */
    wait_for(&b, has_deliveries, 1);
    assert_true(publish(&b, "http", 7, PARTITIONS + 20));
    wait_for(&b, has_deliveries, 2);
    assert_true(b.core.failed);
    assert_int_equal(b.core.slice_no, 7);
    assert_int_equal(b.core.partition, PARTITIONS + 20);
    assert_true(publish(&b, "http", 8, 0));
    wait_for(&b, has_deliveries, 3);
    assert_false(b.core.failed);
    assert_int_equal(b.core.slice_no, 8);
    assert_int_equal(b.core.seen[7], 1);
    bench_close(&b);
}

/* A broker that is away: what finds no room is not taken, and offsets are not known. */
static void a_full_queue_takes_no_more_and_an_absent_broker_knows_nothing(void **state)
{
    struct bench b;
    bench_open(&b, *state, "away", "127.0.0.1:1", "10");
    for (int i = 0; i < 10; i++) {
        assert_true(publish(&b, "http", i, 0));
    }
    for (int i = 0; i < 1000; i++) {
        assert_false(publish(&b, "http", 10, 0));
    }
    publisher_committed(b.p, "http", 2);
    wait_for(&b, has_commits, 1);
    assert_true(b.core.none);
    assert_string_equal(b.core.engine, "http");
    assert_int_equal(b.core.deliveries, 0);
    assert_true(notes_lines(&b.notes, "broker_error") > 0);
    bench_close(&b); /* with all of them under way */
}

/* ---- topics and offsets -------------------------------------------------------------------- */

/* The mock adds no partitions: what is not as it should be is said once, and until it is. */
static void check_cannot_grow(struct bench *b)
{
    assert_false(b->core.topic_ok || b->ready || publisher_is_ready(b->p));
    ensure(b, "http", PARTITIONS + 1);
    assert_int_equal(b->readies, 2);
    assert_int_equal(notes_lines(&b->notes, "topic_failed"), 1);
    ensure(b, "http", PARTITIONS);
    assert_true(b->core.topic_ok && b->ready);
    assert_int_equal(b->readies, 3);
    assert_int_equal(notes_lines(&b->notes, "topic_ready"), 3);
}

static void topics_are_said_once_and_all_make_it_ready(void **state)
{
    struct bench b;
    bench_open(&b, *state, "topics", ((struct world *)*state)->servers, "100000");
    start_ensure(&b, "http", PARTITIONS);
    start_ensure(&b, "noop", PARTITIONS);
    wait_for(&b, has_topics, 1);
    assert_int_equal(b.readies, b.core.topics == 2);
    wait_for(&b, has_topics, 2);
    assert_true(b.ready && publisher_is_ready(b.p));
    ensure(&b, "http", PARTITIONS);
    assert_int_equal(b.readies, 1);
    assert_int_equal(notes_lines(&b.notes, "topic_ready"), 2);

    ensure(&b, "http", PARTITIONS + 1); /* somebody set more than there are */
    if (b.w->mock != NULL) {
        check_cannot_grow(&b);
    } else { /* which a real broker adds */
        assert_true(b.core.topic_ok && b.ready);
        assert_int_equal(b.readies, 1);
        assert_int_equal(notes_lines(&b.notes, "topic_ready"), 3);
        notes_expect_int(&b.notes, "partitions", PARTITIONS + 1);
    }
    bench_close(&b);
}

static void engines_beyond_the_list_are_left_alone(void **state)
{
    struct world *w = *state;
    struct bench b;
    char engine[64], long_name[42];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    bench_open(&b, w, "list", w->servers, "100000");
    start_ensure(&b, long_name, PARTITIONS);
    assert_false(publish(&b, long_name, 0, 0));
    for (int i = 0; i < LIMIT_TOPICS + 2; i++) {
        snprintf(engine, sizeof(engine), "e%d", i);
        start_ensure(&b, engine, PARTITIONS);
    }
    wait_for(&b, has_topics, LIMIT_TOPICS);
    assert_true(b.ready);
    assert_int_equal(b.core.topics, LIMIT_TOPICS);
    assert_false(publish(&b, engine, 0, 0));
    publisher_committed(b.p, engine, 1);
    assert_true(publish(&b, "e0", 0, 0));
    wait_for(&b, has_deliveries, 1);
    assert_int_equal(b.core.commits, 0);
    bench_close(&b);
}

static void a_topic_too_long_to_name_is_left_alone(void **state)
{
    struct world *w = *state;
    struct bench b;
    char prefix[BROKER_TOPIC_SIZE];
    struct publisher_config cfg;
    bench_open(&b, w, "long", w->servers, "100000");
    publisher_free(TAKE(b.p));
    memset(prefix, 'p', sizeof(prefix));
    prefix[BROKER_TOPIC_SIZE - 1 - strlen(".http")] = '\0'; /* the longest that fits */
    const struct broker_property servers = {"bootstrap.servers", "127.0.0.1:1"};
    cfg = (struct publisher_config){.loop = w->loop,
                                    .log = b.notes.log,
                                    .wake = b.wake,
                                    .properties = &servers,
                                    .property_count = 1,
                                    .topic_prefix = prefix,
                                    .group = "nobody",
                                    .on_ready = on_ready,
                                    .arg = &b};
    b.p = publisher_new(&cfg, NULL);
    assert_non_null(b.p);
    assert_true(publish(&b, "http", 0, 0));
    assert_false(publish(&b, "https", 0, 0));
    bench_close(&b);
}

static void offsets_are_told_by_engine(void **state)
{
    struct bench b;
    bench_open(&b, *state, "offsets", ((struct world *)*state)->servers, "100000");
    ensure(&b, "noop", PARTITIONS);
    publisher_committed(b.p, "noop", PARTITIONS);
    wait_for(&b, has_commits, 1);
    assert_string_equal(b.core.engine, "noop");
    assert_false(b.core.none);
    assert_int_equal(b.core.n, PARTITIONS);
    assert_int_equal(b.core.offsets[PARTITIONS - 1], -1);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"R-P5: each slice is reported once, with its offset; what is sent is its address",
         each_slice_is_reported_once_with_its_offset, NULL, NULL, NULL},
        {"R-P5: a place is used again when its slice is reported",
         a_place_is_used_again_when_its_slice_is_reported, NULL, NULL, NULL},
        {"R-P5: a partition that is not there is a failed report, once",
         a_partition_that_is_not_there_is_a_failed_report, NULL, NULL, NULL},
        {"R-P5: a full queue takes no more, and of an absent broker nothing is known",
         a_full_queue_takes_no_more_and_an_absent_broker_knows_nothing, NULL, NULL, NULL},
        {"R-T14: topics are said once, and all of them together make it ready",
         topics_are_said_once_and_all_make_it_ready, NULL, NULL, NULL},
        {"a topic too long to name is left alone", a_topic_too_long_to_name_is_left_alone, NULL,
         NULL, NULL},
        {"offsets are told by their engine", offsets_are_told_by_engine, NULL, NULL, NULL},
    };
    const struct CMUnitTest many[] = {
        /* hundreds of partitions for one look: the mock's are free */
        {"engines beyond the list are left alone", engines_beyond_the_list_are_left_alone, NULL,
         NULL, NULL},
    };
    return WORLD_RUN(tests) +
           cmocka_run_group_tests_name("mock, many", many, world_setup_mock, world_teardown);
}
