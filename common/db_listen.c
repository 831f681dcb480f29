/* LISTEN that knows whether it works. A connection of its own listens on the channel and on one
 * whose name nobody else knows; when a NOTIFY on the latter comes back, listening is proven, and it
 * is proven again every DB_LISTEN_PROOF_MS.
 *
 * A transaction pooler would pass the echo along too, as part of the answer to the NOTIFY, and yet
 * never a later notification. So the backend is asked for its process id first: a pooler has given
 * us another one, and then nothing is listened to. (A session pooler is taken for one as well; that
 * costs polling, nothing else.)
 *
 * Steps: DOWN -> ASKING (process id) -> LISTENING (until the echo) -> IDLE <-> PROVING (again);
 * ASKING -> POOLED, which stays until the link is lost. */
#include "db_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTEN_MAGIC 0x64626e31u

enum step { STEP_DOWN, STEP_ASKING, STEP_LISTENING, STEP_IDLE, STEP_PROVING, STEP_POOLED };

struct db_listen {
    unsigned magic;
    struct db_conn *conn;
    struct loop_timer *timer; /* the deadline of a step; in IDLE the time of the next proof */
    char *channel;
    char echo[sizeof("reveille_echo_") + 32];
    enum step step;
    bool answered; /* the step's statements are done; its echo may still be under way */
    bool direct;   /* in ASKING: the backend is the one we were given */
    bool proven;
    db_listen_fn on_notify, on_change;
    void *arg;
    bool *gone; /* while a caller's function runs: set by db_listen_free */
};

/* False: the caller's function has freed l. */
static bool tell(struct db_listen *l, db_listen_fn fn)
{
    bool gone = false;

    l->gone = &gone;
    fn(l->arg);
    if (!gone) {
        l->gone = NULL;
    }
    return !gone;
}

static void listen_lost(struct db_listen *l)
{
    bool was_proven = l->proven;

    loop_timer_disarm(l->timer);
    l->step = STEP_DOWN;
    l->proven = false;
    db_conn_restart(l->conn);
    if (was_proven) {
        (void)tell(l, l->on_change); /* nothing follows */
    }
}

/* Sends the step's statements; a link that cannot take them is lost. */
static void listen_send(struct db_listen *l, enum step step, const char *sql)
{
    l->step = step;
    l->answered = false;
    loop_timer_arm(l->timer, DB_STATEMENT_MS);
    if (!PQsendQuery(db_conn_pg(l->conn), sql) || db_conn_flush(l->conn, NULL)) {
        listen_lost(l);
    }
}

/* One transaction: the notification comes behind both LISTENs. */
static void listen_start(struct db_listen *l)
{
    char *channel = PQescapeIdentifier(db_conn_pg(l->conn), l->channel, strlen(l->channel));
    char sql[512];
    int len = -1;

    if (channel != NULL) {
        len = snprintf(sql, sizeof(sql), "LISTEN %s; LISTEN %s; NOTIFY %s", channel, l->echo,
                       l->echo);
        PQfreemem(channel);
    }
    if (len < 0 || (size_t)len >= sizeof(sql)) {
        listen_lost(l);
        return;
    }
    listen_send(l, STEP_LISTENING, sql);
}

static void on_listen_up(void *arg)
{
    struct db_listen *l = CHECK_MAGIC(struct db_listen, arg, LISTEN_MAGIC);

    l->direct = false;
    listen_send(l, STEP_ASKING, "SELECT pg_catalog.pg_backend_pid()");
}

static void on_timer(void *arg)
{
    struct db_listen *l = CHECK_MAGIC(struct db_listen, arg, LISTEN_MAGIC);
    char sql[64];

    if (l->step != STEP_IDLE) {
        listen_lost(l); /* no answer, or no echo */
        return;
    }
    (void)snprintf(sql, sizeof(sql), "NOTIFY %s", l->echo); /* a fixed length */
    listen_send(l, STEP_PROVING, sql);
}

/* Takes the answers that have come. False: the link is of no use any more. */
static bool take_results(struct db_listen *l)
{
    PGconn *pg = db_conn_pg(l->conn);

    while (!PQisBusy(pg)) {
        PGresult *result = PQgetResult(pg);
        if (result == NULL) {
            l->answered = true;
            break;
        }
        ExecStatusType status = PQresultStatus(result);
        if (l->step == STEP_ASKING && status == PGRES_TUPLES_OK && PQntuples(result) == 1) {
            l->direct = atoi(PQgetvalue(result, 0, 0)) == PQbackendPID(pg);
        }
        PQclear(result);
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            return false;
        }
    }
    return PQstatus(pg) != CONNECTION_BAD;
}

static void take_notifies(struct db_listen *l, bool *ret_notified, bool *ret_echo)
{
    PGnotify *n;

    while ((n = PQnotifies(db_conn_pg(l->conn))) != NULL) {
        if (strcmp(n->relname, l->channel) == 0) {
            *ret_notified = true;
        } else if (strcmp(n->relname, l->echo) == 0) {
            *ret_echo = true;
        }
        PQfreemem(n);
    }
}

static void asked(struct db_listen *l)
{
    if (l->direct) {
        listen_start(l);
        return;
    }
    l->step = STEP_POOLED;
    loop_timer_disarm(l->timer);
    (void)tell(l, l->on_change); /* nothing follows */
}

static void on_listen_input(void *arg)
{
    struct db_listen *l = CHECK_MAGIC(struct db_listen, arg, LISTEN_MAGIC);
    bool notified = false, echo = false;

    if (PQconsumeInput(db_conn_pg(l->conn)) != 1 || !take_results(l)) {
        listen_lost(l);
        return;
    }
    take_notifies(l, &notified, &echo);
    if (l->step == STEP_ASKING && l->answered) {
        asked(l);
        return;
    }
    if (echo && (l->step == STEP_LISTENING || l->step == STEP_PROVING)) {
        bool change = !l->proven;
        l->step = STEP_IDLE;
        l->proven = true;
        loop_timer_arm(l->timer, DB_LISTEN_PROOF_MS);
        if (change && !tell(l, l->on_change)) {
            return;
        }
    }
    if (notified) {
        (void)tell(l, l->on_notify); /* nothing follows */
    }
}

static void on_listen_failed(void *arg, const struct err *err)
{
    (void)arg; /* nothing was proven, so nothing changes */
    (void)err;
}

static const struct db_conn_ops listen_ops = {
    .up = on_listen_up, .input = on_listen_input, .failed = on_listen_failed};

static int listen_init(struct db_listen *l, struct loop *loop, const struct db_config *cfg,
                       struct err *err)
{
    struct uuid id;

    if (uuid_random(&id, err)) {
        return -1;
    }
    int at = snprintf(l->echo, sizeof(l->echo), "reveille_echo_");
    for (size_t i = 0; i < sizeof(id.b); i++) {
        at += snprintf(l->echo + at, sizeof(l->echo) - (size_t)at, "%02x", id.b[i]);
    }
    l->timer = loop_timer_new(loop, on_timer, l, err);
    l->conn = l->timer != NULL ? db_conn_new(loop, cfg, &listen_ops, l, err) : NULL;
    return l->conn != NULL ? 0 : -1;
}

struct db_listen *db_listen_new(struct loop *loop, const struct db_config *cfg, const char *channel,
                                db_listen_fn on_notify, db_listen_fn on_change, void *arg,
                                struct err *err)
{
    struct db_listen *l = calloc(1, sizeof(*l));
    char *name = strdup(channel);

    if (l == NULL || name == NULL) {
        free(l);
        free(name);
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory to listen");
        return NULL;
    }
    *l = (struct db_listen){.magic = LISTEN_MAGIC,
                            .channel = name,
                            .on_notify = on_notify,
                            .on_change = on_change,
                            .arg = arg};
    if (listen_init(l, loop, cfg, err)) {
        db_listen_free(l);
        return NULL;
    }
    return l;
}

bool db_listen_proven(const struct db_listen *l)
{
    return l->proven;
}

void db_listen_free(struct db_listen *l)
{
    if (l == NULL) {
        return;
    }
    if (l->gone != NULL) {
        *l->gone = true;
    }
    db_conn_free(l->conn);
    loop_timer_free(l->timer);
    free(l->channel);
    l->magic = 0;
    free(l);
}
