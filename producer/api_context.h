/* What the handlers of trigger_api share; nothing of it is theirs. A handler gets a request that
 * was let in (its secret is strong enough, its body is JSON by its header) and answers it, now or
 * later. */
#ifndef REVEILLE_API_CONTEXT_H
#define REVEILLE_API_CONTEXT_H

#include "api_auth.h"
#include "api_query.h"
#include "api_wait.h"
#include "core_wake.h"

struct api_context {
    struct log *log;
    struct api_queries *queries;
    struct api_waits *waits;
    struct core_wake *wake;
    bool development;     /* manual runs with the scheduler's secret */
    int64_t threshold_ms; /* TIMEOUT_THRESHOLD_MS */
};

/* What a path named. */
struct api_path {
    char job[API_JOB_NAME_MAX + 1];
    struct uuid run, assignment;
};

typedef void (*api_handler_fn)(struct api_context *x, struct http_request *req,
                               const struct api_path *path, enum api_power power);

#endif
