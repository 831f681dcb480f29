/* See api_wait.h. */
#include "api_wait.h"

#include "api_reply.h"
#include "attrs.h"
#include "clock.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define API_WAIT_MAGIC 0x57414954u
#define API_WAITS_MAGIC 0x57414953u

/* The request, its run if it has one, and the summary when it is to be answered: the run has ended,
 * or $2 says that the time is up. All from one snapshot. A refusal is the job's ($3 is paused, or
 * the database is a copy) or the parameters'. */
#define LOOK_SQL                                                                        \
    "select s.state, s.reason, s.run_id, s.behind, e.ended,"                            \
    " case when e.ended or $2 then reveille.summary(s.run_id)::text end,"               \
    " s.state = 'refused' and exists (select from reveille.job j where j.job_name = $3" \
    "  and (j.paused_at is not null or j.enabled_on is distinct from reveille.here()))" \
    " from reveille.request_status($1) s"                                               \
    " left join reveille.run r on r.run_id = s.run_id,"                                 \
    " lateral (select coalesce(r.state not in ('planning', 'running'), false) as ended) e"
enum { LOOK_STATE, LOOK_REASON, LOOK_RUN, LOOK_BEHIND, LOOK_ENDED, LOOK_SUMMARY, LOOK_JOB_CLOSED };

struct waiter {
    unsigned magic;
    struct waiter *previous, *next;
    struct api_waits *set;
    struct http_request *req;
    int64_t request_id;
    int64_t deadline_ms; /* for the summary; monotonic */
    int64_t open_by_ms;  /* for a run at all, when nothing stands before it */
    bool looking;        /* its statement is under way ... */
    bool last_look;      /* ... and is to be answered whatever it says */
    bool again;          /* something happened meanwhile */
    bool gone;           /* the client */
    struct api_memo memo;
};

struct api_waits {
    unsigned magic;
    struct db *db;
    struct log *log;
    struct loop_timer *timer;
    int64_t next_look_ms; /* monotonic; of all of them */
    bool draining;
    struct waiter *first; /* at most one an open request: the server bounds them */
};

static void look(struct waiter *y);

/* ---- the list ---------------------------------------------------------------------------- */

static void waiter_free(struct waiter *y)
{
    *(y->previous ? &y->previous->next : &y->set->first) = y->next;
    if (y->next)
        y->next->previous = y->previous;
    y->magic = 0;
    free(y);
}

/* The request that is about to be answered; the client's leaving is nobody's business any more. */
static struct http_request *take_request(struct waiter *y)
{
    http_on_gone(y->req, NULL, NULL);
    return TAKE(y->req);
}

/* The next look of all, or the end of somebody's time if that comes first. */
static void rearm(struct api_waits *w)
{
    int64_t now = clock_mono_ms(), next = w->next_look_ms;
    for (const struct waiter *y = w->first; y; y = y->next) {
        if (!y->looking && y->gone)
            next = now;
        else if (!y->looking && y->deadline_ms > now && y->deadline_ms < next)
            next = y->deadline_ms;
    }
    if (w->first)
        loop_timer_arm(w->timer, next - now);
    else
        loop_timer_disarm(w->timer);
}

void api_waits_look(struct api_waits *w)
{
    w->next_look_ms = clock_mono_ms() + HTTP_WAIT_POLL_MS;
    for (struct waiter *y = w->first, *next; y; y = next) {
        next = y->next;
        look(y);
    }
    rearm(w);
}

static void timer_fired(void *arg)
{
    api_waits_look(CHECK_MAGIC(struct api_waits, arg, API_WAITS_MAGIC));
}

struct api_waits *api_waits_new(struct loop *loop, struct db *db, struct log *log, struct err *err)
{
    struct api_waits *w = calloc(1, sizeof *w);
    if (!w) {
        err_errno(err, "api waits");
        return NULL;
    }
    *w = (struct api_waits){.magic = API_WAITS_MAGIC, .db = db, .log = log};
    w->timer = loop_timer_new(loop, timer_fired, w, err);
    if (!w->timer) {
        api_waits_free(w);
        return NULL;
    }
    return w;
}

void api_waits_free(struct api_waits *w)
{
    if (!w)
        return;
    while (w->first)
        waiter_free(w->first);
    loop_timer_free(w->timer);
    w->magic = 0;
    free(w);
}

/* ---- answers ----------------------------------------------------------------------------- */

static const char *preference_of(const struct waiter *y)
{
    return y->memo.preference[0] ? y->memo.preference : NULL;
}

static void answer_run(struct waiter *y, const struct db_result *r, bool ended)
{
    struct uuid run = db_uuid(r, 0, LOOK_RUN);
    int status = ended || y->memo.ok_anyway ? 200 : 202;
    api_reply_run(take_request(y), status, &run, db_text(r, 0, LOOK_SUMMARY), preference_of(y));
}

static void answer_queued(struct waiter *y, const struct db_result *r)
{
    struct uuid behind = db_uuid(r, 0, LOOK_BEHIND);
    api_reply_queued(take_request(y), y->memo.job_name,
                     db_is_null(r, 0, LOOK_BEHIND) ? NULL : &behind, preference_of(y));
}

/* A request that will never have a run. */
static void answer_never(struct waiter *y, const struct db_result *r)
{
    const char *state = db_text(r, 0, LOOK_STATE), *reason = db_text(r, 0, LOOK_REASON);
    enum api_problem refused =
        db_bool(r, 0, LOOK_JOB_CLOSED) ? PROBLEM_REFUSED : PROBLEM_BAD_PARAMETERS;
    log_event(y->set->log, EV_TRIGGER_REFUSED, log_text("job_name", y->memo.job_name),
              log_text("reason", reason[0] ? reason : state));
    if (strcmp(state, "coalesced") == 0)
        api_reply_problem(take_request(y), PROBLEM_SUPERSEDED);
    else if (strcmp(state, "missed") == 0)
        api_reply_problem(take_request(y), PROBLEM_MISSED);
    else if (reason[0])
        api_reply_problem_titled(take_request(y), refused, reason);
    else
        api_reply_problem(take_request(y), refused);
}

static bool time_is_up(const struct waiter *y)
{
    return y->set->draining || clock_mono_ms() >= y->deadline_ms;
}

/* Whether it makes sense to wait for a run a little longer, although the time for its summary is
 * up: nothing stands before the request, so a producer is about to open it. */
static bool about_to_open(const struct waiter *y, const struct db_result *r)
{
    return !y->set->draining && db_is_null(r, 0, LOOK_BEHIND) && clock_mono_ms() < y->open_by_ms;
}

/* Whether the waiter was answered by what its look found. */
static bool answered(struct waiter *y, const struct db_result *r)
{
    if (db_rows(r) == 0) { /* pruned meanwhile */
        api_reply_problem(take_request(y), PROBLEM_NO_SUCH_RUN);
        return true;
    }
    const char *state = db_text(r, 0, LOOK_STATE);
    if (strcmp(state, "pending") == 0) {
        if (!y->last_look || about_to_open(y, r))
            return false;
        answer_queued(y, r);
    } else if (db_is_null(r, 0, LOOK_RUN)) {
        answer_never(y, r);
    } else if (!db_is_null(r, 0, LOOK_SUMMARY)) {
        answer_run(y, r, db_bool(r, 0, LOOK_ENDED));
    } else {
        return false;
    }
    return true;
}

/* ---- looking ----------------------------------------------------------------------------- */

static void looked(void *arg, enum db_outcome outcome, const struct db_result *result,
                   const struct err *err)
{
    struct waiter *y = CHECK_MAGIC(struct waiter, arg, API_WAIT_MAGIC);
    struct api_waits *w = y->set;
    bool again = y->again || (!y->last_look && time_is_up(y));
    y->looking = y->again = false;
    if (outcome == DB_OK ? answered(y, result) : y->last_look) {
        if (y->req)
            api_reply_database(take_request(y), outcome, err);
        waiter_free(y);
    } else if (again) {
        look(y);
    }
    rearm(w);
}

static void look(struct waiter *y)
{
    if (y->looking) {
        y->again = true;
        return;
    }
    if (y->gone) { /* the reply goes nowhere; it gives the request back */
        api_reply_problem(take_request(y), PROBLEM_UNAVAILABLE);
        waiter_free(y);
        return;
    }
    y->last_look = time_is_up(y);
    struct db_args *args = db_args_new();
    db_arg_bigint(args, y->request_id);
    db_arg_bool(args, y->last_look);
    db_arg_text(args, y->memo.job_name);
    y->looking = db_call(y->set->db, LOOK_SQL, args, API_LOOK_MS, looked, y, NULL) == 0;
    if (!y->looking && y->last_look) {
        api_reply_problem(take_request(y), PROBLEM_UNAVAILABLE);
        waiter_free(y);
    }
}

static void client_gone(void *arg)
{
    struct waiter *y = CHECK_MAGIC(struct waiter, arg, API_WAIT_MAGIC);
    y->gone = true;
    rearm(y->set); /* not here: the server is in the middle of closing */
}

void api_wait_for(struct api_waits *w, struct http_request *req, int64_t request_id,
                  const struct api_memo *memo)
{
    struct waiter *y = calloc(1, sizeof *y);
    if (!y) {
        api_reply_problem(req, PROBLEM_UNAVAILABLE);
        return;
    }
    *y = (struct waiter){.magic = API_WAIT_MAGIC,
                         .next = w->first,
                         .set = w,
                         .req = req,
                         .request_id = request_id,
                         .memo = *memo};
    int64_t now = clock_mono_ms();
    y->deadline_ms = now + memo->wait_ms;
    y->open_by_ms = now + API_OPEN_WAIT_MS;
    if (!w->first)
        w->next_look_ms = now + HTTP_WAIT_POLL_MS;
    else
        w->first->previous = y;
    w->first = y;
    http_on_gone(req, client_gone, y);
    look(y);
    rearm(w);
}

void api_waits_drain(struct api_waits *w)
{
    w->draining = true;
    api_waits_look(w);
}
