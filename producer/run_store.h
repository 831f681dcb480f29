/* The core's calls of the SQL functions: one statement each, its answer handed back to the core.
 * A statement that cannot even be queued is answered as failed in the loop's next turn, never from
 * within the call. Knows neither Kafka nor HTTP, and decides nothing. */
#ifndef REVEILLE_RUN_STORE_H
#define REVEILLE_RUN_STORE_H

#include "core_wake.h"
#include "db.h"
#include "err.h"
#include "log.h"
#include "loop.h"
#include "run_core.h"

struct run_store;

struct run_store_config { /* borrowed for its life, texts too */
    struct loop *loop;
    struct db *db;
    struct log *log;
    struct core_wake *wake;
    const char *holder; /* who leads: host:pid:random */
    const char *topic_prefix;
    int page_size; /* where the job's row names none */
    int stale_ms;  /* a claim not renewed for so long is stale: the workers' session timeout */
    /* Told a run's age, in the database's clock, before the core is told that it is ours. */
    void (*on_age)(void *arg, const struct uuid *run, int64_t age_ms);
    void *arg;
};

struct run_store *run_store_new(const struct run_store_config *cfg, struct err *err);
/* Forgets what is under way; call it after db is freed. */
void run_store_free(struct run_store *s);

/* As the ops of the same names in run_core.h. */
void run_store_open(struct run_store *s);
void run_store_plan(struct run_store *s, struct lead_ref ref, const struct opened_run *run,
                    int pages);
void run_store_draw(struct run_store *s, struct lead_ref ref, const struct uuid *run, int after,
                    int limit);
void run_store_note_published(struct run_store *s, struct lead_ref ref, const struct uuid *run,
                              const int32_t *slices, const int64_t *offsets, int n);
void run_store_progress(struct run_store *s, struct lead_ref ref, const struct uuid *run);
void run_store_overdue(struct run_store *s, struct lead_ref ref, const struct uuid *run, int limit);
void run_store_renew(struct run_store *s, struct lead_ref ref, const struct opened_run *run);
void run_store_close(struct run_store *s, struct lead_ref ref, const struct opened_run *run);
void run_store_fail(struct run_store *s, struct lead_ref ref, const struct opened_run *run,
                    const char *why);
void run_store_give_up(struct run_store *s, struct lead_ref ref, const struct opened_run *run);

#endif
