/* The Dynamics engine: tells a Dynamics-style OData service which mentors were evaluated, one
 * upsert of a contact a subject, and has nothing to dispatch. Off (the default) it is the no-op
 * client: every subject is answered, nobody is called. How a call runs and what its end means is
 * http_calls.c's.
 *
 *   PATCH URL/contacts(reveille_mentorid='ID')
 *   {"reveille_mentorid": ID, "reveille_evaluatedon": "YYYY-MM-DD"}
 *
 * The same whether it is sent once or five times, so it needs no idempotency key. 204, 201 and 200
 * are good. A shadow run calls nobody: a dry run cannot be asked for here. */
#ifndef REVEILLE_ENGINE_DYNAMICS_H
#define REVEILLE_ENGINE_DYNAMICS_H

#include "engine.h"
#include "err.h"
#include "loop.h"

#include <stdbool.h>
#include <stddef.h>

struct engine_dynamics_config {
    bool enabled;       /* false: the no-op client, and the rest may be NULL */
    const char *url;    /* http or https, without query and fragment; copied */
    const char *token;  /* copied */
    int64_t timeout_ms; /* one call, from connecting to the whole answer */
};

/* Fills *ret_engine, whose free gives everything back. on_answer is called from the loop. CONFIG,
 * naming the variable, for what is missing or cannot be used. */
int engine_dynamics_new(struct loop *loop, const struct engine_dynamics_config *cfg,
                        engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                        struct err *err) MUST_CHECK;

/* Another token from the next call on, as http_calls_set_token; nothing while it is off. */
int engine_dynamics_set_token(struct engine *engine, const char *token, struct err *err) MUST_CHECK;

/* Whether it is the no-op client. */
bool engine_dynamics_is_off(const struct engine *engine);

#endif
