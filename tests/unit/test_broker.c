/* broker: configuration, producing, topics and a group's offsets, against librdkafka's mock cluster
 * and, with REVEILLE_TEST_KAFKA=host:port, against that broker (what the mock cannot do is tested
 * there only). What a member of the group does is in test_broker_consumer.c. */
#include "broker_internal.h"
#include "broker_world.h"

static const struct slice_msg MSG = {.slice = 7};

static void expect_refused(struct world *w, const char *name, const char *value, bool consumer,
                           const char *code)
{
    struct broker_property properties[] = {{"bootstrap.servers", w->servers}, {name, value}};
    const char *const topics[] = {"t"};
    struct broker_producer_config pc = {.properties = properties, .property_count = 2};
    struct broker_consumer_config cc = {.properties = properties,
                                        .property_count = 2,
                                        .group = "g",
                                        .topics = topics,
                                        .topic_count = 1};
    struct err err = ERR_INIT;

    if (consumer) {
        assert_null(broker_consumer_new(w->loop, &cc, &err));
    } else {
        assert_null(broker_producer_new(w->loop, &pc, &err));
    }
    assert_int_equal(err.cls, ERR_CONFIG);
    assert_string_equal(err.code, code);
    assert_non_null(strstr(err.text, name));
}

static void refuses_overrides(void **state)
{
    struct world *w = *state;

    expect_refused(w, "enable.idempotence", "false", false, "fixed_value");
    expect_refused(w, "acks", "1", false, "fixed_value");
    expect_refused(w, "enable.auto.offset.store", "true", true, "fixed_value");
    expect_refused(w, "enable.auto.commit", "true", true, "fixed_value");
    expect_refused(w, "partition.assignment.strategy", "cooperative-sticky", true, "fixed_value");
    expect_refused(w, "partition.assignment.strategy", "range,roundrobin", true, "fixed_value");
    expect_refused(w, "no.such.property", "1", false, "unknown_name");
    expect_refused(w, "linger.ms", "hunter2", false, "bad_value");
}

static void refuses_aliases_and_hides_values(void **state)
{
    struct world *w = *state;
    struct broker_property acks[] = {{"bootstrap.servers", w->servers},
                                     {"request.required.acks", "0"}};
    struct broker_property secret[] = {{"bootstrap.servers", w->servers}, {"linger.ms", "hunter2"}};
    struct broker_producer_config cfg = {.properties = acks, .property_count = 2};
    struct err err = ERR_INIT;

    assert_null(broker_producer_new(w->loop, &cfg, &err));
    assert_string_equal(err.code, "fixed_value");
    cfg.properties = secret;
    assert_null(broker_producer_new(w->loop, &cfg, &err));
    assert_null(strstr(err.text, "hunter2"));
    cfg.property_count = 0;
    assert_null(broker_producer_new(w->loop, &cfg, &err));
    assert_string_equal(err.code, "no_servers");
}

static void accepts_the_same_in_other_words(void **state)
{
    struct world *w = *state;
    struct broker_property properties[] = {{"bootstrap.servers", w->servers},
                                           {"acks", "all"},
                                           {"enable.idempotence", "true"},
                                           {"linger.ms", "1"}};
    struct broker_producer_config cfg = {.properties = properties, .property_count = 4};
    struct broker_producer *p = broker_producer_new(w->loop, &cfg, NULL);

    assert_non_null(p);
    broker_producer_free(p);
    broker_producer_free(NULL);
    assert_true(broker_library_version()[0] != '\0');
}

static void reports_each_delivery(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);

    world_topic(w, p, "deliver", 2);
    for (uint64_t token = 0; token < 50; token++) {
        assert_int_equal(
            broker_producer_send(p, world_name(w, "deliver"), 1, &MSG, NULL, token, NULL), 0);
    }
    assert_true(world_until(w, producer_has_all, (&(struct expected){&log, 50}), 20000));
    assert_int_equal(log.delivered, 50);
    assert_int_equal(log.failed, 0);
    for (size_t i = 0; i < 50; i++) { /* tokens come back in order, with growing offsets */
        assert_int_equal(log.tokens[i], i);
        assert_int_equal(log.offsets[i], (int64_t)i);
    }
    broker_producer_free(p);
}

static void unknown_partition_fails(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct err err = ERR_INIT;
    int rc;

    world_topic(w, p, "small", 2);
    assert_int_equal(broker_producer_send(p, world_name(w, "small"), 0, &MSG, NULL, 1, NULL), 0);
    assert_true(world_until(w, producer_has_all, (&(struct expected){&log, 1}), 20000));
    /* with a traceparent: librdkafka frees a header of its own making twice here */
    rc = broker_producer_send(p, world_name(w, "small"), 5, &MSG,
                              "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 2, &err);
    if (rc != 0) {
        assert_int_equal(err.cls, ERR_PROTOCOL);
    } else { /* librdkafka had no metadata at hand: it says so in the report */
        assert_true(world_until(w, producer_has_all, (&(struct expected){&log, 2}), 20000));
        assert_int_equal(log.failed, 1);
    }
    broker_producer_free(p);
}

static void a_topic_that_exists_is_ok(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct topic_answer answer = {0};

    world_topic(w, p, "there", 3);
    assert_int_equal(broker_ensure_topic(p, world_name(w, "there"), 3, on_topic, &answer, NULL), 0);
    assert_true(world_until(w, topic_is_answered, &answer, 15000));
    assert_int_equal(answer.calls, 1);
    assert_false(err_is_set(&answer.err));
    broker_producer_free(p);
}

static void a_smaller_topic_grows_where_the_broker_lets_it(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct topic_answer answer = {0};

    world_topic(w, p, "fewer", 2);
    assert_int_equal(broker_ensure_topic(p, world_name(w, "fewer"), 12, on_topic, &answer, NULL),
                     0);
    assert_true(world_until(w, topic_is_answered, &answer, 20000));
    if (w->mock != NULL) { /* it has no admin API */
        assert_int_equal(answer.err.cls, ERR_CONFIG);
        assert_string_equal(answer.err.code, "too_few_partitions");
        assert_non_null(strstr(answer.err.text, "2 partitions"));
        assert_non_null(strstr(answer.err.text, "set the engine's topic_partitions back"));
    } else {
        assert_false(err_is_set(&answer.err));
        assert_int_equal(broker_producer_send(p, world_name(w, "fewer"), 11, &MSG, NULL, 1, NULL),
                         0);
        assert_true(world_until(w, producer_has_all, (&(struct expected){&log, 1}), 20000));
        assert_int_equal(log.delivered, 1);
    }
    broker_producer_free(p);
}

static void a_missing_topic_is_created(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct topic_answer answer = {0};

    assert_int_equal(broker_ensure_topic(p, world_name(w, "missing"), 12, on_topic, &answer, NULL),
                     0);
    assert_true(world_until(w, topic_is_answered, &answer, 20000));
    if (w->mock != NULL) { /* it has no admin API, and makes any topic that is asked for, with 4 */
        assert_non_null(strstr(answer.err.text, "4 partitions"));
    } else {
        assert_false(err_is_set(&answer.err));
    }
    broker_producer_free(p);
}

/* Asks until there is an answer that is none: a coordinator may have to be found first. */
static void ask_committed(struct world *w, struct broker_producer *p, const char *topic,
                          struct offsets_answer *ret_answer)
{
    int64_t until_ms = clock_mono_ms() + 20000;

    do {
        *ret_answer = (struct offsets_answer){.n = 0};
        assert_int_equal(broker_committed(p, "no-such-group", world_name(w, topic), 2, on_offsets,
                                          ret_answer, NULL),
                         0);
        assert_true(world_until(w, offsets_are_answered, ret_answer, 15000));
    } while (ret_answer->err.retry && clock_mono_ms() < until_ms);
    assert_false(err_is_set(&ret_answer->err));
}

static void committed_is_minus_one_without_commits(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct offsets_answer answer;

    world_topic(w, p, "uncommitted", 2);
    ask_committed(w, p, "uncommitted", &answer);
    assert_int_equal(answer.n, 2);
    assert_int_equal(answer.offsets[0], -1);
    assert_int_equal(answer.offsets[1], -1);
    broker_producer_free(p);
}

/* What a broker that restarts answers; librdkafka then looks for the handle's own group. */
static void a_coordinator_that_moved_costs_a_question(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct offsets_answer answer;

    if (w->mock == NULL) {
        broker_producer_free(p);
        return; /* a real one cannot be told to move */
    }
    world_topic(w, p, "moved", 2);
    rd_kafka_mock_push_request_errors(w->mock, 9 /* OffsetFetch */, 2,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
    ask_committed(w, p, "moved", &answer);
    assert_int_equal(answer.n, 2);
    broker_producer_free(p);
}

/* The coordinator is known, goes away for longer than a question lives, and comes back: librdkafka
 * must not go on with a question it has given up, which ends the process. */
static void a_coordinator_away_for_long_costs_questions(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct offsets_answer answer;

    if (w->mock == NULL) {
        broker_producer_free(p);
        skip();
    }
    world_topic(w, p, "away", 2);
    ask_committed(w, p, "away", &answer);
    rd_kafka_mock_broker_set_down(w->mock, 1);
    for (int i = 0; i < 2; i++) {
        answer = (struct offsets_answer){.n = 0};
        assert_int_equal(broker_committed(p, "no-such-group", world_name(w, "away"), 2, on_offsets,
                                          &answer, NULL),
                         0);
    }
    assert_true(world_until(w, offsets_are_answered, &answer, 2 * BROKER_ADMIN_MS));
    assert_true(answer.err.retry);
    rd_kafka_mock_broker_set_up(w->mock, 1);
    ask_committed(w, p, "away", &answer);
    assert_int_equal(answer.n, 2);
    broker_producer_free(p);
}

static void an_absent_broker_costs_time_only(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct offsets_answer offsets = {0};
    struct topic_answer topic = {0};
    struct broker_property nowhere = {"bootstrap.servers", "127.0.0.1:1"};
    struct broker_producer_config cfg = {.properties = &nowhere,
                                         .property_count = 1,
                                         .on_error = count_error,
                                         .on_delivery = on_delivery,
                                         .arg = &log};
    struct broker_producer *p = broker_producer_new(w->loop, &cfg, NULL);
    int64_t before_ms;

    assert_non_null(p);
    assert_int_equal(broker_producer_send(p, "t", 0, &MSG, NULL, 1, NULL), 0);
    assert_int_equal(broker_committed(p, "g", "t", 2, on_offsets, &offsets, NULL), 0);
    assert_int_equal(broker_ensure_topic(p, "t", 2, on_topic, &topic, NULL), 0);
    assert_true(world_until(w, topic_is_answered, &topic, 2 * BROKER_ADMIN_MS));
    assert_true(world_until(w, offsets_are_answered, &offsets, 2 * BROKER_ADMIN_MS));
    assert_true(topic.err.retry);
    assert_true(offsets.err.retry);
    assert_true(log.errors > 0);
    assert_true(log.errors < 60); /* not one a connection attempt */
    assert_int_equal(broker_ensure_topic(p, "t", 2, on_topic, &topic, NULL), 0);
    before_ms = clock_mono_ms();
    broker_producer_free(p); /* with a message, and a topic's thread, under way */
    assert_true(clock_mono_ms() - before_ms < BROKER_CLOSE_MS / 2);
    assert_int_equal(log.delivered + log.failed, 0);
}

struct attempt {
    struct world *w;
    struct broker_producer *p;
    struct producer_log *log;
    size_t taken;
};

/* Sends one more when the last is answered; true when one got through again. */
static bool delivered_at_last(void *arg)
{
    struct attempt *a = arg;

    if (a->log->delivered + a->log->failed == a->taken && a->log->delivered < 2 &&
        broker_producer_send(a->p, world_name(a->w, "fatal"), 0, &MSG, NULL, a->taken, NULL) == 0) {
        a->taken++;
    }
    return a->log->delivered == 2 && a->log->delivered + a->log->failed == a->taken;
}

static void a_fatal_error_makes_a_new_handle(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    struct attempt attempt;

    if (w->mock == NULL) {
        broker_producer_free(p);
        skip();
    }
    world_topic(w, p, "fatal", 1);
    assert_int_equal(broker_producer_send(p, world_name(w, "fatal"), 0, &MSG, NULL, 0, NULL), 0);
    assert_true(world_until(w, producer_has_all, (&(struct expected){&log, 1}), 20000));
    rd_kafka_mock_push_request_errors(w->mock, 0 /* Produce */, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    attempt = (struct attempt){w, p, &log, 1};
    assert_true(world_until(w, delivered_at_last, &attempt, 20000));
    /* what was taken is reported: all failed but the first and the last */
    assert_int_equal(log.delivered, 2);
    assert_true(log.failed > 0);
    broker_producer_free(p);
}

static void tells_the_session_in_force(void **state)
{
    const struct broker_property other[] = {{"bootstrap.servers", "a:1"}, {"acks", "all"}};
    const struct broker_property said[] = {{"acks", "all"}, {"session.timeout.ms", "6000"}};

    (void)state;
    assert_int_equal(broker_session_ms(NULL, 0), BROKER_SESSION_MS);
    assert_int_equal(broker_session_ms(other, 2), BROKER_SESSION_MS);
    assert_int_equal(broker_session_ms(said, 2), 6000);
}

static void count_report(void *arg, const struct err *err)
{
    (void)err;
    ++*(int *)arg;
}

/* Without rights a new producer handle fails each second, in the same words. */
static void the_same_error_is_passed_on_once(void **state)
{
    int count = 0;
    struct broker_reporter reporter = {.fn = count_report, .arg = &count};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        broker_report(&reporter, RD_KAFKA_RESP_ERR__TRANSPORT, "connection refused");
        broker_report(&reporter, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "1/1 brokers are down");
    }
    assert_int_equal(count, 2);
    assert_true(BROKER_AGAIN_MS > BROKER_TICK_MS); /* so often may a handle be made anew */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"what the guarantee rests on cannot be configured away", refuses_overrides, NULL, NULL,
         NULL},
        {"an alias does not get around that, and no error text shows a value",
         refuses_aliases_and_hides_values, NULL, NULL, NULL},
        {"the session timeout in force is what the environment says, or our default",
         tells_the_session_in_force, NULL, NULL, NULL},
        {"the required values may be stated, and others changed", accepts_the_same_in_other_words,
         NULL, NULL, NULL},
        {"each message taken is reported once, in order, with its offset", reports_each_delivery,
         NULL, NULL, NULL},
        {"a partition that does not exist is refused or reported as failed",
         unknown_partition_fails, NULL, NULL, NULL},
        {"a topic that exists is ok", a_topic_that_exists_is_ok, NULL, NULL, NULL},
        {"a smaller topic is given more partitions; a broker that adds none is an error that says "
         "so",
         a_smaller_topic_grows_where_the_broker_lets_it, NULL, NULL, NULL},
        {"a missing topic is created with the partitions asked for", a_missing_topic_is_created,
         NULL, NULL, NULL},
        {"a group without commits has -1 everywhere", committed_is_minus_one_without_commits, NULL,
         NULL, NULL},
        {"a coordinator that moved costs a question, not the program",
         a_coordinator_that_moved_costs_a_question, NULL, NULL, NULL},
        {"A15: a coordinator that is away for longer than a question lives costs questions only",
         a_coordinator_away_for_long_costs_questions, NULL, NULL, NULL},
        {"A15: without a broker every question is answered in time, and free waits for nothing",
         an_absent_broker_costs_time_only, NULL, NULL, NULL},
        {"an error that repeats itself, or takes turns with another, is passed on once",
         the_same_error_is_passed_on_once, NULL, NULL, NULL},
        {"A9: after a fatal error the messages are reported and a new handle sends",
         a_fatal_error_makes_a_new_handle, NULL, NULL, NULL},
    };

    return WORLD_RUN(tests);
}
