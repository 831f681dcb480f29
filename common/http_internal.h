/* What the HTTP server's three files share; nobody else includes it. http_server.c has connections
 * and the server, http_request.c one request, http_listen.c socket and certificate. */
#ifndef REVEILLE_HTTP_INTERNAL_H
#define REVEILLE_HTTP_INTERNAL_H

#include "http_server.h"

#include <event2/keyvalq_struct.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

struct conn;
struct evhttp_request;

TAILQ_HEAD(http_requests, http_request);

struct http_request {
    TAILQ_ENTRY(http_request) link;
    struct http_requests *list; /* of all that the server has handed out */
    struct http_server *server;
    struct conn *conn;         /* NULL: the client is gone, and ev is ours alone */
    struct evhttp_request *ev; /* evhttp's while conn is there */
    char *path;
    struct evkeyvalq query;
    const char *body; /* inside ev, zero-terminated */
    size_t body_len;
    void (*on_gone)(void *arg);
    void *on_gone_arg;
};

/* Returns owned, and in the list, with path, query and body read; server and conn are the caller's
 * to set. NULL: they do not decode, or there is no memory. */
struct http_request *http_request_new(struct http_requests *list, struct evhttp_request *ev);
void http_request_free(struct http_request *req); /* out of the list; leaves ev alone */

/* The answer's headers. -1: no memory, or a value with a line break in it. */
int http_request_put_headers(struct evhttp_request *ev, const char *content_type, size_t len,
                             bool closing, const char *const *headers) MUST_CHECK;

#define HTTP_ADDRESS_SIZE 64 /* "[", an IPv6 address, "]:65535" */

/* A listening socket that the caller closes, or -1 with CONFIG or SYSTEM; its address with the port
 * that the system chose. */
int http_listen(const char *address, char ret_address[HTTP_ADDRESS_SIZE], struct err *err);

/* Returns owned; NULL with CONFIG when certificate or key cannot be used. */
SSL_CTX *http_tls_new(const struct http_server_config *cfg, struct err *err);

#endif
