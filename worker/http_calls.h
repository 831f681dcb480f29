/* Calls over HTTP for an engine: one request a subject and exactly one answer to each, the bearer
 * token, and what the end of a call means. Not what is asked, nor how a good answer is read: that
 * is each engine's own (struct http_calls_kind).
 *
 * HTTP/1.1 with connections kept, no redirects, no compression, no proxy from the environment: the
 * token goes to the engine's URL and nowhere else. */
#ifndef REVEILLE_HTTP_CALLS_H
#define REVEILLE_HTTP_CALLS_H

#include "buf.h"
#include "engine.h"
#include "err.h"
#include "loop.h"

#include <stddef.h>

#define HTTP_ASK_LINES 2
#define HTTP_LINE_MAX 256 /* an idempotency key's line is 150: job, day, hash and subject */

/* One request, lent to the kind to write. */
struct http_ask {
    struct buf *url; /* holds the engine's URL; may be appended to */
    struct buf *body;
    char lines[HTTP_ASK_LINES][HTTP_LINE_MAX]; /* headers "Name: value" of this call; "": none */
    bool nothing;                              /* set: no request is made, nothing is due */
};

/* What makes an engine over HTTP another one than the next. Static; lent for good. */
struct http_calls_kind {
    const char *engine;                /* its name */
    const char *method;                /* "POST", "PATCH" */
    const char *const *headers;        /* of every call, "Name: value"; NULL after the last */
    const char *url_name, *token_name; /* the variables, for error texts */
    /* Writes the request about that subject. A failure is answered as a network_error. */
    int (*ask)(const struct engine_call *call, const struct uuid *subject, struct http_ask *ask,
               struct err *err);
    /* Reads an answer with a status below 300, about `asked`. Returns owned; NULL only when memory
     * runs out: then it is called again. */
    struct answer *(*read)(long status, const char *bytes, size_t len, const struct uuid *asked);
};

struct http_calls_config {
    const struct http_calls_kind *kind;
    const char *url;    /* http or https; copied */
    int64_t timeout_ms; /* one call, from connecting to the whole answer */
};

/* Fills *ret_engine, whose free gives everything back. on_answer is called from the loop. CONFIG
 * for a URL that is none. */
int http_calls_new(struct loop *loop, const struct http_calls_config *cfg,
                   engine_answer_fn on_answer, void *arg, struct engine *ret_engine,
                   struct err *err) MUST_CHECK;

/* Whether http_calls_new made it. */
bool http_calls_made(const struct engine *engine);

/* Sends `Authorization: Bearer TOKEN` from the next call on; NULL: nothing. The token is copied,
 * and wiped when it is replaced or freed. CONFIG for one that does not fit into a header: then the
 * old one stays. */
int http_calls_set_token(struct engine *engine, const char *token, struct err *err) MUST_CHECK;

#endif
