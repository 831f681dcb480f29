/* GET /livez, /readyz and /metrics of a worker: for orchestrators and Prometheus. No secret, so it
 * listens where METRICS_ADDRESS says and shows nothing but numbers and names. */
#ifndef REVEILLE_WORKER_HEALTH_H
#define REVEILLE_WORKER_HEALTH_H

#include "err.h"
#include "loop.h"
#include "metrics.h"

#include <stdbool.h>

struct worker_health;

struct worker_health_config {
    const char *address;     /* port 0: chosen */
    struct metrics *metrics; /* borrowed */
    bool (*is_ready)(void *arg);
    void (*refresh)(void *arg); /* before each scrape: gauges to their values */
    void *arg;
};

struct worker_health *worker_health_new(struct loop *loop, const struct worker_health_config *cfg,
                                        struct err *err);
void worker_health_free(struct worker_health *h);
const char *worker_health_address(const struct worker_health *h); /* lent */

#endif
