/* See api_reply.h. */
#include "api_reply.h"

#include "attrs.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"
#define RETRY_AFTER_S "1" /* lost links are tried again at once, then every few seconds */
#define HEADERS_MAX 12    /* name/value entries and the closing NULL; no answer has more */

static const struct problem {
    int status;
    const char *type, *title;
} problems[] = {
#define PROBLEM(id, status, slug, title) \
    [PROBLEM_##id] = {status, "urn:reveille:problem:" slug, title},
#include "api_problem.def"
#undef PROBLEM
};

/* Answers with what every answer carries, and up to HEADERS_MAX - 3 entries more. */
static void reply(struct http_request *req, int status, const char *type, const char *body,
                  const char *const *more)
{
    const char *headers[HEADERS_MAX] = {"Cache-Control", "no-store"};
    size_t n = 2;
    for (; more && *more && n < HEADERS_MAX - 1; more++)
        headers[n++] = *more;
    headers[n] = NULL;
    http_reply(req, status, type, body, strlen(body), headers);
}

void api_reply_json(struct http_request *req, int status, const char *body)
{
    reply(req, status, JSON_TYPE, body, NULL);
}

/* The JSON text of a value, which it takes; owned, NULL when memory is short. */
static char *dumped(json_t *v)
{
    char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    return text;
}

static void reply_problem(struct http_request *req, enum api_problem id, const char *title,
                          const char *const *headers)
{
    const struct problem *p = &problems[id];
    char *body = dumped(json_pack("{s:s,s:s%,s:i}", "type", p->type, "title", title, strlen(title),
                                  "status", p->status));
    reply(req, p->status, PROBLEM_TYPE, body ? body : "{}", headers);
    free(body);
}

void api_reply_problem_titled(struct http_request *req, enum api_problem problem, const char *title)
{
    static const char *const challenge[] = {"WWW-Authenticate", "Bearer", NULL};
    static const char *const later[] = {"Retry-After", RETRY_AFTER_S, NULL};
    int status = problems[problem].status;
    reply_problem(req, problem, title, status == 401 ? challenge : status == 503 ? later : NULL);
}

void api_reply_problem(struct http_request *req, enum api_problem problem)
{
    api_reply_problem_titled(req, problem, problems[problem].title);
}

void api_reply_bad_method(struct http_request *req, const char *allow)
{
    const char *const headers[] = {"Allow", allow, NULL};
    reply_problem(req, PROBLEM_BAD_METHOD, problems[PROBLEM_BAD_METHOD].title, headers);
}

/* SQLSTATEs that pass by themselves: shutdown, overload, locks, and a schema not there yet. */
static bool passes(const char *sqlstate)
{
    static const char *const classes[] = {"08", "53", "57", "40"};
    static const char *const states[] = {"55P03", "3F000", "42P01", "42883"};
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (strncmp(sqlstate, classes[i], 2) == 0)
            return true;
    for (size_t i = 0; i < COUNT_OF(states); i++)
        if (strcmp(sqlstate, states[i]) == 0)
            return true;
    return false;
}

void api_reply_database(struct http_request *req, enum db_outcome outcome, const struct err *err)
{
    if (outcome != DB_REFUSED || passes(err->code))
        api_reply_problem(req, PROBLEM_UNAVAILABLE);
    else if (strncmp(err->code, "22", 2) == 0)
        api_reply_problem(req, PROBLEM_WRONG_FIELDS);
    else
        api_reply_problem(req, PROBLEM_INTERNAL);
}

void api_reply_run(struct http_request *req, int status, const struct uuid *run,
                   const char *summary, const char *preference)
{
    char location[sizeof "/v1/runs/" + UUID_TEXT_SIZE];
    char id[UUID_TEXT_SIZE];
    uuid_format(run, id);
    snprintf(location, sizeof location, "/v1/runs/%s", id);
    const char *headers[5];
    size_t n = 0;
    if (status == 202) {
        headers[n++] = "Location";
        headers[n++] = location;
    }
    if (preference) {
        headers[n++] = "Preference-Applied";
        headers[n++] = preference;
    }
    headers[n] = NULL;
    reply(req, status, JSON_TYPE, summary, headers);
}

void api_reply_queued(struct http_request *req, const char *job_name, const struct uuid *behind,
                      const char *preference)
{
    char id[UUID_TEXT_SIZE];
    if (behind)
        uuid_format(behind, id);
    char *body =
        dumped(json_pack("{s:n,s:s,s:s,s:s?,s:b,s:b}", "run_id", "job_name", job_name, "status",
                         "queued", "behind", behind ? id : NULL, "completed", 0, "partial", 0));
    const char *const headers[] = {"Preference-Applied", preference, NULL};
    reply(req, 202, JSON_TYPE, body ? body : "{}", preference ? headers : NULL);
    free(body);
}
