/* See api_request.h. */
#include "api_request.h"

#include "attrs.h"
#include "limits.h"
#include "utf8.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- headers ----------------------------------------------------------------------------- */

static bool is_printable(const char *s, size_t max)
{
    size_t n = strnlen(s, max + 1);
    if (n == 0 || n > max)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x21 || s[i] > 0x7E)
            return false;
    return true;
}

/* What follows the scheme `Bearer` and its spaces; NULL for another scheme. */
static const char *bearer(const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *token = authorization + sizeof scheme - 1;
    return token + strspn(token, " ");
}

static const char *printable_or_none(const char *s)
{
    return s && is_printable(s, API_CREDENTIAL_MAX) ? s : NULL;
}

struct api_credentials api_credentials(const char *scheduler_secret, const char *authorization)
{
    return (struct api_credentials){
        .secret = printable_or_none(scheduler_secret),
        .bearer = printable_or_none(authorization ? bearer(authorization) : NULL)};
}

/* The number of `wait=N`; -1 when it is none. Too long a wait is cut to the longest. */
static int wait_seconds(const char *text, size_t len)
{
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    if (len == 0)
        return -1;
    int n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -1;
        n = n * 10 + (text[i] - '0');
        if (n > HTTP_WAIT_MAX_S)
            n = HTTP_WAIT_MAX_S;
    }
    return n;
}

/* One preference, its parameters cut off; the first of a name counts. */
static void prefer_one(const char *text, size_t len, struct api_prefer *p)
{
    static const char async[] = "respond-async";
    static const char wait[] = "wait=";
    if (len == sizeof async - 1 && strncasecmp(text, async, len) == 0)
        p->respond_async = true;
    else if (len >= sizeof wait - 1 && strncasecmp(text, wait, sizeof wait - 1) == 0 &&
             p->wait_s < 0)
        p->wait_s = wait_seconds(text + sizeof wait - 1, len - (sizeof wait - 1));
}

struct api_prefer api_prefer_parse(const char *value)
{
    struct api_prefer p = {.wait_s = -1};
    while (value && *value) {
        value += strspn(value, " \t,");
        size_t len = strcspn(value, ",");
        size_t name = strcspn(value, ",;");
        while (name > 0 && (value[name - 1] == ' ' || value[name - 1] == '\t'))
            name--;
        prefer_one(value, name, &p);
        value += len;
    }
    return p;
}

bool api_is_json_type(const char *content_type)
{
    static const char json[] = "application/json";
    if (!content_type || strncasecmp(content_type, json, sizeof json - 1) != 0)
        return false;
    const char *rest = content_type + sizeof json - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

bool api_key_is_valid(const char *key)
{
    return is_printable(key, API_KEY_MAX);
}

/* ---- bodies ------------------------------------------------------------------------------ */

/* The body's object, owned; an empty body is an empty object. NULL: *ret_why says why. */
static json_t *parse_object(const char *body, size_t len, enum api_parsed *ret_why)
{
    if (len == 0)
        return json_object();
    json_t *v = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    *ret_why = v ? API_WRONG : API_MALFORMED;
    if (v && !json_is_object(v)) {
        json_decref(v);
        return NULL;
    }
    return v;
}

bool api_is_date(const char *text)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const char form[] = "dddd-dd-dd";
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
            return false; /* also at the zero of a shorter text */
    if (text[sizeof form - 1] != '\0')
        return false;
    int y = atoi(text), m = atoi(text + 5), d = atoi(text + 8);
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return y >= 1970 && m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] &&
           (m != 2 || d < 29 || leap);
}

static bool is_scenario(const json_t *v)
{
    const char *s = json_string_value(v);
    size_t n = s ? strnlen(s, SCENARIO_TYPE_MAX + 1) : 0;
    return n >= 1 && n <= SCENARIO_TYPE_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyz_") == n;
}

static bool is_scenario_list(const json_t *v)
{
    size_t n = json_array_size(v); /* 0 for anything but an array */
    if (n < 1 || n > API_SCENARIOS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_scenario(json_array_get(v, i)))
            return false;
    return true;
}

static bool is_run_member(const char *name, const json_t *v)
{
    if (strcmp(name, "evaluation_date") == 0)
        return json_is_string(v) && api_is_date(json_string_value(v));
    if (strcmp(name, "scenario_types") == 0)
        return is_scenario_list(v);
    return strcmp(name, "shadow") == 0 && json_is_boolean(v);
}

/* Returns owned: the body's object, each of whose members is one of these; else NULL, and *ret_why.
 */
static json_t *parse_members(const char *body, size_t len,
                             bool (*is_member)(const char *name, const json_t *v),
                             enum api_parsed *ret_why)
{
    json_t *o = parse_object(body, len, ret_why);
    if (!o)
        return NULL;
    const char *name;
    json_t *v;
    bool good = true;
    json_object_foreach(o, name, v) good = good && is_member(name, v);
    if (good)
        return o;
    json_decref(o);
    *ret_why = API_WRONG;
    return NULL;
}

enum api_parsed api_parse_run(const char *body, size_t len, struct api_run_ask *ret_ask)
{
    enum api_parsed why = API_WRONG;
    json_t *o = parse_members(body, len, is_run_member, &why);
    if (!o)
        return why;
    ret_ask->manual = json_object_size(o) > 0;
    size_t n = json_dumpb(o, ret_ask->params, sizeof ret_ask->params - 1, JSON_COMPACT);
    bool good = n > 0 && n < sizeof ret_ask->params;
    ret_ask->params[good ? n : 0] = '\0';
    json_decref(o);
    return good ? API_GOOD : API_WRONG;
}

static bool is_number(const json_t *v, json_int_t max)
{
    return json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= max;
}

/* Members of a selection are left to the database. */
static bool is_replay_member(const char *name, const json_t *v)
{
    if (strcmp(name, "slice_size") == 0)
        return is_number(v, LIMIT_PAGE_MAX);
    if (strcmp(name, "rate") == 0)
        return is_number(v, LIMIT_RATE_MAX);
    if (strcmp(name, "reason") == 0)
        return json_is_string(v);
    return strcmp(name, "dry_run") != 0 || json_is_boolean(v);
}

enum api_parsed api_parse_replay(const char *body, size_t len, struct api_replay_ask *ret_ask)
{
    enum api_parsed why = API_WRONG;
    json_t *o = parse_members(body, len, is_replay_member, &why);
    if (!o)
        return why;
    ret_ask->dry_run = json_is_true(json_object_get(o, "dry_run"));
    ret_ask->params = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return ret_ask->params ? API_GOOD : API_WRONG;
}

enum api_parsed api_parse_job_name(const char *body, size_t len, const char *fallback,
                                   char *ret_name)
{
    enum api_parsed why = API_WRONG;
    json_t *o = parse_object(body, len, &why);
    if (!o)
        return why;
    json_t *given = json_object_get(o, "job_name");
    const char *name = given ? json_string_value(given) : fallback;
    bool good = name && json_object_size(o) == (given ? 1 : 0) && api_job_name_is_text(name) &&
                (!fallback || strcmp(name, fallback) == 0);
    if (good)
        snprintf(ret_name, API_JOB_NAME_MAX + 1, "%s", name);
    json_decref(o);
    return good ? API_GOOD : API_WRONG;
}

enum api_parsed api_parse_paused(const char *body, size_t len, bool *ret_paused)
{
    enum api_parsed why = API_WRONG;
    json_t *o = parse_object(body, len, &why);
    if (!o)
        return why;
    const json_t *v = json_object_get(o, "paused");
    bool good = json_object_size(o) == 1 && v && json_is_boolean(v);
    if (good)
        *ret_paused = json_is_true(v);
    json_decref(o);
    return good ? API_GOOD : API_WRONG;
}

enum api_parsed api_parse_contact(const char *body, size_t len, char *ret_date)
{
    enum api_parsed why = API_WRONG;
    json_t *o = parse_object(body, len, &why);
    if (!o)
        return why;
    const char *date = json_string_value(json_object_get(o, "last_contact_date"));
    bool good = json_object_size(o) == 1 && date && api_is_date(date);
    if (good)
        snprintf(ret_date, sizeof "YYYY-MM-DD", "%s", date);
    json_decref(o);
    return good ? API_GOOD : API_WRONG;
}

enum api_parsed api_parse_nothing(const char *body, size_t len)
{
    enum api_parsed why = API_WRONG;
    json_t *o = parse_object(body, len, &why);
    if (!o)
        return why;
    bool good = json_object_size(o) == 0;
    json_decref(o);
    return good ? API_GOOD : API_WRONG;
}

/* ---- paths and queries ------------------------------------------------------------------- */

bool api_job_name_is_text(const char *name)
{
    size_t n = strnlen(name, API_JOB_NAME_MAX + 1);
    if (n == 0 || n > API_JOB_NAME_MAX)
        return false;
    for (size_t i = 0; i < n;) {
        size_t len = utf8_length(name + i, n - i);
        if (len == 0 || (unsigned char)name[i] < 0x20)
            return false;
        i += len;
    }
    return true;
}

bool api_parse_int(const char *text, int min, int max, int fallback, int *ret_n)
{
    if (!text) {
        *ret_n = fallback;
        return true;
    }
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return false;
    int n = atoi(text);
    if (n < min || n > max)
        return false;
    *ret_n = n;
    return true;
}
