/* The producer as a whole: every handle it has, how they are made, and how it ends. main.c makes
 * them in order and runs the loop; run_world.c joins the core to them.
 *
 * SIGTERM and SIGINT: drain (answer those who wait, hand the leases on) and leave with 0; a second
 * one leaves at once. SIGHUP: secrets and log level are read again. SIGKILL loses nothing. */
#ifndef REVEILLE_PRODUCER_H
#define REVEILLE_PRODUCER_H

#include "config.h"
#include "core_wake.h"
#include "db.h"
#include "err.h"
#include "incarnation.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "process.h"
#include "producer_notes.h"
#include "publisher.h"
#include "run_core.h"
#include "run_store.h"
#include "schema_gate.h"
#include "trigger_api.h"
#include "trigger_inbox.h"
#include "watchdog.h"

#define PRODUCER_MAGIC 0x50524F44u

struct producer {
    unsigned magic;
    int64_t started_ms;
    struct config *cfg;
    struct log *log;
    struct metrics *metrics;
    struct loop *loop;
    struct loop_timer *patience, *leave;
    struct process *process;
    struct db *db;      /* planning, progress, leases */
    struct db *http_db; /* HTTP's answers */
    struct run_core *core;
    struct core_wake *wake;
    struct producer_notes *notes;
    struct run_store *store;
    struct publisher *publisher;
    struct watchdog *watchdog;
    struct trigger_inbox *inbox;
    struct trigger_api *api;
    struct schema_gate *gate;
    char holder[INCARNATION_SIZE]; /* as the lease names us */
    bool said_ready, core_stopped;
    int exit_code;
};

/* Every handle NULL: producer_release is safe at any point. */
#define PRODUCER_INIT ((struct producer){.magic = PRODUCER_MAGIC})

/* What must be set for a producer: CONFIG when it is not. */
int producer_check(const struct config *cfg, struct err *err) MUST_CHECK;

/* The steps of the start, in this order; each needs those before it. */
int producer_open_log(struct producer *p, struct err *err) MUST_CHECK;
int producer_open_loop(struct producer *p, struct err *err) MUST_CHECK;  /* and signals */
int producer_open_links(struct producer *p, struct err *err) MUST_CHECK; /* to the database */
/* The core, and what it acts through. */
int producer_make_core(struct producer *p, struct err *err) MUST_CHECK;
/* LISTEN, HTTP, the wait for the schema. */
int producer_open_doors(struct producer *p, struct err *err) MUST_CHECK;

/* Reverse order, whatever was made. */
void producer_release(struct producer *p);

/* ---- for run_world.c: what the core tells ------------------------------------------------ */
void producer_core_stopped(struct producer *p);

#endif
