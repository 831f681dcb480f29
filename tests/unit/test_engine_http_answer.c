/* Tests engine_http_answer.c: a table of answers, and random damage. */
#include "engine_http_answer.h"
#include "limits.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "11111111-2222-3333-4444-555555555555"
#define OTHER "99999999-2222-3333-4444-555555555555"
#define WITH(decisions) "{\"peer_mentor_id\":\"" ID "\",\"decisions\":" decisions "}"
#define ONE(decision) WITH("[" decision "]")

static struct answer *read_text(const char *text)
{
    struct uuid asked;
    assert_true(uuid_parse(ID, &asked));
    struct answer *a = engine_http_answer(text, strlen(text), &asked);
    assert_non_null(a);
    return a;
}

static void reads_decisions(void **state)
{
    (void)state;
    struct uuid about;
    assert_true(uuid_parse(OTHER, &about));
    struct answer *a = read_text(
        "{\"version\":7,\"peer_mentor_id\":\"" ID "\",\"decisions\":["
        "{\"scenario_type\":\"inactivity\",\"action\":\"dispatch\",\"about_id\":\"" OTHER "\","
        "\"payload\":{ \"days\" : 12, \"share\": 0.1, \"name\": \"\xc3\xa6\" }, \"more\": []},"
        "{\"scenario_type\":\"milestone\",\"action\":\"dispatched\",\"about_id\":null},"
        "{\"scenario_type\":\"x\",\"action\":\"suppress\",\"reason\":\"cooldown\",\"payload\":null}"
        "]}");
    assert_true(a->ok);
    assert_int_equal(a->sign, '.');
    assert_int_equal(a->n, 3);
    assert_string_equal(a->decisions[0].scenario_type, "inactivity");
    assert_int_equal(a->decisions[0].action, ACTION_DISPATCH);
    assert_true(a->decisions[0].has_about);
    assert_true(uuid_equal(&a->decisions[0].about, &about));
    assert_string_equal(a->decisions[0].payload,
                        "{\"days\":12,\"share\":0.1,\"name\":\"\xc3\xa6\"}");
    assert_int_equal(a->decisions[1].action, ACTION_DISPATCHED);
    assert_false(a->decisions[1].has_about);
    assert_null(a->decisions[1].payload);
    assert_int_equal(a->decisions[2].action, ACTION_SUPPRESS);
    assert_null(a->decisions[2].payload);
    answer_free(a);
}

static void none_is_an_answer(void **state)
{
    (void)state;
    struct answer *a = read_text(WITH("[]"));
    assert_true(a->ok);
    assert_int_equal(a->n, 0);
    answer_free(a);
}

static const struct nonsense {
    const char *answer, *why;
} nonsense[] = {
    {"", "an answer that is not JSON"},
    {"<html>", "an answer that is not JSON"},
    {WITH("[]") "x", "an answer that is not JSON"},
    {"{\"peer_mentor_id\":\"" ID "\",\"peer_mentor_id\":\"" ID "\",\"decisions\":[]}",
     "an answer that is not JSON"},
    {"[]", "an answer that is no object"},
    {"{}", "an answer without peer_mentor_id"},
    {"{\"peer_mentor_id\":7}", "an answer without peer_mentor_id"},
    {"{\"peer_mentor_id\":\"me\"}", "an answer without peer_mentor_id"},
    {"{\"peer_mentor_id\":\"" OTHER "\",\"decisions\":[]}", "an answer about another mentor"},
    {"{\"peer_mentor_id\":\"" ID "\"}", "an answer without decisions"},
    {WITH("{}"), "an answer without decisions"},
    {WITH("null"), "an answer without decisions"},
    {ONE("1"), "a decision that is no object"},
    {ONE("{\"action\":\"dispatch\"}"), "a decision without scenario_type"},
    {ONE("{\"scenario_type\":1,\"action\":\"dispatch\"}"), "a decision without scenario_type"},
    {ONE("{\"scenario_type\":\"\",\"action\":\"dispatch\"}"), "a scenario_type that is no name"},
    {ONE("{\"scenario_type\":\"A b\",\"action\":\"dispatch\"}"), "a scenario_type that is no name"},
    {ONE("{\"scenario_type\":\"abcdefghijabcdefghijabcdefghijabcdefghija\",\"action\":"
         "\"dispatch\"}"),
     "a scenario_type that is no name"},
    {ONE("{\"scenario_type\":\"a\"}"), "a decision without action"},
    {ONE("{\"scenario_type\":\"a\",\"action\":\"Dispatch\"}"), "an unknown action"},
    {ONE("{\"scenario_type\":\"a\",\"action\":\"dispatch\\u0000\"}"), "an answer that is not JSON"},
    {ONE("{\"scenario_type\":\"a\",\"action\":\"dispatch\",\"about_id\":\"x\"}"),
     "an about_id that is no id"},
    {ONE("{\"scenario_type\":\"a\",\"action\":\"dispatch\",\"about_id\":5}"),
     "an about_id that is no id"},
    {ONE("{\"scenario_type\":\"a\",\"action\":\"dispatch\",\"payload\":[]}"),
     "a payload that is no object"},
    {ONE("{\"scenario_type\":\"a\",\"action\":\"dispatch\",\"payload\":{\"a\":\"\\u0000\"}}"),
     "an answer that is not JSON"},
    {ONE("{\"scenario_type\":\"a\",\"action\":\"dispatch\",\"payload\":{\"a\":\"\xff\"}}"),
     "an answer that is not JSON"},
    {"{\"peer_mentor_id\":\"" ID "\",\"decisions\":[{\"scenario_type\":\"a\",\"action\":"
     "\"dispatch\"},{\"scenario_type\":\"b\",\"action\":\"?\"}]}",
     "an unknown action"},
};

static void refuses_nonsense(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        struct answer *a = read_text(nonsense[i].answer);
        assert_false(a->ok);
        assert_false(a->retry);
        assert_int_equal(a->cls, ERR_LOGIC);
        assert_int_equal(a->sign, '.');
        assert_int_equal(a->n, 0);
        assert_string_equal(a->text, nonsense[i].why);
        answer_free(a);
    }
}

static struct answer *read_many(int decisions)
{
    char *text = malloc(ENGINE_ANSWER_MAX);
    assert_non_null(text);
    int n = snprintf(text, ENGINE_ANSWER_MAX, "{\"peer_mentor_id\":\"" ID "\",\"decisions\":[");
    for (int i = 0; i < decisions; i++)
        n += snprintf(text + n, (size_t)(ENGINE_ANSWER_MAX - n),
                      "%s{\"scenario_type\":\"a\",\"action\":\"suppress\"}", i > 0 ? "," : "");
    snprintf(text + n, (size_t)(ENGINE_ANSWER_MAX - n), "]}");
    struct answer *a = read_text(text);
    free(text);
    return a;
}

static void bounds_decisions(void **state)
{
    (void)state;
    struct answer *a = read_many(ENGINE_DECISIONS_MAX);
    assert_true(a->ok);
    assert_int_equal(a->n, ENGINE_DECISIONS_MAX);
    answer_free(a);
    a = read_many(ENGINE_DECISIONS_MAX + 1);
    assert_string_equal(a->text, "too many decisions");
    answer_free(a);
}

static struct answer *read_payload_of(size_t bytes)
{
    char *text = malloc(bytes + 200);
    assert_non_null(text);
    int n = snprintf(text, bytes + 200,
                     "{\"peer_mentor_id\":\"" ID "\",\"decisions\":[{\"scenario_type\":\"a\","
                     "\"action\":\"dispatch\",\"payload\":{\"a\":\"");
    memset(text + n, 'a', bytes - 8); /* {"a":""} is 8 */
    strcpy(text + n + bytes - 8, "\"}}]}");
    struct answer *a = read_text(text);
    free(text);
    return a;
}

static void bounds_payload(void **state)
{
    (void)state;
    struct answer *a = read_payload_of(ENGINE_PAYLOAD_MAX);
    assert_true(a->ok);
    assert_int_equal(strlen(a->decisions[0].payload), ENGINE_PAYLOAD_MAX);
    answer_free(a);
    a = read_payload_of(ENGINE_PAYLOAD_MAX + 1);
    assert_string_equal(a->text, "a payload that is too large");
    answer_free(a);
}

static void bounds_depth(void **state)
{
    (void)state;
    char text[20001];
    memset(text, '[', 10000);
    memset(text + 10000, ']', 10000);
    text[20000] = '\0';
    struct answer *a = read_text(text);
    assert_string_equal(a->text, "an answer that is not JSON");
    answer_free(a);
}

/* Whatever is broken, the answer is one of ours, and its text never the engine's. */
static void survives_damage(void **state)
{
    (void)state;
    static const char whole[] =
        ONE("{\"scenario_type\":\"inactivity\",\"action\":\"dispatch\",\"about_id\":\"" OTHER
            "\",\"payload\":{\"canary\":\"kari@example.org\"}}");
    struct rng r = unit_rng();
    for (int i = 0; i < 20000; i++) {
        char text[sizeof(whole)];
        memcpy(text, whole, sizeof(whole));
        for (uint32_t k = 1 + (uint32_t)rng_below(&r, 4); k > 0; k--)
            text[rng_below(&r, sizeof(whole) - 1)] = (char)rng_below(&r, 256);
        struct uuid asked;
        assert_true(uuid_parse(ID, &asked));
        size_t len = (size_t)rng_below(&r, sizeof(whole));
        struct answer *a = engine_http_answer(text, i % 2 ? len : sizeof(whole) - 1, &asked);
        assert_non_null(a);
        assert_null(strstr(a->text, "kari"));
        assert_true(a->ok || (a->text[0] != '\0' && a->n == 0));
        answer_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"an answer's decisions are read; what is unknown in it is ignored", reads_decisions, NULL,
         NULL, NULL},
        {"no decisions are an answer", none_is_an_answer, NULL, NULL, NULL},
        {"R-E2: nonsense is an evaluation_logic_error that is not retried", refuses_nonsense, NULL,
         NULL, NULL},
        {"at most ENGINE_DECISIONS_MAX decisions", bounds_decisions, NULL, NULL, NULL},
        {"a payload of at most ENGINE_PAYLOAD_MAX bytes", bounds_payload, NULL, NULL, NULL},
        {"a depth of 10,000 is refused", bounds_depth, NULL, NULL, NULL},
        {"R-S5: a damaged answer is survived, and its text never shown", survives_damage, NULL,
         NULL, NULL},
    };
    return cmocka_run_group_tests_name("engine_http_answer", tests, NULL, NULL);
}
