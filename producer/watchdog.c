/* See watchdog.h. */
#include "watchdog.h"

#include "attrs.h"
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCHDOG_MAGIC 0x57444F47u

#define END_OVERDUE_SQL "select reveille.end_overdue_runs()"

#define UTC_SLOT "to_char(slot at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

#define CATCH_UP_SQL "select job_name, component, " UTC_SLOT ", what from reveille.catch_up()"
enum { CAUGHT_JOB, CAUGHT_COMPONENT, CAUGHT_SLOT, CAUGHT_WHAT };

#define ALERTS_SQL                                                                         \
    "select kind, job_name, component, run_id, " UTC_SLOT ", age_s, alert_after_s, fresh " \
    "from reveille.note_alerts()"
enum {
    ALERT_KIND,
    ALERT_JOB,
    ALERT_COMPONENT,
    ALERT_RUN,
    ALERT_SLOT,
    ALERT_AGE,
    ALERT_AFTER,
    ALERT_FRESH
};

/* Of all producers, and from before this one's start (requirement T10). */
#define SECRETS_SQL "select slot, extract(epoch from last_used_at)::bigint from reveille.secret_use"
enum { SECRET_SLOT, SECRET_USED };

/* What pg_net's POSTs were answered; pg_net forgets it after hours. */
#define COLLECT_SQL "select reveille_cron.collect()"

enum question { END_OVERDUE, CATCH_UP, ALERTS, SECRETS, COLLECT, QUESTIONS };

struct asked { /* one of each; the argument of its statement's callback */
    unsigned magic;
    struct watchdog *dog;
    enum question question;
    bool under_way;
};

struct alert_series { /* a gauge that was set, so that it can go back to 0 */
    char job[41], kind[16];
};

struct watchdog {
    struct watchdog_config cfg;
    struct asked asked[QUESTIONS];
    struct alert_series series[METRICS_SERIES_MAX];
    size_t series_count;
};

typedef void (*answer_fn)(struct watchdog *w, const struct db_result *r);

/* ---- answers ----------------------------------------------------------------------------- */

static void overdue_ended(struct watchdog *w, const struct db_result *r)
{
    if (db_int(r, 0, 0) > 0)
        watchdog_end_overdue(w); /* one a transaction: there may be more */
}

static void say_caught(struct watchdog *w, const struct db_result *r, int row)
{
    const char *job = db_text(r, row, CAUGHT_JOB), *what = db_text(r, row, CAUGHT_WHAT);
    if (strcmp(what, "copy") == 0)
        log_event(w->cfg.log, EV_JOB_PAUSED_ON_COPY, log_name("job_name", job),
                  log_name("component", db_text(r, row, CAUGHT_COMPONENT)),
                  log_name("reason", "this database is a copy of the one where the job was enabled;"
                                     " resume the job to run it here"));
    else
        log_event(w->cfg.log, EV_SLOT_CAUGHT_UP, log_name("job_name", job),
                  log_name("component", db_text(r, row, CAUGHT_COMPONENT)),
                  log_name("slot", db_text(r, row, CAUGHT_SLOT)),
                  log_name("reason",
                           strcmp(what, "missed") == 0 ? "nobody rang for it" : "its run failed"));
}

static void caught_up(struct watchdog *w, const struct db_result *r)
{
    for (int i = 0; i < db_rows(r); i++)
        say_caught(w, r, i);
    if (db_rows(r) == 0)
        return;
    run_core_rung(core_wake_core(w->cfg.wake)); /* the NOTIFY comes only where LISTEN works */
    core_wake_rearm(w->cfg.wake);
}

static void say_alert(struct watchdog *w, const struct db_result *r, int row)
{
    const char *kind = db_text(r, row, ALERT_KIND), *slot = db_text(r, row, ALERT_SLOT);
    struct log_field job = log_name("job_name", db_text(r, row, ALERT_JOB));
    struct log_field component = log_name("component", db_text(r, row, ALERT_COMPONENT));
    struct log_field age = log_int("age_s", db_bigint(r, row, ALERT_AGE));
    struct log_field after = log_int("alert_after_s", db_bigint(r, row, ALERT_AFTER));
    struct uuid run = db_uuid(r, row, ALERT_RUN);
    if (strcmp(kind, "run") == 0)
        log_event(w->cfg.log, EV_RUN_OVERDUE, log_uuid("invocation_id", &run), job, component, age,
                  after);
    else if (strcmp(kind, "slot") == 0)
        log_event(w->cfg.log, EV_SLOT_OVERDUE, job, component, log_name("slot", slot), age, after);
    else
        log_event(w->cfg.log, EV_SLOT_FAILED, log_uuid("invocation_id", &run), job, component,
                  log_name("slot", slot), age);
}

static void keep_series(struct watchdog *w, const char *job, const char *kind)
{
    for (size_t i = 0; i < w->series_count; i++)
        if (strcmp(w->series[i].job, job) == 0 && strcmp(w->series[i].kind, kind) == 0)
            return;
    if (w->series_count == COUNT_OF(w->series))
        return; /* the metric has no room for it either */
    struct alert_series *s = &w->series[w->series_count++];
    snprintf(s->job, sizeof s->job, "%s", job);
    snprintf(s->kind, sizeof s->kind, "%s", kind);
}

static void alerts_noted(struct watchdog *w, const struct db_result *r)
{
    struct metrics *m = w->cfg.metrics;
    for (size_t i = 0; i < w->series_count; i++)
        metrics_set(m, METRIC_ALERTS, w->series[i].job, w->series[i].kind, 0);
    for (int i = 0; i < db_rows(r); i++) {
        const char *job = db_text(r, i, ALERT_JOB), *kind = db_text(r, i, ALERT_KIND);
        keep_series(w, job, kind);
        metrics_add(m, METRIC_ALERTS, job, kind, 1);
        if (db_bool(r, i, ALERT_FRESH))
            say_alert(w, r, i);
    }
}

static void secrets_read(struct watchdog *w, const struct db_result *r)
{
    struct metrics *m = w->cfg.metrics;
    for (int i = 0; i < db_rows(r); i++) {
        const char *slot = db_text(r, i, SECRET_SLOT);
        double used = (double)db_bigint(r, i, SECRET_USED);
        if (used > metrics_get(m, METRIC_SECRET_LAST_USED, slot, NULL)) /* ours is finer */
            metrics_set(m, METRIC_SECRET_LAST_USED, slot, NULL, used);
    }
}

static void collected(struct watchdog *w UNUSED, const struct db_result *r UNUSED)
{
    /* it is in cron's log */
}

/* ---- asking ------------------------------------------------------------------------------ */

static const struct statement {
    const char *name, *sql;
    answer_fn answer;
} statements[QUESTIONS] = {
    [END_OVERDUE] = {"end_overdue_runs", END_OVERDUE_SQL, overdue_ended},
    [CATCH_UP] = {"catch_up", CATCH_UP_SQL, caught_up},
    [ALERTS] = {"note_alerts", ALERTS_SQL, alerts_noted},
    [SECRETS] = {"secret_use", SECRETS_SQL, secrets_read},
    [COLLECT] = {"collect", COLLECT_SQL, collected},
};

static void answered(void *arg, enum db_outcome outcome, const struct db_result *result,
                     const struct err *err)
{
    struct asked *a = CHECK_MAGIC(struct asked, arg, WATCHDOG_MAGIC);
    a->under_way = false;
    if (outcome == DB_OK)
        statements[a->question].answer(a->dog, result);
    else if (outcome != DB_UNSENT) /* the database's own state tells that it is away */
        log_event(a->dog->cfg.log, EV_DATABASE_ERROR,
                  log_name("what", statements[a->question].name), LOG_ERR(err));
}

static void ask(struct watchdog *w, enum question question)
{
    struct asked *a = &w->asked[question];
    if (!a->under_way)
        a->under_way = db_call(w->cfg.db, statements[question].sql, NULL, DB_STATEMENT_MS, answered,
                               a, NULL) == 0;
}

void watchdog_end_overdue(struct watchdog *w)
{
    ask(w, END_OVERDUE);
}

void watchdog_watch(struct watchdog *w)
{
    ask(w, CATCH_UP);
    ask(w, ALERTS);
    ask(w, SECRETS);
    ask(w, COLLECT);
}

/* ---- life -------------------------------------------------------------------------------- */

struct watchdog *watchdog_new(const struct watchdog_config *cfg, struct err *err)
{
    struct watchdog *w = calloc(1, sizeof *w);
    if (!w) {
        err_errno(err, "watchdog");
        return NULL;
    }
    w->cfg = *cfg;
    for (int i = 0; i < QUESTIONS; i++)
        w->asked[i] =
            (struct asked){.magic = WATCHDOG_MAGIC, .dog = w, .question = (enum question)i};
    return w;
}

void watchdog_free(struct watchdog *w)
{
    free(w);
}
