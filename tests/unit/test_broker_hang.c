/* broker_topic and broker_offsets: threads of theirs that do not come back. librdkafka's waits,
 * which go by the wall clock, are replaced by ones without an end; so nothing is asked here.
 * Questions and their answers are in test_broker.c. */
#include "attrs.h"
#include "broker_world.h"
#include "limits.h"

static void wait_for_ever(void)
{
    for (;;) {
        (void)pause();
    }
}

rd_kafka_resp_err_t rd_kafka_metadata(rd_kafka_t *rk UNUSED, int all_topics UNUSED,
                                      rd_kafka_topic_t *only UNUSED,
                                      const struct rd_kafka_metadata **ret UNUSED,
                                      int timeout_ms UNUSED)
{
    wait_for_ever();
    return RD_KAFKA_RESP_ERR__TIMED_OUT;
}

rd_kafka_resp_err_t rd_kafka_committed(rd_kafka_t *rk UNUSED,
                                       rd_kafka_topic_partition_list_t *parts UNUSED,
                                       int timeout_ms UNUSED)
{
    wait_for_ever();
    return RD_KAFKA_RESP_ERR__TIMED_OUT;
}

static void never_topic(void *arg UNUSED, const char *topic UNUSED, int32_t partitions UNUSED,
                        const struct err *err UNUSED)
{
    fail();
}

static void never_offsets(void *arg UNUSED, const char *topic UNUSED, const int64_t *offsets UNUSED,
                          size_t n UNUSED, const struct err *err UNUSED)
{
    fail();
}

static void free_leaves_hanging_threads_behind(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    int64_t before_ms;

    assert_int_equal(broker_ensure_topic(p, "one", 1, never_topic, NULL, NULL), 0);
    assert_int_equal(broker_ensure_topic(p, "two", 1, never_topic, NULL, NULL), 0);
    assert_int_equal(broker_committed(p, "g", "one", 1, never_offsets, NULL, NULL), 0);
    before_ms = clock_mono_ms();
    broker_producer_free(p);
    assert_true(clock_mono_ms() - before_ms >= BROKER_CLOSE_MS - 1);
    assert_true(clock_mono_ms() - before_ms < 2 * BROKER_CLOSE_MS); /* not once a thread */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"A15: a producer's free waits for threads that hang in librdkafka, once for all of them",
         free_leaves_hanging_threads_behind, NULL, NULL, NULL},
    };

    return cmocka_run_group_tests_name("mock", tests, world_setup_mock, world_teardown);
}
