/* See producer_notes.h. */
#include "producer_notes.h"

#include "attrs.h"
#include "clock.h"
#include "limits.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_MAX METRICS_SERIES_MAX /* jobs whose gauges are kept: more series there are not */

struct known_age {
    struct uuid run;
    int64_t since_ms; /* monotonic: when the run was 0 ms old */
};

struct producer_notes {
    struct log *log;
    struct metrics *metrics;
    struct known_age ages[LIMIT_RUNS_HELD]; /* the last ones told; no more runs are led */
    size_t age_next;
    char jobs[JOBS_MAX][41]; /* those that had a run here: their gauges go back to 0 */
    size_t job_count;
};

struct producer_notes *producer_notes_new(struct log *log, struct metrics *metrics, struct err *err)
{
    struct producer_notes *n = calloc(1, sizeof *n);
    if (!n) {
        err_errno(err, "producer notes");
        return NULL;
    }
    n->log = log;
    n->metrics = metrics;
    return n;
}

void producer_notes_free(struct producer_notes *n)
{
    free(n);
}

void producer_notes_age(struct producer_notes *n, const struct uuid *run, int64_t age_ms)
{
    n->ages[n->age_next] = (struct known_age){*run, clock_mono_ms() - age_ms};
    n->age_next = (n->age_next + 1) % LIMIT_RUNS_HELD;
}

/* ---- the beginning of a run -------------------------------------------------------------- */

static void keep_job(struct producer_notes *n, const char *job)
{
    for (size_t i = 0; i < n->job_count; i++)
        if (strcmp(n->jobs[i], job) == 0)
            return;
    if (n->job_count < JOBS_MAX)
        snprintf(n->jobs[n->job_count++], sizeof n->jobs[0], "%s", job);
}

static void run_started(struct producer_notes *n, const struct opened_run *run)
{
    char now[CLOCK_ISO_SIZE];
    clock_iso(clock_wall_us(), now);
    keep_job(n, run->job_name);
    if (run->waited_ms >= 0)
        metrics_observe(n->metrics, METRIC_TRIGGER_LATENCY, (double)run->waited_ms / 1000);
    log_event(n->log, EV_RUN_STARTED, log_uuid("invocation_id", &run->run_id),
              log_name("triggered_by", run->triggered_by), log_name("timestamp", now),
              log_name("job_name", run->job_name), log_name("component", run->component),
              log_name("evaluation_date", run->evaluation_date),
              log_bool("takeover", run->takeover));
}

static void run_taken_over(struct producer_notes *n, const struct opened_run *run)
{
    keep_job(n, run->job_name);
    log_event(n->log, EV_RUN_TAKEN_OVER, log_uuid("invocation_id", &run->run_id),
              log_name("job_name", run->job_name), log_name("component", run->component),
              log_name("state", run_state_name(run->state)));
}

/* ---- its end ----------------------------------------------------------------------------- */

static int64_t number(const json_t *summary, const char *name)
{
    return json_integer_value(json_object_get(summary, name)); /* 0 for what is null */
}

/* The other outcomes are counted by the workers that settle them; these no worker has seen. */
static void count_unreached(struct producer_notes *n, const char *job, const json_t *summary)
{
    metrics_add(n->metrics, METRIC_SUBJECTS, job, "unreached",
                (double)number(summary, "remaining_unprocessed_count"));
}

static void log_completed(struct producer_notes *n, const struct opened_run *run,
                          const char *status, const json_t *summary)
{
    char *by_scenario = json_dumps(json_object_get(summary, "by_scenario"), JSON_COMPACT);
    log_event(
        n->log, EV_RUN_COMPLETED, log_uuid("invocation_id", &run->run_id),
        log_name("job_name", run->job_name), log_name("component", run->component),
        log_name("status", status),
        log_int("total_active_mentors", number(summary, "total_active_mentors")),
        log_int("total_evaluated", number(summary, "total_evaluated")),
        log_int("total_dispatched", number(summary, "total_dispatched")),
        log_int("total_suppressed", number(summary, "total_suppressed")),
        log_int("total_skipped", number(summary, "total_skipped")),
        log_int("total_errors", number(summary, "total_errors")),
        log_int("remaining_unprocessed_count", number(summary, "remaining_unprocessed_count")),
        log_int("pages_processed", number(summary, "pages_processed")),
        log_json("by_scenario", by_scenario),
        log_int("duration_ms", number(summary, "duration_ms")),
        log_bool("completed", json_is_true(json_object_get(summary, "completed"))));
    free(by_scenario);
}

/* Completed, partial and cancelled runs end with one scheduler_run_completed that has all totals.
 */
static void log_ended(struct producer_notes *n, const struct opened_run *run, const char *status,
                      const json_t *summary)
{
    int64_t remaining = number(summary, "remaining_unprocessed_count");
    if (strcmp(status, run_state_name(RUN_FAILED)) == 0)
        log_event(n->log, EV_RUN_FAILED, log_uuid("invocation_id", &run->run_id),
                  log_name("job_name", run->job_name), log_name("component", run->component),
                  log_text("error_message",
                           json_string_value(json_object_get(summary, "error_message"))));
    else
        log_completed(n, run, status, summary);
    if (remaining > 0)
        log_event(n->log, EV_RUN_PARTIAL, log_uuid("invocation_id", &run->run_id),
                  log_name("job_name", run->job_name), log_name("component", run->component),
                  log_int("remaining_unprocessed_count", remaining));
}

static void run_ended(struct producer_notes *n, const struct opened_run *run, const char *text)
{
    json_t *summary = json_loads(text, 0, NULL);
    const char *status = json_string_value(json_object_get(summary, "status"));
    if (!status)
        status = "unknown";
    metrics_add(n->metrics, METRIC_RUNS, run->job_name, status, 1);
    if (strcmp(status, run_state_name(RUN_COMPLETED)) == 0)
        metrics_set(n->metrics, METRIC_LAST_COMPLETED, run->job_name, NULL,
                    (double)clock_wall_us() / 1e6);
    count_unreached(n, run->job_name, summary);
    log_ended(n, run, status, summary);
    json_decref(summary);
}

void producer_notes_take(struct producer_notes *n, const struct run_note *note)
{
    const struct opened_run *run = note->run;
    switch (note->kind) {
    case RUN_NOTE_STARTED:
        run_started(n, run);
        break;
    case RUN_NOTE_TAKEN_OVER:
        run_taken_over(n, run);
        break;
    case RUN_NOTE_PLANNED:
        log_event(n->log, EV_RUN_PLANNED, log_uuid("invocation_id", &run->run_id),
                  log_name("job_name", run->job_name), log_name("component", run->component),
                  log_int("slices", note->slices), log_int("total_active_mentors", note->subjects));
        break;
    case RUN_NOTE_LOST:
        log_event(n->log, EV_RUN_LOST, log_uuid("invocation_id", &run->run_id),
                  log_name("job_name", run->job_name), log_name("component", run->component));
        break;
    case RUN_NOTE_ENDED:
        run_ended(n, run, note->summary);
        break;
    case RUN_NOTE_RUNG_AGAIN:
        metrics_add(n->metrics, METRIC_REPUBLISHED, NULL, NULL, note->slices);
        log_event(n->log, EV_SLICES_RUNG_AGAIN, log_uuid("invocation_id", &run->run_id),
                  log_name("job_name", run->job_name), log_name("component", run->component),
                  log_int("slices", note->slices));
        break;
    case RUN_NOTE_DELIVERY_FAILED:
        log_event(n->log, EV_DELIVERY_FAILED, log_uuid("invocation_id", &run->run_id),
                  log_name("component", run->component), log_int("slices", note->slices));
        break;
    }
}

/* ---- gauges ------------------------------------------------------------------------------ */

static int64_t age_ms(const struct producer_notes *n, const struct uuid *run)
{
    for (size_t i = 0; i < LIMIT_RUNS_HELD; i++)
        if (uuid_equal(&n->ages[i].run, run))
            return clock_mono_ms() - n->ages[i].since_ms;
    return 0;
}

/* Subjects without an outcome, from the slices': every slice but a run's last has a whole page. */
static double remaining(const struct run_progress *p)
{
    if (p->failed || p->slices == 0 || p->planned < 0)
        return 0;
    return (double)p->planned * p->pending / p->slices;
}

void producer_notes_refresh(struct producer_notes *n, const struct run_core *core)
{
    struct metrics *m = n->metrics;
    for (size_t i = 0; i < n->job_count; i++) {
        metrics_set(m, METRIC_RUN_ACTIVE, n->jobs[i], NULL, 0);
        metrics_set(m, METRIC_RUN_AGE, n->jobs[i], NULL, 0);
        metrics_set(m, METRIC_RUN_REMAINING, n->jobs[i], NULL, 0);
    }
    for (int i = 0; i < run_core_leads(core); i++) {
        struct run_progress progress;
        const struct opened_run *run = run_core_lead(core, i, &progress);
        double age = (double)age_ms(n, &run->run_id) / 1000;
        const char *job = run->job_name; /* a replay beside its job: the sum, and the older */
        metrics_set(m, METRIC_RUN_ACTIVE, job, NULL,
                    metrics_get(m, METRIC_RUN_ACTIVE, job, NULL) + 1);
        if (age > metrics_get(m, METRIC_RUN_AGE, job, NULL))
            metrics_set(m, METRIC_RUN_AGE, job, NULL, age);
        metrics_set(m, METRIC_RUN_REMAINING, job, NULL,
                    metrics_get(m, METRIC_RUN_REMAINING, job, NULL) + remaining(&progress));
    }
}
