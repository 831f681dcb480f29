/* What the tests of the producer's HTTP answers share: a server of the test's own, whose handler
 * answers as the test's case says, and one client that reads whole answers. Routes are not here. */
#ifndef REVEILLE_API_WORLD_H
#define REVEILLE_API_WORLD_H

#include "http_world.h"

#include "api_query.h"
#include "api_reply.h"
#include "db.h"
#include "limits.h"

#include <jansson.h>

struct bench {
    struct world w; /* its server is ours */
    void (*answer)(struct bench *b, struct http_request *req);
    int i; /* which case, for answer */
    struct db *db;
    struct api_queries *queries;
    struct client c;
};

static inline void serve(void *arg, struct http_request *req)
{
    struct bench *b = arg;
    b->w.handled++;
    b->answer(b, req);
}

static inline void bench_open(struct bench *b,
                              void (*answer)(struct bench *b, struct http_request *req))
{
    struct http_server_config cfg = {.address = "127.0.0.1:0"};
    (void)signal(SIGPIPE, SIG_IGN);
    *b = (struct bench){.answer = answer, .w = {.loop = loop_new(NULL)}};
    b->w.server = http_server_new(b->w.loop, &cfg, serve, b, NULL);
    assert_non_null(b->w.server);
    b->c = client_open(&b->w);
}

static inline void bench_close(struct bench *b)
{
    client_close(&b->c);
    http_server_free(b->w.server);
    db_free(b->db);
    api_queries_free(b->queries);
    loop_free(b->w.loop);
}

static inline bool is_whole(void *arg)
{
    struct client *c = arg;
    client_read(c);
    const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "\r\nContent-Length:");
    return end != NULL && length != NULL && strlen(end + 4) == strtoul(length + 17, NULL, 10);
}

/* Asks once; b->c.in is the whole answer. Returns its status. */
static inline int ask(struct bench *b)
{
    client_forget(&b->c);
    client_say(&b->c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(until(&b->w, is_whole, &b->c, WAIT_MS));
    return atoi(b->c.in + strlen("HTTP/1.1 "));
}

static inline bool has_header(const struct bench *b, const char *line)
{
    char wanted[128];
    snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
    return strcasestr(b->c.in, wanted) != NULL;
}

/* Returns owned: the answer's body. */
static inline json_t *body_of(const struct bench *b)
{
    json_t *v = json_loads(strstr(b->c.in, "\r\n\r\n") + 4, 0, NULL);
    assert_non_null(v);
    return v;
}

#undef TEST /* of http_world.h: its server is not ours */
#define TEST(title, fn)             \
    {                               \
        title, fn, NULL, NULL, NULL \
    }

#endif
