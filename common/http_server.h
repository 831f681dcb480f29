/* HTTP in: evhttp on the loop, with caps of our own (limits.h): header and body size, connections,
 * and a deadline for reading a whole request, which evhttp does not have. Knows no routes.
 * TLS when a certificate is given. Malformed requests are answered by the parser (400, 413). */
#ifndef REVEILLE_HTTP_SERVER_H
#define REVEILLE_HTTP_SERVER_H

#include "err.h"
#include "loop.h"

#include <stdbool.h>
#include <stddef.h>

struct http_server;
struct http_request;

struct http_server_config {
    const char *address;              /* "127.0.0.1:8790", "[::1]:0"; port 0: chosen */
    const char *cert_file, *key_file; /* NULL: plain HTTP */
};

/* Called once for each whole request, which the handler answers now or later, exactly once, by
 * http_reply. The request stays valid until then, also when the client goes away meanwhile. */
typedef void (*http_handler_fn)(void *arg, struct http_request *req);

struct http_server *http_server_new(struct loop *loop, const struct http_server_config *cfg,
                                    http_handler_fn fn, void *arg, struct err *err);
void http_server_free(struct http_server *s); /* open requests are closed without an answer */
const char *http_server_address(const struct http_server *s); /* "127.0.0.1:43121", lent */
/* Stops listening and closes idle connections; open requests can still be answered. */
void http_server_stop_accepting(struct http_server *s);
int http_server_open_requests(const struct http_server *s);

enum http_method { HTTP_GET, HTTP_POST, HTTP_PATCH, HTTP_OTHER };
enum http_method http_method_of(const struct http_request *req);
const char *http_path(const struct http_request *req); /* decoded, no query; lent until reply */
/* The value of a query parameter, decoded; NULL: none. Lent until the reply. */
const char *http_query(const struct http_request *req, const char *name);
const char *http_header(const struct http_request *req, const char *name); /* NULL: none */
const char *http_body(const struct http_request *req, size_t *ret_len);    /* zero-terminated */
/* Called at most once, when the client goes away before the reply; NULL takes it back. */
void http_on_gone(struct http_request *req, void (*fn)(void *arg), void *arg);

/* For a handler's own answers. Headers are name/value pairs, NULL-terminated; may be NULL. body may
 * be NULL with len 0. Ends the request: req is gone after the call. */
void http_reply(struct http_request *req, int status, const char *content_type, const char *body,
                size_t len, const char *const *headers);

#endif
