/* libcurl's multi handle on our loop: sockets, the one timer, what has ended. Knows nothing of what
 * is asked or answered; http_calls.c is its only user. */
#ifndef REVEILLE_HTTP_WIRE_H
#define REVEILLE_HTTP_WIRE_H

#include "err.h"
#include "loop.h"

#include <curl/curl.h>

struct http_wire;

/* A transfer has ended and is out of the wire already: its handle may be used again, also for
 * http_wire_add from within. */
typedef void (*http_wire_fn)(void *arg, CURL *easy, CURLcode code);

struct http_wire *http_wire_new(struct loop *loop, http_wire_fn on_end, void *arg, struct err *err);
/* Closes the connections kept. Every handle must be out (http_wire_remove, or ended). */
void http_wire_free(struct http_wire *w);

/* To be called once for each handle before its first transfer: how it opens and closes sockets. */
int http_wire_adopt(struct http_wire *w, CURL *easy, struct err *err) MUST_CHECK;

/* Starts a transfer in the next turn of the loop; the handle stays the caller's, and in the wire
 * until on_end or http_wire_remove. */
int http_wire_add(struct http_wire *w, CURL *easy, struct err *err) MUST_CHECK;
void http_wire_remove(struct http_wire *w, CURL *easy); /* its transfer is given up: no on_end */

#endif
