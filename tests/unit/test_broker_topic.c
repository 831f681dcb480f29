/* broker_topic: a thread of it that does not come back. librdkafka's wait for metadata, which goes
 * by the wall clock, is replaced by one without an end; so nothing is asked here. Questions and
 * their answers are in test_broker.c. */
#include "attrs.h"
#include "broker_world.h"
#include "limits.h"

rd_kafka_resp_err_t rd_kafka_metadata(rd_kafka_t *rk UNUSED, int all_topics UNUSED,
                                      rd_kafka_topic_t *only UNUSED,
                                      const struct rd_kafka_metadata **ret UNUSED,
                                      int timeout_ms UNUSED)
{
    for (;;) {
        (void)pause();
    }
}

static void never(void *arg UNUSED, const char *topic UNUSED, int32_t partitions UNUSED,
                  const struct err *err UNUSED)
{
    fail();
}

static void free_leaves_a_hanging_thread_behind(void **state)
{
    struct world *w = *state;
    struct producer_log log = {0};
    struct broker_producer *p = world_producer(w, &log);
    int64_t before_ms;

    assert_int_equal(broker_ensure_topic(p, "one", 1, never, NULL, NULL), 0);
    assert_int_equal(broker_ensure_topic(p, "two", 1, never, NULL, NULL), 0);
    before_ms = clock_mono_ms();
    broker_producer_free(p);
    assert_true(clock_mono_ms() - before_ms >= BROKER_CLOSE_MS);
    assert_true(clock_mono_ms() - before_ms < 2 * BROKER_CLOSE_MS); /* not once a thread */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"A15: a producer's free waits BROKER_CLOSE_MS for topics' threads that hang, once for all",
         free_leaves_a_hanging_thread_behind, NULL, NULL, NULL},
    };

    return cmocka_run_group_tests_name("mock", tests, world_setup_mock, world_teardown);
}
