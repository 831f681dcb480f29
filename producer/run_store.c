/* See run_store.h. */
#include "run_store.h"

#include "attrs.h"
#include "clock.h"
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_STORE_MAGIC 0x5253544Fu
#define STORE_CALL_MAGIC 0x5343414Cu

/* Takes the run's lease; a run whose lease has ended comes first, then the newest request. */
#define OPEN_SQL                                                                                \
    "select run_id, fence, job_name, state, cursor, takeover, engine, topic_partitions, slices" \
    " from reveille.open_run($1, $2)"
enum {
    OPEN_RUN,
    OPEN_FENCE,
    OPEN_JOB,
    OPEN_STATE,
    OPEN_CURSOR,
    OPEN_TAKEOVER,
    OPEN_ENGINE,
    OPEN_PARTITIONS,
    OPEN_SLICES
};

/* The rest of a run just opened: open_run's own statement cannot see the row that it wrote. */
#define DESCRIBE_SQL                                                                        \
    "select j.component, r.triggered_by, r.evaluation_date::text,"                          \
    " (extract(epoch from r.started_at - (select min(t.requested_at) from"                  \
    "   reveille.trigger_request t where t.job_name = r.job_name and t.run_id = r.run_id))" \
    "  * 1000)::bigint,"                                                                    \
    " (extract(epoch from clock_timestamp() - r.started_at) * 1000)::bigint,"               \
    " r.page_size, coalesce(r.rate, 0)"                                                     \
    " from reveille.run r join reveille.job j on j.job_name = r.job_name where r.run_id = $1"
enum { DESCRIBE_COMPONENT, DESCRIBE_TRIGGERED_BY, DESCRIBE_DATE, DESCRIBE_WAITED, DESCRIBE_AGE };
enum { DESCRIBE_PAGE_SIZE = DESCRIBE_AGE + 1, DESCRIBE_RATE };

/* Refuses ('stale') when the lease or the cursor is another one. */
#define PLAN_SQL                                                           \
    "select outcome, state, cursor, first_slice + cardinality(partitions)" \
    " from reveille.plan_page($1, $2, $3, $4, $5, $6)"
enum { PLAN_OUTCOME, PLAN_STATE, PLAN_CURSOR, PLAN_SLICES };

#define DRAW_SQL "select slice_no, partition from reveille.unpublished_slices($1, $2, $3)"

/* Rows that a worker holds are left out: somebody moves them, nothing needs noting. */
#define NOTE_SQL "select reveille.note_published($1, $2, $3)"

#define PROGRESS_SQL "select state, slices, pending, planned::int from reveille.progress_of($1)"
enum { PROGRESS_STATE, PROGRESS_SLICES, PROGRESS_PENDING, PROGRESS_PLANNED };

#define OVERDUE_SQL                                \
    "select slice_no, partition, published_offset" \
    " from reveille.overdue_slices($1, $2, $3 * interval '1 ms')"

#define RENEW_SQL "select reveille.renew_lease($1, $2, $3)"

/* The summary of a run that has ended, whoever did it (cancel, deadline), and why it failed. */
#define ENDED_SQL                                                               \
    "(select reveille.summary(r.run_id) || jsonb_build_object('error_message'," \
    " r.error_message) from reveille.run r"                                     \
    " where r.run_id = $1 and r.state not in ('planning', 'running'))"

/* Both null while it is open. */
#define CLOSE_SQL "select coalesce(reveille.close_run($1, $2, $3), " ENDED_SQL ")::text"
#define FAIL_SQL                                        \
    "select coalesce(reveille.fail_run($1, $2, $3, $4)" \
    " || jsonb_build_object('error_message', $4::text), " ENDED_SQL ")::text"

#define GIVE_UP_SQL "select reveille.give_up_lease($1, $2, $3)"

enum kind {
    OPEN,
    DESCRIBE,
    PLAN,
    DRAW,
    NOTE,
    PROGRESS,
    OVERDUE,
    RENEW,
    CLOSE,
    FAIL,
    GIVE_UP,
    KINDS
};

struct store_call {
    unsigned magic;
    struct store_call *previous, *next; /* in the store's list of all that is under way */
    struct run_store *store;
    enum kind kind;
    struct lead_ref ref;
    bool not_queued;           /* to be answered as failed in the next turn */
    const struct err *refused; /* lent to its answer: what the database says for good; or NULL */
    struct opened_run *opened; /* owned; DESCRIBE only */
};

struct run_store {
    unsigned magic;
    struct run_store_config cfg;
    struct run_core *core;
    struct loop_timer *next_turn;
    struct store_call *first; /* the core asks each thing once at a time, so it is short */
    int64_t said_ms[KINDS];   /* when a failure of this kind was last logged */
};

/* What to do with an answer; result NULL: there is none, ask again. */
typedef void (*answer_fn)(struct run_store *s, struct store_call *call, const struct db_result *r);

static void answer_open(struct run_store *s, struct store_call *call, const struct db_result *r);
static void answer_describe(struct run_store *s, struct store_call *call,
                            const struct db_result *r);
static void answer_plan(struct run_store *s, struct store_call *call, const struct db_result *r);
static void answer_draw(struct run_store *s, struct store_call *call, const struct db_result *r);
static void answer_note(struct run_store *s, struct store_call *call, const struct db_result *r);
static void answer_progress(struct run_store *s, struct store_call *call,
                            const struct db_result *r);
static void answer_overdue(struct run_store *s, struct store_call *call, const struct db_result *r);
static void answer_renew(struct run_store *s, struct store_call *call, const struct db_result *r);
static void answer_close(struct run_store *s, struct store_call *call, const struct db_result *r);
static void answer_give_up(struct run_store *s, struct store_call *call, const struct db_result *r);

static const struct statement {
    const char *name, *sql;
    int64_t deadline_ms;
    answer_fn answer;
} statements[KINDS] = {
    [OPEN] = {"open_run", OPEN_SQL, DB_STATEMENT_MS, answer_open},
    [DESCRIBE] = {"run", DESCRIBE_SQL, LEASE_MS, answer_describe},
    [PLAN] = {"plan_page", PLAN_SQL, DB_STATEMENT_MS, answer_plan},
    [DRAW] = {"unpublished_slices", DRAW_SQL, DB_STATEMENT_MS, answer_draw},
    [NOTE] = {"note_published", NOTE_SQL, DB_STATEMENT_MS, answer_note},
    [PROGRESS] = {"progress_of", PROGRESS_SQL, DB_STATEMENT_MS, answer_progress},
    [OVERDUE] = {"overdue_slices", OVERDUE_SQL, DB_STATEMENT_MS, answer_overdue},
    [RENEW] = {"renew_lease", RENEW_SQL, LEASE_RENEW_MS, answer_renew},
    [CLOSE] = {"close_run", CLOSE_SQL, DB_STATEMENT_MS, answer_close},
    [FAIL] = {"fail_run", FAIL_SQL, DB_STATEMENT_MS, answer_close},
    [GIVE_UP] = {"give_up_lease", GIVE_UP_SQL, DB_STATEMENT_MS, answer_give_up},
};

/* ---- calls under way --------------------------------------------------------------------- */

/* Never NULL. Without memory for a hundred bytes the core would wait for ever for an answer, and
 * hold its leases meanwhile; a process that ends gives them to the next. */
static struct store_call *call_new(struct run_store *s, enum kind kind, struct lead_ref ref)
{
    struct store_call *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    *call = (struct store_call){
        .magic = STORE_CALL_MAGIC, .next = s->first, .store = s, .kind = kind, .ref = ref};
    if (s->first)
        s->first->previous = call;
    s->first = call;
    return call;
}

static void call_free(struct store_call *call)
{
    *(call->previous ? &call->previous->next : &call->store->first) = call->next;
    if (call->next)
        call->next->previous = call->previous;
    free(call->opened);
    call->magic = 0;
    free(call);
}

/* The link's own troubles are told by the database's state; here only what a statement says. */
static void say(struct run_store *s, enum kind kind, enum db_outcome outcome, const struct err *err)
{
    int64_t now = clock_mono_ms();
    if (outcome == DB_UNSENT ||
        (s->said_ms[kind] != 0 && now - s->said_ms[kind] < LOG_DATABASE_AGAIN_MS))
        return;
    s->said_ms[kind] = now;
    log_event(s->cfg.log, EV_DATABASE_ERROR, log_name("what", statements[kind].name), LOG_ERR(err));
}

static void answered(void *arg, enum db_outcome outcome, const struct db_result *result,
                     const struct err *err)
{
    struct store_call *call = CHECK_MAGIC(struct store_call, arg, STORE_CALL_MAGIC);
    struct run_store *s = call->store;
    if (outcome != DB_OK)
        say(s, call->kind, outcome, err);
    if (outcome == DB_REFUSED && !err->retry)
        call->refused = err;
    statements[call->kind].answer(s, call, outcome == DB_OK ? result : NULL);
    call_free(call);
    core_wake_rearm(s->cfg.wake);
}

/* Takes args. */
static void ask(struct run_store *s, struct store_call *call, struct db_args *args)
{
    const struct statement *st = &statements[call->kind];
    if (db_call(s->cfg.db, st->sql, args, st->deadline_ms, answered, call, NULL)) {
        call->not_queued = true;
        loop_timer_arm(s->next_turn, 0);
    }
}

static void answer_not_queued(void *arg)
{
    struct run_store *s = CHECK_MAGIC(struct run_store, arg, RUN_STORE_MAGIC);
    for (struct store_call *call = s->first, *next; call; call = next) {
        next = call->next; /* what the answers ask for anew is put before the first */
        if (!call->not_queued)
            continue;
        statements[call->kind].answer(s, call, NULL);
        call_free(call);
    }
    core_wake_rearm(s->cfg.wake);
}

struct run_store *run_store_new(const struct run_store_config *cfg, struct err *err)
{
    struct run_store *s = calloc(1, sizeof *s);
    if (!s) {
        err_errno(err, "run store");
        return NULL;
    }
    *s = (struct run_store){
        .magic = RUN_STORE_MAGIC, .cfg = *cfg, .core = core_wake_core(cfg->wake)};
    s->next_turn = loop_timer_new(cfg->loop, answer_not_queued, s, err);
    if (!s->next_turn) {
        run_store_free(s);
        return NULL;
    }
    return s;
}

void run_store_free(struct run_store *s)
{
    if (!s)
        return;
    while (s->first)
        call_free(s->first);
    loop_timer_free(s->next_turn);
    s->magic = 0;
    free(s);
}

/* ---- open -------------------------------------------------------------------------------- */

void run_store_open(struct run_store *s)
{
    struct db_args *args = db_args_new();
    db_arg_text(args, s->cfg.holder);
    db_arg_int(args, s->cfg.page_size);
    ask(s, call_new(s, OPEN, (struct lead_ref){0, 0}), args);
}

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from); /* the columns' checks keep them shorter */
}

static bool read_opened(const struct db_result *r, struct opened_run *run)
{
    *run = (struct opened_run){
        .run_id = db_uuid(r, 0, OPEN_RUN),
        .fence = db_bigint(r, 0, OPEN_FENCE),
        .has_cursor = !db_is_null(r, 0, OPEN_CURSOR),
        .cursor = db_uuid(r, 0, OPEN_CURSOR),
        .slices = db_int(r, 0, OPEN_SLICES),
        .topic_partitions = db_int(r, 0, OPEN_PARTITIONS),
        .takeover = db_bool(r, 0, OPEN_TAKEOVER),
        .waited_ms = -1,
    };
    copy(run->job_name, sizeof run->job_name, db_text(r, 0, OPEN_JOB));
    copy(run->engine, sizeof run->engine, db_text(r, 0, OPEN_ENGINE));
    return run_state_parse(db_text(r, 0, OPEN_STATE), &run->state);
}

static void answer_open(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    (void)call;
    if (!r || db_rows(r) == 0) {
        run_core_opened(s->core, r == NULL, NULL);
        return;
    }
    struct opened_run *run = calloc(1, sizeof *run);
    if (!run || !read_opened(r, run)) {
        /* the run is ours in the database alone: its lease ends and it is opened again */
        free(run);
        run_core_opened(s->core, true, NULL);
        return;
    }
    struct store_call *describe = call_new(s, DESCRIBE, (struct lead_ref){0, 0});
    describe->opened = run;
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &run->run_id);
    ask(s, describe, args);
}

static void answer_describe(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    struct opened_run *run = call->opened;
    if (!r || db_rows(r) == 0) {
        run_core_opened(s->core, true, NULL);
        return;
    }
    copy(run->component, sizeof run->component, db_text(r, 0, DESCRIBE_COMPONENT));
    copy(run->triggered_by, sizeof run->triggered_by, db_text(r, 0, DESCRIBE_TRIGGERED_BY));
    copy(run->evaluation_date, sizeof run->evaluation_date, db_text(r, 0, DESCRIBE_DATE));
    if (!run->takeover && !db_is_null(r, 0, DESCRIBE_WAITED))
        run->waited_ms = db_bigint(r, 0, DESCRIBE_WAITED);
    run->page_size = db_int(r, 0, DESCRIBE_PAGE_SIZE);
    run->rate = db_int(r, 0, DESCRIBE_RATE);
    s->cfg.on_age(s->cfg.arg, &run->run_id, db_bigint(r, 0, DESCRIBE_AGE));
    run_core_opened(s->core, false, run);
}

/* ---- plan and publish -------------------------------------------------------------------- */

void run_store_plan(struct run_store *s, struct lead_ref ref, const struct opened_run *run,
                    int pages)
{
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &run->run_id);
    db_arg_text(args, s->cfg.holder);
    db_arg_bigint(args, run->fence);
    db_arg_uuid(args, run->has_cursor ? &run->cursor : NULL);
    db_arg_int(args, pages);
    db_arg_text(args, s->cfg.topic_prefix);
    ask(s, call_new(s, PLAN, ref), args);
}

static bool parse_plan_outcome(const char *text, enum plan_outcome *ret)
{
    static const char *const names[] = {
        [PLAN_MORE] = "planned", [PLAN_LAST] = "last", [PLAN_STALE] = "stale"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum plan_outcome)i;
            return true;
        }
    return false;
}

static void answer_plan(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    struct planned_pages pages = {.failed = true};
    char why[sizeof call->refused->code + ERR_TEXT_MAX + 2];
    if (call->refused) {
        snprintf(why, sizeof why, "%s: %s", call->refused->code, call->refused->text);
        pages.refused = why;
    }
    if (r && db_rows(r) == 1 && run_state_parse(db_text(r, 0, PLAN_STATE), &pages.state) &&
        parse_plan_outcome(db_text(r, 0, PLAN_OUTCOME), &pages.outcome)) {
        pages.failed = false;
        pages.has_cursor = !db_is_null(r, 0, PLAN_CURSOR);
        pages.cursor = db_uuid(r, 0, PLAN_CURSOR);
        pages.slices = db_int(r, 0, PLAN_SLICES);
    }
    run_core_planned(s->core, call->ref, &pages);
}

void run_store_draw(struct run_store *s, struct lead_ref ref, const struct uuid *run, int after,
                    int limit)
{
    struct db_args *args = db_args_new();
    db_arg_uuid(args, run);
    db_arg_int(args, after);
    db_arg_int(args, limit);
    ask(s, call_new(s, DRAW, ref), args);
}

static void answer_draw(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    int n = r ? db_rows(r) : 0;
    struct drawn_slice *slices = n > 0 ? calloc((size_t)n, sizeof *slices) : NULL;
    for (int i = 0; slices && i < n; i++)
        slices[i] = (struct drawn_slice){db_int(r, i, 0), db_int(r, i, 1)};
    bool failed = !r || (n > 0 && !slices);
    run_core_drawn(s->core, call->ref, failed, slices, failed ? 0 : n);
    free(slices);
}

void run_store_note_published(struct run_store *s, struct lead_ref ref, const struct uuid *run,
                              const int32_t *slices, const int64_t *offsets, int n)
{
    struct db_args *args = db_args_new();
    db_arg_uuid(args, run);
    db_arg_int_array(args, slices, (size_t)n);
    db_arg_bigint_array(args, offsets, (size_t)n);
    ask(s, call_new(s, NOTE, ref), args);
}

static void answer_note(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    run_core_noted(s->core, call->ref, r == NULL);
}

/* ---- progress and ringing again ---------------------------------------------------------- */

void run_store_progress(struct run_store *s, struct lead_ref ref, const struct uuid *run)
{
    struct db_args *args = db_args_new();
    db_arg_uuid(args, run);
    ask(s, call_new(s, PROGRESS, ref), args);
}

static void answer_progress(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    struct run_progress p = {.failed = !r};
    if (r && db_rows(r) == 1 && !db_is_null(r, 0, PROGRESS_STATE)) {
        p.found = true;
        p.failed = !run_state_parse(db_text(r, 0, PROGRESS_STATE), &p.state);
        p.slices = db_int(r, 0, PROGRESS_SLICES);
        p.pending = db_int(r, 0, PROGRESS_PENDING);
        p.planned = db_is_null(r, 0, PROGRESS_PLANNED) ? -1 : db_int(r, 0, PROGRESS_PLANNED);
    }
    run_core_progressed(s->core, call->ref, &p);
}

void run_store_overdue(struct run_store *s, struct lead_ref ref, const struct uuid *run, int limit)
{
    struct db_args *args = db_args_new();
    db_arg_uuid(args, run);
    db_arg_int(args, limit);
    db_arg_int(args, s->cfg.stale_ms);
    ask(s, call_new(s, OVERDUE, ref), args);
}

static void answer_overdue(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    int n = r ? db_rows(r) : 0;
    struct overdue_slice *slices = n > 0 ? calloc((size_t)n, sizeof *slices) : NULL;
    for (int i = 0; slices && i < n; i++)
        slices[i] = (struct overdue_slice){db_int(r, i, 0), db_int(r, i, 1),
                                           db_is_null(r, i, 2) ? -1 : db_bigint(r, i, 2)};
    bool failed = !r || (n > 0 && !slices);
    run_core_overdue(s->core, call->ref, failed, slices, failed ? 0 : n);
    free(slices);
}

/* ---- lease and end ----------------------------------------------------------------------- */

/* The parameters that name a lease: run, holder, fence. */
static struct db_args *lease_args(const struct run_store *s, const struct opened_run *run)
{
    struct db_args *args = db_args_new();
    db_arg_uuid(args, &run->run_id);
    db_arg_text(args, s->cfg.holder);
    db_arg_bigint(args, run->fence);
    return args;
}

void run_store_renew(struct run_store *s, struct lead_ref ref, const struct opened_run *run)
{
    ask(s, call_new(s, RENEW, ref), lease_args(s, run));
}

static void answer_renew(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    run_core_renewed(s->core, call->ref,
                     !r                 ? RENEW_FAILED
                     : db_bool(r, 0, 0) ? RENEWED
                                        : RENEW_LOST);
}

void run_store_close(struct run_store *s, struct lead_ref ref, const struct opened_run *run)
{
    ask(s, call_new(s, CLOSE, ref), lease_args(s, run));
}

static void answer_close(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    const char *summary = r && !db_is_null(r, 0, 0) ? db_text(r, 0, 0) : NULL;
    run_core_closed(s->core, call->ref, r == NULL, summary);
}

void run_store_fail(struct run_store *s, struct lead_ref ref, const struct opened_run *run,
                    const char *why)
{
    struct db_args *args = lease_args(s, run);
    db_arg_text(args, why);
    ask(s, call_new(s, FAIL, ref), args);
}

void run_store_give_up(struct run_store *s, struct lead_ref ref, const struct opened_run *run)
{
    ask(s, call_new(s, GIVE_UP, ref), lease_args(s, run));
}

static void answer_give_up(struct run_store *s, struct store_call *call, const struct db_result *r)
{
    (void)r; /* lost: the lease ends by itself */
    run_core_given_up(s->core, call->ref);
}
