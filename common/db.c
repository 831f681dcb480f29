/* A few links to PostgreSQL and one queue before them: who sends which statement when, and what its
 * end means. Not here: how a link comes up (db_conn.c), what bytes travel (db_args.c, db_result.c).
 *
 * Rules that keep callbacks safe: db_call only queues and arms a timer, so everything happens in
 * callbacks of the loop. A caller's function may free the db; `gone` then says so to the function
 * that called it, and every function that returns bool says with false that the db is no more.
 * A statement is done when PQgetResult has said NULL: its result comes before its commit. */
#include "clock.h"
#include "db_internal.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define DB_MAGIC 0x64623031u
#define LINK_MAGIC 0x64626c31u

struct request {
    TAILQ_ENTRY(request) entry;
    const char *sql;
    struct db_args *args; /* until it is sent */
    int64_t deadline_ms;  /* monotonic */
    db_done_fn fn;
    void *arg;
};
TAILQ_HEAD(requests, request);

struct link {
    unsigned magic;
    struct db *db;
    struct db_conn *conn;
    bool up;
    struct request *req; /* in flight */
    PGresult *result;    /* of req, as far as it has come: the first error, else the last */
};

struct db {
    unsigned magic;
    struct link links[DB_LINKS_MAX];
    int n_links, n_up, n_in_flight;
    struct requests waiting, expired;
    int n_waiting; /* in both */
    struct loop_timer *pump_timer;
    struct loop_timer *deadline_timer;
    int64_t deadline_at_ms; /* while deadline_timer is armed */
    db_state_fn on_state;
    void *state_arg;
    enum { TOLD_NOTHING, TOLD_UP, TOLD_DOWN } told;
    struct err reason; /* why there is no link, while there is none */
    bool *gone;        /* while a caller's function runs: set by db_free */
};

/* ---- telling callers ----------------------------------------------------------------------- */

static bool tell_state(struct db *db, bool up)
{
    bool gone = false;

    db->told = up ? TOLD_UP : TOLD_DOWN;
    if (db->on_state == NULL) {
        return true;
    }
    struct err reason = db->reason; /* the db may go */
    db->gone = &gone;
    db->on_state(db->state_arg, up, up ? NULL : &reason);
    if (!gone) {
        db->gone = NULL;
    }
    return !gone;
}

/* Takes the request. */
static bool tell_done(struct db *db, struct request *req, enum db_outcome outcome,
                      const struct db_result *result, const struct err *err)
{
    bool gone = false;
    db_done_fn fn = req->fn;
    void *arg = req->arg;

    db_args_free(req->args);
    free(req);
    db->gone = &gone;
    fn(arg, outcome, result, err);
    if (!gone) {
        db->gone = NULL;
    }
    return !gone;
}

/* No link is up, for this reason: said once, and again when the reason is another one. */
static bool note_down(struct db *db, const struct err *err)
{
    bool known = db->told == TOLD_DOWN && strcmp(db->reason.text, err->text) == 0;

    db->reason = *err;
    return known ? true : tell_state(db, false);
}

/* ---- statements on a link ------------------------------------------------------------------ */

static void pump_later(struct db *db)
{
    if (!loop_timer_armed(db->pump_timer)) {
        loop_timer_arm(db->pump_timer, 0);
    }
}

/* The link has ended, for *err; its statement, if any, may or may not have been committed. */
static bool link_lost(struct link *l, const struct err *err)
{
    struct db *db = l->db;
    struct request *req = TAKE(l->req);

    PQclear(TAKE(l->result));
    db_conn_restart(l->conn);
    l->up = false;
    db->n_up--;
    if (req != NULL) {
        db->n_in_flight--;
        if (!tell_done(db, req, DB_UNKNOWN, NULL, err)) {
            return false;
        }
    }
    return db->n_up > 0 ? true : note_down(db, err);
}

/* The waiting statement at the head goes out. False: the db is no more. */
static bool link_send(struct link *l)
{
    struct db *db = l->db;
    struct request *req = TAILQ_FIRST(&db->waiting);
    PGconn *pg = db_conn_pg(l->conn);
    struct err err = ERR_INIT;
    int sent = db_args_send(req->args, pg, req->sql);

    if (!sent) {
        db_conn_error(pg, "cannot send a statement", &err);
        if (PQstatus(pg) == CONNECTION_BAD) {
            return link_lost(l, &err); /* it stays at the head, for another link */
        }
    }
    TAILQ_REMOVE(&db->waiting, req, entry);
    db->n_waiting--;
    if (!sent) {
        err.cls = ERR_SYSTEM; /* libpq lacks memory */
        return tell_done(db, req, DB_UNSENT, NULL, &err);
    }
    db_args_free(TAKE(req->args));
    l->req = req;
    db->n_in_flight++;
    return db_conn_flush(l->conn, &err) ? link_lost(l, &err) : true;
}

/* Statements go to idle links, as long as there are both. */
static void pump(struct db *db)
{
    for (int i = 0; i < db->n_links && !TAILQ_EMPTY(&db->waiting);) {
        struct link *l = &db->links[i];
        if (!l->up || l->req != NULL) {
            i++;
        } else if (!link_send(l)) {
            return;
        }
    }
}

static void on_pump(void *arg)
{
    pump(CHECK_MAGIC(struct db, arg, DB_MAGIC));
}

static bool result_is_error(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

enum collected { ANSWER_COMES, ANSWER_COMPLETE, ANSWER_BROKEN };

/* Takes what has come of the statement's answer. */
static enum collected link_collect(struct link *l)
{
    PGconn *pg = db_conn_pg(l->conn);

    while (!PQisBusy(pg)) {
        PGresult *result = PQgetResult(pg);
        if (result == NULL) {
            return l->result != NULL ? ANSWER_COMPLETE : ANSWER_BROKEN;
        }
        ExecStatusType status = PQresultStatus(result);
        if (l->result != NULL && result_is_error(l->result)) {
            PQclear(result); /* the first error is the cause */
        } else {
            PQclear(l->result); /* an error may follow a result: a deferred constraint */
            l->result = result;
        }
        /* On a bad connection libpq can find errors for ever, and COPY states as well. */
        if (PQstatus(pg) == CONNECTION_BAD || status == PGRES_COPY_IN || status == PGRES_COPY_OUT ||
            status == PGRES_COPY_BOTH) {
            return ANSWER_BROKEN;
        }
    }
    return ANSWER_COMES;
}

/* What a complete answer means. Returns whether the link must go. */
static bool judge(const PGresult *result, enum db_outcome *ret_outcome, struct err *err)
{
    if (!result_is_error(result)) {
        bool too_big = PQresultMemorySize(result) > DB_RESULT_MAX;
        if (too_big) {
            (void)err_set(err, ERR_LIMIT, NULL, "an answer of over %d bytes", DB_RESULT_MAX);
        }
        *ret_outcome = too_big ? DB_UNKNOWN : DB_OK; /* committed, but its caller never sees what */
        return false;
    }
    db_result_error(result, err);
    if (db_result_fatal(result)) {
        *ret_outcome = DB_UNKNOWN;
        return true;
    }
    *ret_outcome = DB_REFUSED;
    return strcmp(err->code, "25006") == 0; /* this server is no longer the primary */
}

/* The statement's answer is complete: its caller learns it, and the next one goes out. */
static void link_finish(struct link *l)
{
    struct db *db = l->db;
    struct request *req = TAKE(l->req);
    PGresult *pg = TAKE(l->result);
    struct db_result result = {.pg = pg};
    enum db_outcome outcome;
    struct err err = ERR_INIT;
    bool lost = judge(pg, &outcome, &err);
    bool ok = outcome == DB_OK;

    db->n_in_flight--;
    bool there = tell_done(db, req, outcome, ok ? &result : NULL, ok ? NULL : &err);
    PQclear(pg);
    if (there && lost) {
        there = link_lost(l, &err);
    }
    if (there) {
        pump(db);
    }
}

/* ---- what the links report ----------------------------------------------------------------- */

static void on_link_up(void *arg)
{
    struct link *l = CHECK_MAGIC(struct link, arg, LINK_MAGIC);
    struct db *db = l->db;

    l->up = true;
    db->n_up++;
    db->reason = ERR_INIT;
    if (db->told == TOLD_UP || tell_state(db, true)) {
        pump(db);
    }
}

static void on_link_input(void *arg)
{
    struct link *l = CHECK_MAGIC(struct link, arg, LINK_MAGIC);
    PGconn *pg = db_conn_pg(l->conn);
    struct err err = ERR_INIT;
    bool alive = PQconsumeInput(pg) == 1;
    enum collected got = ANSWER_COMES;

    if (l->req != NULL) {
        got = link_collect(l);
    } else {
        (void)PQisBusy(pg); /* takes in parameter changes and notices */
    }
    if (got == ANSWER_COMPLETE) {
        link_finish(l); /* a link that ended behind its answer is still readable: the next turn */
        return;
    }
    if (alive && got == ANSWER_COMES && PQstatus(pg) != CONNECTION_BAD) {
        return;
    }
    if (l->result != NULL && PQresultErrorField(l->result, PG_DIAG_SQLSTATE) != NULL) {
        db_result_error(l->result, &err); /* the server's last words */
    } else {
        db_conn_error(pg, "the database link is lost", &err);
    }
    (void)link_lost(l, &err); /* nothing follows */
}

static void on_link_failed(void *arg, const struct err *err)
{
    struct link *l = CHECK_MAGIC(struct link, arg, LINK_MAGIC);

    if (l->db->n_up == 0) {
        (void)note_down(l->db, err); /* nothing follows */
    }
}

static const struct db_conn_ops link_ops = {
    .up = on_link_up, .input = on_link_input, .failed = on_link_failed};

/* ---- deadlines ----------------------------------------------------------------------------- */

static void watch_deadline(struct db *db, int64_t now_ms, int64_t at_ms)
{
    if (!loop_timer_armed(db->deadline_timer) || at_ms < db->deadline_at_ms) {
        db->deadline_at_ms = at_ms;
        loop_timer_arm(db->deadline_timer, at_ms - now_ms);
    }
}

/* Moves what waited too long to `expired`, and arms the timer for what has still time. */
static void sort_out(struct db *db, int64_t now_ms)
{
    struct request *req, *next;

    for (req = TAILQ_FIRST(&db->waiting); req != NULL; req = next) {
        next = TAILQ_NEXT(req, entry);
        if (req->deadline_ms > now_ms) {
            watch_deadline(db, now_ms, req->deadline_ms);
            continue;
        }
        TAILQ_REMOVE(&db->waiting, req, entry);
        TAILQ_INSERT_TAIL(&db->expired, req, entry);
    }
    for (int i = 0; i < db->n_links; i++) {
        req = db->links[i].req;
        if (req != NULL && req->deadline_ms > now_ms) {
            watch_deadline(db, now_ms, req->deadline_ms);
        }
    }
}

static void unsent_error(const struct db *db, struct err *err)
{
    if (db->n_up > 0) {
        (void)err_retry(err, ERR_TIMEOUT, NULL, "no link to the database was free in time");
    } else if (err_is_set(&db->reason)) {
        *err = db->reason;
        err->retry = true;
    } else {
        (void)err_retry(err, ERR_TIMEOUT, NULL, "no link to the database in time");
    }
}

static void on_deadline(void *arg)
{
    struct db *db = CHECK_MAGIC(struct db, arg, DB_MAGIC);
    int64_t now_ms = clock_mono_ms();
    struct err err = ERR_INIT;
    struct request *req;

    sort_out(db, now_ms);
    while ((req = TAILQ_FIRST(&db->expired)) != NULL) {
        TAILQ_REMOVE(&db->expired, req, entry);
        db->n_waiting--;
        unsent_error(db, &err);
        if (!tell_done(db, req, DB_UNSENT, NULL, &err)) {
            return;
        }
    }
    (void)err_retry(&err, ERR_TIMEOUT, NULL, "the database did not answer a statement in time");
    for (int i = 0; i < db->n_links; i++) {
        req = db->links[i].req;
        if (req != NULL && req->deadline_ms <= now_ms && !link_lost(&db->links[i], &err)) {
            return;
        }
    }
}

/* ---- the interface ------------------------------------------------------------------------- */

int db_call(struct db *db, const char *sql, struct db_args *args, int64_t deadline_ms,
            db_done_fn fn, void *arg, struct err *err)
{
    struct request *req;

    if (args != NULL && args->failed) {
        db_args_free(args);
        return err_set(err, ERR_LIMIT, NULL, "a statement's parameters need too much memory");
    }
    if (db->n_waiting >= DB_QUEUE_MAX) {
        db_args_free(args);
        return err_retry(err, ERR_LIMIT, NULL, "%d statements wait for the database", DB_QUEUE_MAX);
    }
    req = calloc(1, sizeof(*req));
    if (req == NULL) {
        db_args_free(args);
        return err_set(err, ERR_SYSTEM, NULL, "no memory for a statement");
    }
    int64_t now_ms = clock_mono_ms();
    req->sql = sql;
    req->args = args;
    req->deadline_ms = now_ms + deadline_ms;
    req->fn = fn;
    req->arg = arg;
    TAILQ_INSERT_TAIL(&db->waiting, req, entry);
    db->n_waiting++;
    watch_deadline(db, now_ms, req->deadline_ms);
    if (db->n_up > db->n_in_flight) {
        pump_later(db);
    }
    return 0;
}

bool db_is_up(const struct db *db)
{
    return db->n_up > 0;
}

int db_backlog(const struct db *db)
{
    return db->n_waiting + db->n_in_flight;
}

struct db *db_new(struct loop *loop, const struct db_config *cfg, db_state_fn on_state, void *arg,
                  struct err *err)
{
    struct db *db = calloc(1, sizeof(*db));

    if (db == NULL) {
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for the database's links");
        return NULL;
    }
    db->magic = DB_MAGIC;
    db->on_state = on_state;
    db->state_arg = arg;
    TAILQ_INIT(&db->waiting);
    TAILQ_INIT(&db->expired);
    if (cfg->links < 1 || cfg->links > DB_LINKS_MAX) {
        (void)err_set(err, ERR_CONFIG, NULL, "database links must be 1 to %d", DB_LINKS_MAX);
        goto fail;
    }
    db->pump_timer = loop_timer_new(loop, on_pump, db, err);
    db->deadline_timer = db->pump_timer != NULL ? loop_timer_new(loop, on_deadline, db, err) : NULL;
    if (db->deadline_timer == NULL) {
        goto fail;
    }
    for (int i = 0; i < cfg->links; i++) {
        struct link *l = &db->links[i];
        l->magic = LINK_MAGIC;
        l->db = db;
        l->conn = db_conn_new(loop, cfg, &link_ops, l, err);
        if (l->conn == NULL) {
            goto fail;
        }
        db->n_links = i + 1;
    }
    return db;
fail:
    db_free(db);
    return NULL;
}

static void request_free(struct request *req)
{
    if (req != NULL) {
        db_args_free(req->args);
        free(req);
    }
}

static void requests_free(struct requests *list)
{
    struct request *req;

    while ((req = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, req, entry);
        request_free(req);
    }
}

void db_free(struct db *db)
{
    if (db == NULL) {
        return;
    }
    if (db->gone != NULL) {
        *db->gone = true;
    }
    for (int i = 0; i < db->n_links; i++) {
        struct link *l = &db->links[i];
        PQclear(l->result);
        request_free(l->req);
        db_conn_free(l->conn);
        l->magic = 0;
    }
    requests_free(&db->waiting);
    requests_free(&db->expired);
    loop_timer_free(db->pump_timer);
    loop_timer_free(db->deadline_timer);
    db->magic = 0;
    free(db);
}
