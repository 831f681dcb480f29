/* What no run's leader would see: firings that were missed, slots whose run failed, runs past
 * their deadline, alerts, when the secrets were last used, what cron's POSTs were answered. Any
 * number of producers look; the database decides which of them acts, and which one tells. Leads
 * no run, has no clock of its own: the core says when. */
#ifndef REVEILLE_WATCHDOG_H
#define REVEILLE_WATCHDOG_H

#include "core_wake.h"
#include "db.h"
#include "err.h"
#include "log.h"
#include "metrics.h"

struct watchdog;

struct watchdog_config { /* all borrowed for its life */
    struct db *db;
    struct log *log;
    struct metrics *metrics;
    struct core_wake *wake;
};

struct watchdog *watchdog_new(const struct watchdog_config *cfg, struct err *err);
/* Call it after db is freed: nothing may answer then. */
void watchdog_free(struct watchdog *w);

/* As the ops of the same names in run_core.h. A question that is still under way is not asked
 * again; one that fails is a log line, and is asked the next time. */
void watchdog_end_overdue(struct watchdog *w);
void watchdog_watch(struct watchdog *w);

#endif
