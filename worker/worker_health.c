/* See worker_health.h. */
#include "worker_health.h"

#include "attrs.h"
#include "buf.h"
#include "http_server.h"
#include "limits.h"

#include <stdlib.h>
#include <string.h>

#define HEALTH_MAGIC 0x686c7468u

struct worker_health {
    unsigned magic;
    struct worker_health_config cfg;
    struct http_server *server;
};

static void reply_text(struct http_request *req, int status, const char *text)
{
    http_reply(req, status, "text/plain; charset=utf-8", text, strlen(text), NULL);
}

/* That it answers at all is the answer: the loop turns. */
static void livez(struct worker_health *h UNUSED, struct http_request *req)
{
    reply_text(req, 200, "ok\n");
}

static void readyz(struct worker_health *h, struct http_request *req)
{
    bool ready = h->cfg.is_ready(h->cfg.arg);
    reply_text(req, ready ? 200 : 503, ready ? "ready\n" : "not ready\n");
}

static void metrics(struct worker_health *h, struct http_request *req)
{
    struct buf text;
    buf_init(&text, METRICS_TEXT_MAX);
    h->cfg.refresh(h->cfg.arg);
    if (metrics_render(h->cfg.metrics, &text, NULL))
        reply_text(req, 500, "too many metrics\n");
    else
        http_reply(req, 200, METRICS_CONTENT_TYPE, text.data, text.len, NULL);
    buf_release(&text);
}

static const struct route {
    const char *path;
    void (*serve)(struct worker_health *h, struct http_request *req);
} routes[] = {
    {"/livez", livez},
    {"/readyz", readyz},
    {"/metrics", metrics},
};

static void serve(void *arg, struct http_request *req)
{
    static const char *const allow[] = {"Allow", "GET", NULL};
    struct worker_health *h = CHECK_MAGIC(struct worker_health, arg, HEALTH_MAGIC);
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (strcmp(http_path(req), routes[i].path) != 0)
            continue;
        if (http_method_of(req) == HTTP_GET)
            routes[i].serve(h, req);
        else
            http_reply(req, 405, NULL, NULL, 0, allow);
        return;
    }
    http_reply(req, 404, NULL, NULL, 0, NULL);
}

struct worker_health *worker_health_new(struct loop *loop, const struct worker_health_config *cfg,
                                        struct err *err)
{
    struct worker_health *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        (void)err_errno(err, "worker health");
        return NULL;
    }
    h->magic = HEALTH_MAGIC;
    h->cfg = *cfg;
    struct http_server_config server = {.address = cfg->address};
    h->server = http_server_new(loop, &server, serve, h, err);
    if (h->server == NULL) {
        worker_health_free(h);
        return NULL;
    }
    return h;
}

void worker_health_free(struct worker_health *h)
{
    if (h == NULL)
        return;
    http_server_free(h->server);
    free(h);
}

const char *worker_health_address(const struct worker_health *h)
{
    return http_server_address(h->server);
}
