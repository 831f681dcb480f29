/* What an HTTP request says, read strictly and without side effects: credentials, preferences,
 * content type, bodies, query values. Pure: no request object, no database, no secrets. Everything
 * here is outside input, so every length has a bound and everything unexpected is refused. */
#ifndef REVEILLE_API_REQUEST_H
#define REVEILLE_API_REQUEST_H

#include "limits.h"
#include "uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- headers ----------------------------------------------------------------------------- */
/* The secrets a caller shows: X-Scheduler-Secret's value, and what follows `Bearer` in
 * Authorization. Both are looked at, for one may be meant for a gateway before us. Each is NULL
 * when it is not there, empty, too long, of another scheme, or not printable ASCII. Lent from the
 * arguments, which may be NULL. */
struct api_credentials {
    const char *secret, *bearer;
};
struct api_credentials api_credentials(const char *scheduler_secret, const char *authorization);

/* Prefer (RFC 7240). What is not understood is ignored, as the RFC wants. */
struct api_prefer {
    bool respond_async;
    int wait_s; /* -1: not said; else 0 … HTTP_WAIT_MAX_S */
};
struct api_prefer api_prefer_parse(const char *value); /* NULL: no such header */

/* Whether a Content-Type is application/json, with or without parameters. */
bool api_is_json_type(const char *content_type);

/* 1 … API_KEY_MAX printable ASCII characters. */
bool api_key_is_valid(const char *key);

/* ---- bodies ------------------------------------------------------------------------------ */
enum api_parsed {
    API_GOOD,
    API_MALFORMED, /* not JSON, or a member twice */
    API_WRONG,     /* JSON, but not what is asked for here */
};

/* A body of POST /v1/jobs/{job}/runs. An empty object (or no body) rings the current slot. */
struct api_run_ask {
    bool manual;       /* a member was given: a manual run */
    char params[8192]; /* what request() takes, as compact JSON; "{}" for a ring */
};
enum api_parsed api_parse_run(const char *body, size_t len, struct api_run_ask *ret_ask);

/* A body of POST /v1/runs/{run}/replay. Whether its selection can be read, and chooses anything, is
 * open_replay's to say; here its other members are checked. */
struct api_replay_ask {
    bool dry_run;
    char *params; /* owned: the body as compact JSON */
};
enum api_parsed api_parse_replay(const char *body, size_t len, struct api_replay_ask *ret_ask);

/* {"job_name": …} of the forms that pg_cron knows. fallback: the job of a form that needs no body;
 * when it is there, another name is wrong. ret_name: API_JOB_NAME_MAX + 1 bytes. */
enum api_parsed api_parse_job_name(const char *body, size_t len, const char *fallback,
                                   char *ret_name);

/* {"last_contact_date": "YYYY-MM-DD"}, exactly. ret_date: 11 bytes. */
enum api_parsed api_parse_contact(const char *body, size_t len, char *ret_date);

/* {"paused": true|false}, exactly. */
enum api_parsed api_parse_paused(const char *body, size_t len, bool *ret_paused);

/* No body, or an empty object. */
enum api_parsed api_parse_nothing(const char *body, size_t len);

/* ---- paths and queries ------------------------------------------------------------------- */
/* Whether a path's segment may be a job's name at all: 1 … API_JOB_NAME_MAX bytes of UTF-8. */
bool api_job_name_is_text(const char *name);

/* A whole number from min to max; text NULL: fallback. False when it is anything else. */
bool api_parse_int(const char *text, int min, int max, int fallback, int *ret_n);

/* A date of the calendar, YYYY-MM-DD, years 1970 to 9999. */
bool api_is_date(const char *text);

#endif
