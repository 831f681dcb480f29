/* See worker_notes.h. */
#include "worker_notes.h"

#include "attrs.h"
#include "clock.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

struct worker_notes {
    struct log *log;
    struct metrics *metrics;
    const char *const *engine_names;
    int64_t database_said_ms; /* 0: never */
};

static const char *job_of(const struct pool_note *note)
{
    return note->claim != NULL ? note->claim->job_name : "unknown";
}

static const char *component_of(const struct pool_note *note)
{
    return note->claim != NULL ? note->claim->component : "reveille-worker";
}

static void count_slice(struct worker_notes *n, const struct pool_note *note, const char *outcome)
{
    metrics_add(n->metrics, METRIC_SLICES, job_of(note), outcome, 1);
}

/* An event about a slice that has no fields beyond whose it is. */
static void say(struct worker_notes *n, enum log_event_id event, const struct pool_note *note)
{
    log_event(n->log, event, log_uuid("invocation_id", &note->run), log_int("slice", note->slice),
              log_name("component", component_of(note)));
}

/* ---- settled ----------------------------------------------------------------------------- */

static void count_settled(struct worker_notes *n, const struct pool_note *note)
{
    const struct settle_answer *a = note->settled;
    metrics_add(n->metrics, METRIC_SUBJECTS, job_of(note), "evaluated", a->evaluated);
    metrics_add(n->metrics, METRIC_SUBJECTS, job_of(note), "skipped", a->skipped);
    metrics_add(n->metrics, METRIC_SUBJECTS, job_of(note), "error", a->errors);
    metrics_observe(n->metrics, METRIC_SLICE_DURATION, (double)note->duration_ms / 1000);
    count_slice(n, note, "settled");
}

static void say_subject(struct worker_notes *n, const struct pool_note *note,
                        const struct uuid *subject, const char *type, const char *text)
{
    log_event(n->log, EV_MENTOR_EVALUATION_ERROR, log_uuid("invocation_id", &note->run),
              log_uuid("peer_mentor_id", subject), log_name("error_type", type),
              log_text("error_message", text), log_name("component", component_of(note)),
              log_int("slice", note->slice));
}

/* Requirement S4: a line a subject, by the one whose settle was committed; its list is the
 * database's, which may have refused what the engine was content with. */
static void say_failed(struct worker_notes *n, const struct pool_note *note)
{
    const struct settle_answer *a = note->settled;
    for (int i = 0; i < a->failure_count; i++)
        say_subject(n, note, &a->failures[i].subject, a->failures[i].cls, a->failures[i].text);
}

/* A slice that too many workers died of: the claim has settled it. */
static void say_worker_lost(struct worker_notes *n, const struct pool_note *note)
{
    metrics_add(n->metrics, METRIC_SUBJECTS, job_of(note), "error", note->claim->n);
    count_slice(n, note, "settled");
    for (int i = 0; i < note->claim->n; i++)
        say_subject(n, note, &note->claim->subject_ids[i], "worker_lost", "no worker finished it");
}

/* What the engine wanted to go out and the database refused. In a shadow run that is everything. */
static int refused_by_database(const struct pool_note *note)
{
    int by_engine = 0;
    for (int i = 0; i < note->claim->n; i++) {
        const struct subject *u = &note->subjects[i];
        for (int k = 0; u->state == SUBJECT_JUDGED && k < u->answer->n; k++)
            by_engine += u->answer->decisions[k].action == ACTION_SUPPRESS;
    }
    return note->claim->shadow ? 0 : note->settled->suppressed - by_engine;
}

static void say_settled(struct worker_notes *n, const struct pool_note *note)
{
    const struct settle_answer *a = note->settled;
    int refused = refused_by_database(note);
    count_settled(n, note);
    log_event(n->log, EV_SLICE_SETTLED, log_uuid("invocation_id", &note->run),
              log_int("slice", note->slice), log_name("component", component_of(note)),
              log_int("evaluated", a->evaluated), log_int("skipped", a->skipped),
              log_int("errors", a->errors), log_int("dispatched", a->dispatched),
              log_int("suppressed", a->suppressed), log_int("duration_ms", note->duration_ms));
    if (a->errors > 0)
        say_failed(n, note);
    if (refused > 0)
        log_event(n->log, EV_DUPLICATES_SUPPRESSED, log_uuid("invocation_id", &note->run),
                  log_int("slice", note->slice), log_name("component", component_of(note)),
                  log_int("suppressed", refused), log_int("dispatched", a->dispatched));
}

/* ---- the rest ---------------------------------------------------------------------------- */

static void say_claimed(struct worker_notes *n, const struct pool_note *note)
{
    log_event(n->log, EV_SLICE_CLAIMED, log_uuid("invocation_id", &note->run),
              log_int("slice", note->slice), log_int("attempt", note->claim->attempt),
              log_name("component", component_of(note)));
}

static void say_lost(struct worker_notes *n, const struct pool_note *note)
{
    count_slice(n, note, "lost");
    log_event(n->log, EV_SLICE_LOST, log_uuid("invocation_id", &note->run),
              log_int("slice", note->slice), log_name("component", component_of(note)),
              log_name("state", note->state));
}

static void say_settle_retried(struct worker_notes *n, const struct pool_note *note)
{
    log_event(n->log, EV_SETTLE_RETRIED, log_uuid("invocation_id", &note->run),
              log_int("slice", note->slice), log_name("component", component_of(note)),
              LOG_ERR(note->err));
}

static void say_redelivered(struct worker_notes *n, const struct pool_note *note)
{
    metrics_add(n->metrics, METRIC_REDELIVERIES, NULL, NULL, 1);
    count_slice(n, note, "redelivered");
    say(n, EV_SLICE_REDELIVERED, note);
}

void worker_notes_pool(struct worker_notes *n, const struct pool_note *note)
{
    switch (note->kind) {
    case NOTE_CLAIMED:
        say_claimed(n, note);
        break;
    case NOTE_SETTLED:
        say_settled(n, note);
        break;
    case NOTE_WORKER_LOST:
        say_worker_lost(n, note);
        break;
    case NOTE_REDELIVERED:
        say_redelivered(n, note);
        break;
    case NOTE_LOST:
        say_lost(n, note);
        break;
    case NOTE_RELEASED:
        count_slice(n, note, "released");
        break;
    case NOTE_SETTLE_RETRIED:
        say_settle_retried(n, note);
        break;
    case NOTE_CLAIM_FAILED:
        worker_notes_database(n, "claim_slice", note->err);
        break;
    case NOTE_ENGINE_CLOSED:
        log_event(n->log, EV_ENGINE_CLOSED, log_name("engine", n->engine_names[note->engine]),
                  log_int("outage_ms", note->outage_ms));
        break;
    case NOTE_ENGINE_OPEN:
        log_event(n->log, EV_ENGINE_OPEN, log_name("engine", n->engine_names[note->engine]));
        break;
    }
}

void worker_notes_call(struct worker_notes *n, int engine, const struct answer *a,
                       int64_t duration_us)
{
    const char *result = a->ok ? "ok" : a->refused ? "refused" : err_class_name(a->cls);
    metrics_add(n->metrics, METRIC_ENGINE_REQUESTS, n->engine_names[engine], result, 1);
    metrics_observe(n->metrics, METRIC_ENGINE_DURATION, (double)duration_us / 1000000);
}

void worker_notes_judge(struct worker_notes *n, int engine, const struct settle_answer *a,
                        int64_t duration_us)
{
    bool ok = a->result == SETTLE_DONE || a->result == SETTLE_NOT_OPEN;
    metrics_add(n->metrics, METRIC_ENGINE_REQUESTS, n->engine_names[engine],
                ok ? "ok" : err_class_name(a->err.cls), 1);
    metrics_observe(n->metrics, METRIC_ENGINE_DURATION, (double)duration_us / 1000000);
}

void worker_notes_dead_letter(struct worker_notes *n, const char *topic, int32_t partition,
                              int64_t offset, const char *reason)
{
    metrics_add(n->metrics, METRIC_DEAD_LETTERS, reason, NULL, 1);
    log_event(n->log, EV_DEAD_LETTER, log_name("topic", topic), log_int("partition", partition),
              log_int("offset", offset), log_name("reason", reason));
}

void worker_notes_numbers(struct worker_notes *n, int engine, const struct pool_numbers *numbers,
                          int in_flight)
{
    const char *name = n->engine_names[engine];
    metrics_set(n->metrics, METRIC_ENGINE_SHARE, name, NULL, numbers->share);
    metrics_set(n->metrics, METRIC_ENGINE_CURRENT, name, NULL, numbers->current);
    metrics_set(n->metrics, METRIC_ENGINE_IS_CLOSED, name, NULL, numbers->closed);
    metrics_set(n->metrics, METRIC_ENGINE_IN_FLIGHT, NULL, NULL, in_flight);
}

void worker_notes_database(struct worker_notes *n, const char *what, const struct err *err)
{
    int64_t now = clock_mono_ms();
    if (n->database_said_ms != 0 && now - n->database_said_ms < LOG_DATABASE_AGAIN_MS)
        return;
    n->database_said_ms = now;
    log_event(n->log, EV_DATABASE_ERROR, log_name("what", what), LOG_ERR(err));
}

void worker_notes_broker(struct worker_notes *n, const struct err *err)
{
    log_failure(n->log, EV_BROKER_ERROR, err);
}

struct worker_notes *worker_notes_new(struct log *log, struct metrics *metrics,
                                      const char *const *engine_names, struct err *err)
{
    struct worker_notes *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        (void)err_errno(err, "worker notes");
        return NULL;
    }
    *n = (struct worker_notes){.log = log, .metrics = metrics, .engine_names = engine_names};
    return n;
}

void worker_notes_free(struct worker_notes *n)
{
    free(n);
}
