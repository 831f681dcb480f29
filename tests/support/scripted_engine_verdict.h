/* What the engine does with a call, and when: mode, secret, limit, script, hashes and shares, in
 * that order (DESIGN.md). Decides only; answers and logs nothing. */
#ifndef REVEILLE_SCRIPTED_ENGINE_VERDICT_H
#define REVEILLE_SCRIPTED_ENGINE_VERDICT_H

#include "scripted_engine_body.h"
#include "scripted_engine_options.h"
#include "scripted_engine_request.h"
#include "scripted_engine_script.h"
#include "scripted_engine_why.h"

#include <stdbool.h>
#include <stdint.h>

struct verdict;

/* Loads the script and the expected secret. Borrows nothing from the options but their values. */
struct verdict *verdict_new(const struct options *options, struct why *why);
void verdict_free(struct verdict *v);

struct ruling {
    struct action action;
    int64_t delay_us; /* from the moment the call was read; of no meaning for ACTION_HANG */
};

/* ev is NULL for a body against the contract; in_flight counts this call. Uses up one action of the
 * mentor's script, so it is asked once a call. */
struct ruling verdict_rule(struct verdict *v, const struct request *req,
                           const struct evaluation *ev, int in_flight);

/* The most calls in flight that are not refused for their number. */
int verdict_limit(const struct verdict *v);

/* Takes latency and mode from the change; -1, nothing changed, if there is no such mode. */
int verdict_change(struct verdict *v, const struct change *change, struct why *why);

bool verdict_is_down(const struct verdict *v);

#endif
