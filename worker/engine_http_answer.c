/* See engine_http_answer.h. {"peer_mentor_id", "decisions": [{"scenario_type", "action",
 * "about_id"?, "payload"?, "reason"?}]}. jansson bounds the depth and refuses zero characters,
 * which jsonb cannot hold; ENGINE_ANSWER_MAX bounds the bytes. */
#include "engine_http_answer.h"

#include "attrs.h"
#include "limits.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    enum action action;
} actions[] = {
    {"dispatch", ACTION_DISPATCH},
    {"dispatched", ACTION_DISPATCHED},
    {"suppress", ACTION_SUPPRESS},
};

/* Each of these returns NULL, or why the answer cannot be used. no_memory is none of the answer's
 * faults: nothing is said of it then. */
static const char no_memory[] = "no memory for the answer";

static const char *read_scenario(const json_t *value, struct decision *d)
{
    const char *text = json_string_value(value);
    if (text == NULL)
        return "a decision without scenario_type";
    size_t len = json_string_length(value);
    if (len == 0 || len > SCENARIO_TYPE_MAX || strspn(text, "abcdefghijklmnopqrstuvwxyz_") != len)
        return "a scenario_type that is no name";
    d->scenario_type = strdup(text);
    return d->scenario_type != NULL ? NULL : no_memory;
}

static const char *read_action(const json_t *value, struct decision *d)
{
    const char *text = json_string_value(value);
    if (text == NULL)
        return "a decision without action";
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (strcmp(text, actions[i].word) == 0 && json_string_length(value) == strlen(text)) {
            d->action = actions[i].action;
            return NULL;
        }
    return "an unknown action";
}

static const char *read_about(const json_t *value, struct decision *d)
{
    if (value == NULL || json_is_null(value))
        return NULL;
    const char *text = json_string_value(value);
    if (text == NULL || !uuid_parse(text, &d->about))
        return "an about_id that is no id";
    d->has_about = true;
    return NULL;
}

static const char *read_payload(const json_t *value, struct decision *d)
{
    if (value == NULL || json_is_null(value))
        return NULL;
    if (!json_is_object(value))
        return "a payload that is no object";
    /* 15 digits: what was written as 0.1 stays 0.1 */
    d->payload = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (d->payload == NULL)
        return no_memory;
    return strlen(d->payload) > ENGINE_PAYLOAD_MAX ? "a payload that is too large" : NULL;
}

static const char *read_decision(const json_t *value, struct decision *d)
{
    if (!json_is_object(value))
        return "a decision that is no object";
    const char *why = read_scenario(json_object_get(value, "scenario_type"), d);
    if (why == NULL)
        why = read_action(json_object_get(value, "action"), d);
    if (why == NULL)
        why = read_about(json_object_get(value, "about_id"), d);
    return why != NULL ? why : read_payload(json_object_get(value, "payload"), d);
}

static const char *read_decisions(const json_t *list, struct answer *a)
{
    if (!json_is_array(list))
        return "an answer without decisions";
    size_t n = json_array_size(list);
    if (n > ENGINE_DECISIONS_MAX)
        return "too many decisions";
    if (n == 0)
        return NULL;
    a->decisions = calloc(n, sizeof(*a->decisions));
    if (a->decisions == NULL)
        return no_memory;
    const char *why = NULL;
    for (size_t i = 0; i < n && why == NULL; i++) {
        a->n++; /* before it is read: what is half made is freed as well */
        why = read_decision(json_array_get(list, i), &a->decisions[i]);
    }
    return why;
}

static const char *read_answer(const json_t *root, const struct uuid *asked, struct answer *a)
{
    struct uuid named;
    if (!json_is_object(root))
        return "an answer that is no object";
    const char *id = json_string_value(json_object_get(root, "peer_mentor_id"));
    if (id == NULL || !uuid_parse(id, &named))
        return "an answer without peer_mentor_id";
    if (!uuid_equal(&named, asked))
        return "an answer about another mentor";
    return read_decisions(json_object_get(root, "decisions"), a);
}

struct answer *engine_http_answer(const char *bytes, size_t len, const struct uuid *asked)
{
    json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL)
        return answer_failed(ERR_LOGIC, TRY_ANSWERED, false, "an answer that is not JSON");
    struct answer *a = answer_nothing_due();
    if (a != NULL) {
        const char *why = read_answer(root, asked, a);
        if (why != NULL) {
            answer_free(a);
            a = why == no_memory ? NULL : answer_failed(ERR_LOGIC, TRY_ANSWERED, false, why);
        }
    }
    json_decref(root);
    return a;
}
