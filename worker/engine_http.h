/* The engine over HTTP: one POST a subject to the trigger engine (design 7). How a call runs and
 * what its end means is http_calls.c's; answers' bytes are read by engine_http_answer.c. */
#ifndef REVEILLE_ENGINE_HTTP_H
#define REVEILLE_ENGINE_HTTP_H

#include "engine.h"
#include "err.h"
#include "loop.h"

#include <stddef.h>

struct engine_http_config {
    const char *url;    /* http or https; copied */
    int64_t timeout_ms; /* one call, from connecting to the whole answer */
};

/* Fills *ret_engine, whose free gives everything back. on_answer is called from the loop. CONFIG
 * for a URL that is none. */
int engine_http_new(struct loop *loop, const struct engine_http_config *cfg,
                    engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                    struct err *err) MUST_CHECK;

/* Sends `Authorization: Bearer KEY` from the next call on; NULL: nothing. As
 * http_calls_set_token. */
int engine_http_set_key(struct engine *engine, const char *key, struct err *err) MUST_CHECK;

#endif
