/* How answers look: JSON, problem+json, the summary of a run and the note of a queued one. The only
 * place that writes status codes next to bodies. Decides nothing about jobs or runs.
 *
 * Each function ends the request: req is gone when it returns. */
#ifndef REVEILLE_API_REPLY_H
#define REVEILLE_API_REPLY_H

#include "db.h"
#include "http_server.h"
#include "uuid.h"

#include <stdbool.h>

enum api_problem {
#define PROBLEM(id, status, slug, title) PROBLEM_##id,
#include "api_problem.def"
#undef PROBLEM
};

/* body: JSON of ours. */
void api_reply_json(struct http_request *req, int status, const char *body);

void api_reply_problem(struct http_request *req, enum api_problem problem);
/* The same with another title: our own words, or a reason of ours from the database. */
void api_reply_problem_titled(struct http_request *req, enum api_problem problem,
                              const char *title);
/* 405 with the methods that the resource knows: "GET, POST". */
void api_reply_bad_method(struct http_request *req, const char *allow);

/* A statement that was not DB_OK: 503 with Retry-After when the database is away or overloaded or
 * has no schema yet, 422 when it says that a value is wrong (class 22), 500 else. */
void api_reply_database(struct http_request *req, enum db_outcome outcome, const struct err *err);

/* A run's summary; with 202 also Location. preference: Preference-Applied, NULL: none. */
void api_reply_run(struct http_request *req, int status, const struct uuid *run,
                   const char *summary, const char *preference);
/* 202 for a request that has no run yet; behind: the run it waits for, NULL: none. */
void api_reply_queued(struct http_request *req, const char *job_name, const struct uuid *behind,
                      const char *preference);

#endif
