/* See api_query.h. */
#include "api_query.h"

#include "api_reply.h"
#include "attrs.h"

#include <stdlib.h>

#define API_QUERY_MAGIC 0x51524559u

struct query {
    unsigned magic;
    struct query *previous, *next;
    struct api_queries *owner;
    struct http_request *req;
    const char *what;
    api_rows_fn fn;
    void *arg;
    struct api_memo memo;
};

struct api_queries {
    struct db *db;
    struct log *log;
    bool reached;        /* the database, since the start */
    struct query *first; /* at most one an open request: the server bounds them */
};

struct api_queries *api_queries_new(struct db *db, struct log *log, struct err *err)
{
    struct api_queries *q = calloc(1, sizeof *q);
    if (!q) {
        err_errno(err, "api queries");
        return NULL;
    }
    *q = (struct api_queries){.db = db, .log = log};
    return q;
}

static void query_free(struct query *y)
{
    *(y->previous ? &y->previous->next : &y->owner->first) = y->next;
    if (y->next)
        y->next->previous = y->previous;
    y->magic = 0;
    free(y);
}

void api_queries_free(struct api_queries *q)
{
    if (!q)
        return;
    while (q->first)
        query_free(q->first);
    free(q);
}

void api_queries_reached(struct api_queries *q)
{
    q->reached = true;
}

static void query_done(void *arg, enum db_outcome outcome, const struct db_result *result,
                       const struct err *err)
{
    struct query *y = CHECK_MAGIC(struct query, arg, API_QUERY_MAGIC);
    if (outcome == DB_OK) {
        y->fn(y->arg, TAKE(y->req), result, &y->memo);
    } else {
        log_event(y->owner->log, EV_DATABASE_ERROR, log_name("what", y->what), LOG_ERR(err));
        api_reply_database(TAKE(y->req), outcome, err);
    }
    query_free(y);
}

static struct query *query_new(struct api_queries *q)
{
    struct query *y = calloc(1, sizeof *y);
    if (!y)
        return NULL;
    *y = (struct query){.magic = API_QUERY_MAGIC, .owner = q, .next = q->first};
    if (q->first)
        q->first->previous = y;
    q->first = y;
    return y;
}

void api_query(struct api_queries *q, struct http_request *req, const char *what, const char *sql,
               struct db_args *args, api_rows_fn fn, void *arg, const struct api_memo *memo)
{
    struct query *y = db_is_up(q->db) ? query_new(q) : NULL;
    if (!y) {
        db_args_free(args);
        api_reply_problem(req, q->reached ? PROBLEM_UNAVAILABLE : PROBLEM_NO_DATABASE);
        return;
    }
    y->req = req;
    y->what = what;
    y->fn = fn;
    y->arg = arg;
    if (memo)
        y->memo = *memo;
    if (db_call(q->db, sql, args, DB_STATEMENT_MS, query_done, y, NULL)) {
        query_free(y);
        api_reply_problem(req, PROBLEM_UNAVAILABLE);
    }
}
