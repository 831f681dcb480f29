/* One request: what a handler sees of it, and the headers of its answer. Not the connection it came
 * on (http_server.c), nor whether it is one request (http_framing.c). */
#include "http_internal.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fills path, query and body; false: they do not decode, or there is no memory. */
static bool request_read(struct http_request *req)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req->ev);
    const char *path = evhttp_uri_get_path(uri);
    const char *query = evhttp_uri_get_query(uri);
    struct evbuffer *body = evhttp_request_get_input_buffer(req->ev);
    size_t len = 0;

    req->path = evhttp_uridecode(path != NULL && *path != '\0' ? path : "/", 0, &len);
    if (req->path == NULL || strlen(req->path) != len) {
        return false;
    }
    if (query != NULL && *query != '\0' && evhttp_parse_query_str(query, &req->query) != 0) {
        return false;
    }
    req->body_len = evbuffer_get_length(body);
    if (evbuffer_add(body, "", 1) != 0) {
        return false;
    }
    req->body = (const char *)evbuffer_pullup(body, -1);
    return req->body != NULL;
}

struct http_request *http_request_new(struct http_requests *list, struct evhttp_request *ev)
{
    struct http_request *req = calloc(1, sizeof(*req));

    if (req == NULL) {
        return NULL;
    }
    *req = (struct http_request){.list = list, .ev = ev};
    TAILQ_INIT(&req->query);
    TAILQ_INSERT_TAIL(list, req, link);
    if (!request_read(req)) {
        http_request_free(req);
        return NULL;
    }
    return req;
}

void http_request_free(struct http_request *req)
{
    TAILQ_REMOVE(req->list, req, link);
    evhttp_clear_headers(&req->query);
    free(req->path);
    free(req);
}

/* ---- what a handler sees ------------------------------------------------------------------- */

enum http_method http_method_of(const struct http_request *req)
{
    switch ((int)evhttp_request_get_command(req->ev)) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD: /* answered like a GET, and http_reply leaves the body out */
        return HTTP_GET;
    case EVHTTP_REQ_POST:
        return HTTP_POST;
    case EVHTTP_REQ_PATCH:
        return HTTP_PATCH;
    default:
        return HTTP_OTHER;
    }
}

const char *http_path(const struct http_request *req)
{
    return req->path;
}

const char *http_query(const struct http_request *req, const char *name)
{
    return evhttp_find_header(&req->query, name);
}

const char *http_header(const struct http_request *req, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(req->ev), name);
}

const char *http_body(const struct http_request *req, size_t *ret_len)
{
    *ret_len = req->body_len;
    return req->body;
}

void http_on_gone(struct http_request *req, void (*fn)(void *arg), void *arg)
{
    req->on_gone = fn;
    req->on_gone_arg = arg;
}

int http_request_put_headers(struct evhttp_request *ev, const char *content_type, size_t len,
                             bool closing, const char *const *headers)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(ev);
    char length[24];

    for (; headers != NULL && headers[0] != NULL; headers += 2) {
        if (evhttp_add_header(out, headers[0], headers[1]) != 0) {
            return -1;
        }
    }
    if (content_type != NULL && evhttp_add_header(out, "Content-Type", content_type) != 0) {
        return -1;
    }
    if (evhttp_request_get_command(ev) == EVHTTP_REQ_HEAD) { /* evhttp states it for others only */
        (void)snprintf(length, sizeof(length), "%zu", len);
        if (evhttp_add_header(out, "Content-Length", length) != 0) {
            return -1;
        }
    }
    return closing ? evhttp_add_header(out, "Connection", "close") : 0;
}
