/* The producer's HTTP: which paths there are, who may use them, in which order a request is
 * checked. 401 comes before everything else, then 404 and 405, then a power that is too small, then
 * 415; what is in the body is the handlers' business (api_ask, api_runs, api_jobs). No job logic.
 *
 * /livez, /readyz and /metrics need no secret. */
#ifndef REVEILLE_TRIGGER_API_H
#define REVEILLE_TRIGGER_API_H

#include "config.h"
#include "core_wake.h"
#include "db.h"
#include "err.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"

struct trigger_api;

struct trigger_api_config { /* all borrowed for its life */
    struct loop *loop;
    struct config *cfg;
    struct db *db; /* links of its own: a slow plan never makes a caller wait */
    struct log *log;
    struct metrics *metrics;
    struct core_wake *wake;
    /* What is still waited for, in a word; NULL: ready. */
    const char *(*not_ready)(void *arg);
    /* Called before the metrics are shown. */
    void (*refresh_metrics)(void *arg);
    void *arg;
};

/* Listens from now on. */
struct trigger_api *trigger_api_new(const struct trigger_api_config *cfg, struct err *err);
/* Open requests are closed without an answer. Call it after db is freed: nothing may answer then.
 */
void trigger_api_free(struct trigger_api *api);

const char *trigger_api_address(const struct trigger_api *api); /* lent */
bool trigger_api_is_tls(const struct trigger_api *api);

/* A run began or ended: those who wait for one are looked after at once. */
void trigger_api_run_moved(struct trigger_api *api);
/* A link to the database is up: from now on it is away for a while when there is none (503);
 * before, nothing can be said of it (500). */
void trigger_api_database_reached(struct trigger_api *api);
/* Looks at the secrets' files now. */
void trigger_api_refresh_secrets(struct trigger_api *api);
/* Takes nothing new, answers those who wait with what is known. */
void trigger_api_drain(struct trigger_api *api);
int trigger_api_open_requests(const struct trigger_api *api);

#endif
