/* The engine over HTTP: one POST a subject to the trigger engine (design 7), and what its end
 * means.
 *
 * HTTP/1.1 with connections kept, no redirects, no compression, no proxy from the environment: the
 * key goes to this URL and nowhere else. Answers' bytes are read by engine_http_answer.c. */
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

/* Sends `Authorization: Bearer KEY` from the next call on; NULL: nothing. The key is copied, and
 * wiped when it is replaced or freed. CONFIG for a key that does not fit into a header: then the
 * old one stays. */
int engine_http_set_key(struct engine *engine, const char *key, struct err *err) MUST_CHECK;

#endif
