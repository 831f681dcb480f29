/* Memory runs out while bytes from outside are read: messages, secrets, the engine's
 * answers, callers' bodies. Each is read rightly, or not at all: never wrongly, never half. What
 * jansson reads is read in a child, because without memory for it a process leaves (lib_alloc.h).
 */
#include "unit.h"

#include "failing_alloc.h"

#include "api_request.h"
#include "engine_http_answer.h"
#include "lib_alloc.h"
#include "secret.h"
#include "slice_msg.h"

#define MOST 500 /* allocations of one path; each makes less than 200 */
#define MENTOR "00000000-0000-4000-8000-000000000001"
#define LONG_TEXT "a payload that is long enough to need room more than once, and then once more"

static void read_message(void *arg, long n, bool and_after)
{
    const struct slice_msg *m = arg;
    struct slice_msg read;
    struct err err = ERR_INIT;
    uint8_t bytes[SLICE_MSG_MAX];
    size_t len = slice_msg_encode(m, bytes);
    alloc_fail_at(n, and_after);
    int result = slice_msg_decode(bytes, len, &read, &err);
    bool lacked = alloc_heal() > 0;
    if (result == 0)
        assert_true(read.slice == m->slice && uuid_equal(&read.run, &m->run));
    else
        assert_true(lacked && err_is_set(&err));
}

static void a_message_is_read_or_not(void **state)
{
    (void)state;
    struct slice_msg m = {.slice = 70000};
    assert_true(uuid_parse(MENTOR, &m.run));
    (void)alloc_torture(read_message, &m, MOST);
}

static void compare_secrets(void *arg, long n, bool and_after)
{
    const struct secret *s = arg;
    assert_true(secret_matches(s, "correct horse", 13)); /* what the stack still holds is equal */
    alloc_fail_at(n, and_after);
    bool wrong = secret_matches(s, "battery staple", 14);
    (void)alloc_heal();
    assert_false(wrong);
    assert_true(secret_matches(s, "correct horse", 13));
}

static void a_wrong_secret_is_never_taken(void **state)
{
    (void)state;
    struct secret s = SECRET_INIT;
    assert_int_equal(secret_from_text(&s, "correct horse", NULL), 0);
    assert_true(alloc_torture(compare_secrets, &s, MOST) > 2);
    secret_release(&s);
}

/* ---- what jansson reads -------------------------------------------------------------------- */

static const char answer_text[] =
    "{\"peer_mentor_id\": \"" MENTOR "\", \"decisions\": ["
    "{\"scenario_type\": \"inactivity\", \"action\": \"dispatch\", \"about_id\": \"" MENTOR "\","
    " \"payload\": {\"text\": \"" LONG_TEXT "\", \"days\": 61}},"
    "{\"scenario_type\": \"milestone\", \"action\": \"suppress\", \"reason\": \"" LONG_TEXT "\"}]}";

static bool read_answer(void)
{
    struct uuid mentor;
    alloc_must(uuid_parse(MENTOR, &mentor));
    struct answer *a = engine_http_answer(answer_text, sizeof(answer_text) - 1, &mentor);
    if (a == NULL)
        return false;
    alloc_must(a->ok && a->n == 2); /* a verdict about the answer would be one about the mentor */
    const struct decision *d = a->decisions;
    alloc_must(strcmp(d[0].scenario_type, "inactivity") == 0 && d[0].action == ACTION_DISPATCH);
    alloc_must(d[0].has_about && uuid_equal(&d[0].about, &mentor));
    alloc_must(strcmp(d[0].payload, "{\"text\":\"" LONG_TEXT "\",\"days\":61}") == 0);
    alloc_must(strcmp(d[1].scenario_type, "milestone") == 0 && d[1].action == ACTION_SUPPRESS);
    answer_free(a);
    return true;
}

static bool read_body(void)
{
    static const char body[] = "{\"evaluation_date\": \"2026-11-20\","
                               " \"scenario_types\": [\"inactivity\", \"milestone\"],"
                               " \"shadow\": true}";
    struct api_run_ask ask;
    if (api_parse_run(body, sizeof(body) - 1, &ask) != API_GOOD)
        return false;
    alloc_must(ask.manual && strstr(ask.params, "\"2026-11-20\"") &&
               strstr(ask.params, "\"milestone\""));
    return true;
}

/* True if it came out right, false if not at all. */
typedef bool (*read_fn)(void);

static bool try_once(void *arg, long n, bool and_after)
{
    long before = alloc_live();
    alloc_fail_at(n, and_after);
    bool rightly = (*(read_fn *)arg)();
    (void)alloc_heal();
    alloc_must(alloc_live() == before);
    return rightly;
}

static void path(void *arg, long n, bool and_after)
{
    alloc_in_child(try_once, arg, n, and_after);
}

static void an_engines_answer_is_read_or_not(void **state)
{
    (void)state;
    read_fn read = read_answer;
    assert_true(alloc_torture(path, &read, MOST) > 20);
}

static void a_callers_body_is_read_or_not(void **state)
{
    (void)state;
    read_fn read = read_body;
    assert_true(alloc_torture(path, &read, MOST) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("whichever allocation fails, a message is read rightly or refused",
             a_message_is_read_or_not),
        TEST("R-T9: whichever allocation fails, a wrong secret is never taken for the right one",
             a_wrong_secret_is_never_taken),
        TEST("R-D4: whichever allocation fails, an engine's answer is read rightly or not at all",
             an_engines_answer_is_read_or_not),
        TEST("whichever allocation fails, a caller's body is read rightly or not at all",
             a_callers_body_is_read_or_not),
    };
    lib_alloc_or_leave();
    return cmocka_run_group_tests_name("torture_decode", tests, NULL, NULL);
}
