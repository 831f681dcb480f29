/* What callers send over HTTP: bodies, headers, query values. The first byte chooses which. What is
 * taken for a manual run's parameters is one JSON object, for it goes to the database. */
#include "api_request.h"
#include "fuzz.h"

#include <jansson.h>
#include <string.h>

static void try_run(const char *text, size_t len)
{
    struct api_run_ask ask;
    if (api_parse_run(text, len, &ask) != API_GOOD)
        return;
    json_t *params = json_loads(ask.params, JSON_REJECT_DUPLICATES, NULL);
    MUST(json_is_object(params));
    MUST(ask.manual == (json_object_size(params) > 0));
    json_decref(params);
}

static void try_name(const char *text, size_t len)
{
    char name[API_JOB_NAME_MAX + 1];
    if (api_parse_job_name(text, len, NULL, name) == API_GOOD)
        MUST(memchr(name, '\0', sizeof name) && api_job_name_is_text(name));
}

static void try_contact(const char *text, size_t len)
{
    char date[11];
    if (api_parse_contact(text, len, date) == API_GOOD)
        MUST(api_is_date(date));
}

static void try_replay(const char *text, size_t len)
{
    struct api_replay_ask ask;
    if (api_parse_replay(text, len, &ask) != API_GOOD)
        return;
    json_t *params = json_loads(ask.params, JSON_REJECT_DUPLICATES, NULL);
    MUST(json_is_object(params));
    json_decref(params);
    free(ask.params);
}

static void try_headers(const char *text)
{
    struct api_prefer prefer = api_prefer_parse(text);
    MUST(prefer.wait_s >= -1 && prefer.wait_s <= HTTP_WAIT_MAX_S);
    struct api_credentials shown = api_credentials(text, text);
    MUST(!shown.secret || shown.secret == text);
    MUST(!shown.bearer || (shown.bearer > text && shown.bearer <= text + strlen(text)));
    (void)api_is_json_type(text);
    (void)api_key_is_valid(text);
    int n = 7;
    if (api_parse_int(text, 1, 100, 50, &n))
        MUST(n >= 1 && n <= 100);
    MUST(!api_is_date(text) || strlen(text) == 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = malloc(size); /* exactly so long, zero-terminated: what is read beyond is found */
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    bool paused;
    switch (data[0] % 7) {
    case 0:
        try_run(text, size - 1);
        break;
    case 1:
        try_name(text, size - 1);
        break;
    case 2:
        (void)api_parse_paused(text, size - 1, &paused);
        break;
    case 3:
        (void)api_parse_nothing(text, size - 1);
        break;
    case 4:
        try_headers(text);
        break;
    case 5:
        try_contact(text, size - 1);
        break;
    default:
        try_replay(text, size - 1);
    }
    free(text);
    return 0;
}
