/* What the files of db share: parameters as libpq wants them, results as libpq gives them, the
 * hosts of a conninfo with their addresses, and one connection that keeps itself up. For db*.c
 * only; programs include db.h. */
#ifndef REVEILLE_DB_INTERNAL_H
#define REVEILLE_DB_INTERNAL_H

#include "buf.h"
#include "db.h"
#include "limits.h"
#include "loop.h"

#include <libpq-fe.h>

/* pg_type.oid of what our SQL functions take and give; fixed for ever. */
#define OID_BOOL 16
#define OID_NAME 19
#define OID_INT8 20
#define OID_INT2 21
#define OID_INT4 23
#define OID_TEXT 25
#define OID_JSON 114
#define OID_BOOL_ARRAY 1000
#define OID_NAME_ARRAY 1003
#define OID_INT4_ARRAY 1007
#define OID_TEXT_ARRAY 1009
#define OID_VARCHAR_ARRAY 1015
#define OID_INT8_ARRAY 1016
#define OID_VARCHAR 1043
#define OID_UUID 2950
#define OID_UUID_ARRAY 2951
#define OID_JSONB 3802

/* ---- parameters (db_args.c) ---------------------------------------------------------------- */
struct db_args {
    bool failed; /* memory ran out, or over the buffer's cap */
    int n;
    Oid types[DB_ARGS_MAX]; /* 0: the server finds out */
    size_t begin[DB_ARGS_MAX];
    int lengths[DB_ARGS_MAX]; /* -1: null */
    struct buf bytes;         /* all values, one after the other */
};

/* PQsendQueryParams with these (NULL: none), binary both ways. Its 1 or 0. */
int db_args_send(const struct db_args *a, PGconn *pg, const char *sql);

/* ---- results (db_result.c) ----------------------------------------------------------------- */
struct db_result {
    const PGresult *pg;
};

/* What the server said against a statement: DATABASE, its SQLSTATE, its primary message scrubbed
 * (never DETAIL, which quotes rows), and whether trying again may help. */
void db_result_error(const PGresult *pg, struct err *err);
/* Whether the error ended the session, or there is no server behind it: then nobody knows. */
bool db_result_fatal(const PGresult *pg);

/* ---- hosts (db_hosts.c) -------------------------------------------------------------------- */
/* One address to try. Each is NULL where libpq's default holds; owned by the list. */
struct db_host {
    char *host, *addr, *port;
};

struct db_hosts;
/* fn: the list is complete, or *err says why there is none (err_is_set). From the loop, or from
 * within db_hosts_look_up when no name has to be resolved. */
typedef void (*db_hosts_fn)(void *arg, const struct err *err);

/* Copies the lists (comma-separated, as in a conninfo; NULL: not given). CONFIG when they do not
 * match or are too long. */
struct db_hosts *db_hosts_new(struct loop *loop, const char *hosts, const char *addrs,
                              const char *ports, struct err *err);
/* Begins a round: names are resolved again, by a thread of their own. Not while one is under way.
 */
void db_hosts_look_up(struct db_hosts *h, db_hosts_fn fn, void *arg);
int db_hosts_count(const struct db_hosts *h);
const struct db_host *db_hosts_at(const struct db_hosts *h, int i); /* until the next look-up */
void db_hosts_free(struct db_hosts *h);                             /* fn is not called any more */

/* ---- one connection (db_conn.c) ------------------------------------------------------------ */
/* Connects, tries every host of a round one after the other, each for DB_CONNECT_MS, waits with
 * back-off, and begins anew; for ever. It calls back from the loop only, as the last thing it does,
 * so every callback may restart or free it. */
struct db_conn;
struct db_conn_ops {
    void (*up)(void *arg);    /* ready for a statement, non-blocking */
    void (*input)(void *arg); /* PQconsumeInput has something to do, perhaps to find the end */
    void (*failed)(void *arg,
                   const struct err *err); /* a round found no server; the next follows */
};

/* CONFIG when cfg->conninfo cannot be read; the text quotes nothing of it. cfg is copied. */
struct db_conn *db_conn_new(struct loop *loop, const struct db_config *cfg,
                            const struct db_conn_ops *ops, void *arg, struct err *err);
void db_conn_free(struct db_conn *c);
PGconn *db_conn_pg(struct db_conn *c); /* borrowed; only between up and restart or free */
/* Sends what libpq holds back, as far as the socket takes it; the rest follows by itself.
 * -1 when the link is lost: restart, now or when `input` finds the end. */
int db_conn_flush(struct db_conn *c, struct err *err);
/* Drops the link and connects anew after a back-off. No callback comes for it. */
void db_conn_restart(struct db_conn *c);
/* NETWORK: "what: " and libpq's own words on the link, scrubbed. */
void db_conn_error(const PGconn *pg, const char *what, struct err *err);

#endif
