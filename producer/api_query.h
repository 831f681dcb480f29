/* One statement for one HTTP request: asks the database and hands the rows to a function that
 * answers, or answers itself when the database cannot. Keeps track of what is under way, so that
 * nothing is left behind at the end. Knows no routes and no SQL. */
#ifndef REVEILLE_API_QUERY_H
#define REVEILLE_API_QUERY_H

#include "api_request.h"
#include "db.h"
#include "err.h"
#include "http_server.h"
#include "log.h"

struct api_queries;

/* Borrows both. */
struct api_queries *api_queries_new(struct db *db, struct log *log, struct err *err);
/* Forgets what is under way; call it after the HTTP server and the database links are freed. */
void api_queries_free(struct api_queries *q);

/* The database was reached: without a link a request is answered 503 from now on, before 500 (S3).
 */
void api_queries_reached(struct api_queries *q);

/* What a request needs to remember while its statement is under way; copied. */
struct api_memo {
    char job_name[API_JOB_NAME_MAX + 1];
    bool ok_anyway;      /* 200 when the time is up, as the forms that pg_cron knows want it */
    bool flag;           /* what a PATCH sets */
    int64_t wait_ms;     /* how long to wait for the summary */
    char preference[24]; /* for Preference-Applied; "": none */
};

/* Answers the request (or keeps it, to answer later) from the rows of r, which are borrowed. */
typedef void (*api_rows_fn)(void *arg, struct http_request *req, const struct db_result *r,
                            const struct api_memo *memo);

/* Takes args and req: fn gets req back with the rows; else the caller was answered 503, 422 or 500
 * (api_reply_database, api_queries_reached). what: a word for the log. memo may be NULL. */
void api_query(struct api_queries *q, struct http_request *req, const char *what, const char *sql,
               struct db_args *args, api_rows_fn fn, void *arg, const struct api_memo *memo);

#endif
