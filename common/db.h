/* PostgreSQL without waiting: a few links, one statement in flight on each, a bounded queue before
 * them. A statement is a transaction of its own (the protocol is SQL functions), so an answer is
 * the answer of its commit. Parameters and results travel in binary.
 *
 * Links connect and reconnect by themselves, with back-off; a statement waits in the queue for at
 * most its deadline. Only the primary is accepted (target_session_attrs=read-write). Names are
 * resolved without blocking. No named prepared statements and no session state, so a transaction
 * pooler may stand between. */
#ifndef REVEILLE_DB_H
#define REVEILLE_DB_H

#include "err.h"
#include "loop.h"
#include "uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct db_args;
struct db_result;

struct db_config {
    const char *conninfo; /* URI or key=value; copied; holds a password: never logged */
    const char *app_name; /* application_name */
    int links;            /* 1 … 16 */
};

/* Told when the first link is up (up = true), and when the last one is lost or none can be made
 * (up = false, err says why, scrubbed); the latter again when the reason becomes another one. For
 * logs and readiness; may be NULL. */
typedef void (*db_state_fn)(void *arg, bool up, const struct err *err);

struct db *db_new(struct loop *loop, const struct db_config *cfg, db_state_fn on_state, void *arg,
                  struct err *err);
/* Statements under way and waiting are forgotten: their callbacks are not called. */
void db_free(struct db *db);
bool db_is_up(const struct db *db);
int db_backlog(const struct db *db); /* statements waiting or in flight */

/* ---- parameters -------------------------------------------------------------------------- */
/* Built once a call, in order; an out-of-memory is remembered and reported by db_call. */
struct db_args *db_args_new(void);
void db_args_free(struct db_args *a);
void db_arg_bool(struct db_args *a, bool v);
void db_arg_int(struct db_args *a, int32_t v);
void db_arg_bigint(struct db_args *a, int64_t v);
void db_arg_text(struct db_args *a, const char *v);        /* NULL: null */
void db_arg_json(struct db_args *a, const char *v);        /* jsonb, from its text */
void db_arg_uuid(struct db_args *a, const struct uuid *v); /* NULL: null */
void db_arg_int_array(struct db_args *a, const int32_t *v, size_t n);
void db_arg_bigint_array(struct db_args *a, const int64_t *v, size_t n);
void db_arg_uuid_array(struct db_args *a, const struct uuid *v, const bool *is_null, size_t n);
/* An element may be NULL. */
void db_arg_text_array(struct db_args *a, const char *const *v, size_t n);

/* ---- statements -------------------------------------------------------------------------- */
enum db_outcome {
    DB_OK,      /* committed; result holds the rows */
    DB_REFUSED, /* the server said no (err->code is the SQLSTATE); nothing was written */
    DB_UNKNOWN, /* sent, and the link was lost before the answer: it may have been committed. Also
                   (class LIMIT) an answer over DB_RESULT_MAX: it was committed and is not shown */
    DB_UNSENT,  /* never sent: deadline in the queue, or no link */
};

/* result: borrowed, only with DB_OK, gone when the callback returns. err: borrowed, else. */
typedef void (*db_done_fn)(void *arg, enum db_outcome outcome, const struct db_result *result,
                           const struct err *err);

/* Queues one statement with `$n` parameters. Takes args (also on failure; NULL: none). sql is
 * borrowed for ever: a string constant. deadline_ms counts from now (DB_STATEMENT_MS is usual);
 * past it a queued statement ends as DB_UNSENT, one in flight ends its link and is DB_UNKNOWN.
 * fn is called exactly once, from the loop, never from within db_call. -1 only with class LIMIT
 * (queue full) or SYSTEM: then fn is not called. */
int db_call(struct db *db, const char *sql, struct db_args *args, int64_t deadline_ms,
            db_done_fn fn, void *arg, struct err *err) MUST_CHECK;

/* ---- results ----------------------------------------------------------------------------- */
int db_rows(const struct db_result *r);
bool db_is_null(const struct db_result *r, int row, int col);
/* Each asks for the column's type and stops the program on another one (a bug of ours: the
 * statements are constants); a null reads as 0, false, "", the nil uuid or an empty array. */
bool db_bool(const struct db_result *r, int row, int col);
int32_t db_int(const struct db_result *r, int row, int col);
int64_t db_bigint(const struct db_result *r, int row, int col);
/* text, or json/jsonb as text; zero-terminated; borrowed with the result. */
const char *db_text(const struct db_result *r, int row, int col);
struct uuid db_uuid(const struct db_result *r, int row, int col);
/* One-dimensional arrays: *ret_n elements, malloc'ed, returns owned; NULL when empty. An element
 * that is null reads as nil / false / 0. -1 with PROTOCOL or SYSTEM. */
int db_uuid_array(const struct db_result *r, int row, int col, struct uuid **ret_v, size_t *ret_n,
                  struct err *err) MUST_CHECK;
int db_bool_array(const struct db_result *r, int row, int col, bool **ret_v, size_t *ret_n,
                  struct err *err) MUST_CHECK;
/* text[] joined with a zero byte after each element; returns owned. */
int db_text_array(const struct db_result *r, int row, int col, char **ret_v, size_t *ret_n,
                  struct err *err) MUST_CHECK;

/* ---- LISTEN ------------------------------------------------------------------------------ */
/* A link of its own that listens on one channel, proves it by notifying itself (an echo on a
 * channel name of its own, drawn at random), and reconnects. Behind a pooler nothing is listened
 * to: proven stays false and the caller polls. */
struct db_listen;
/* on_change: proven has become true (the echo came back on this connection), or false (the link was
 * lost), or it is known that it stays false (a pooler). */
typedef void (*db_listen_fn)(void *arg);
struct db_listen *db_listen_new(struct loop *loop, const struct db_config *cfg, const char *channel,
                                db_listen_fn on_notify, db_listen_fn on_change, void *arg,
                                struct err *err);
bool db_listen_proven(const struct db_listen *l);
void db_listen_free(struct db_listen *l);

#endif
