/* One HTTP/1.1 request out of the bytes a client sent: request line, the four headers that matter
 * here, a body of known length. Not a full parser: no chunked bodies, no continuation lines, no
 * bare line feeds; what it does not know it refuses. Does no I/O and keeps nothing. */
#ifndef REVEILLE_SCRIPTED_ENGINE_REQUEST_H
#define REVEILLE_SCRIPTED_ENGINE_REQUEST_H

#include "scripted_engine_text.h"

#include <stdbool.h>
#include <stddef.h>

/* Every text is borrowed from the bytes that were parsed. */
struct request {
    struct text method;
    struct text path;          /* without the query */
    struct text authorization; /* absent where the client sent none; so the next */
    struct text key;           /* Idempotency-Key */
    struct text body;
    bool keep_alive;
    size_t length; /* of the whole request: where the next one begins */
};

enum request_state {
    REQUEST_PART,  /* more bytes are needed */
    REQUEST_WHOLE, /* *ret_request is filled */
    REQUEST_BAD    /* *ret_status is what to answer: 400, 411, 413, 501; then close */
};

enum request_state request_parse(const char *bytes, size_t len, struct request *ret_request,
                                 int *ret_status);

#endif
