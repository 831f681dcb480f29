/* What comes in over HTTP, byte for byte, to the server itself over a real socket. The first byte
 * says where the bytes are cut in two. Whatever they are: each request that is handed over is
 * answered, in order, nothing is answered behind a refusal, what is handed over keeps to its
 * bounds, and where a request ends does not depend on how its bytes arrive. */
#include "fuzz.h"

#include "http_framing.h"
#include "http_server.h"
#include "limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_MAX (1 << 20)
#define TURN_MS 1
#define TURNS_MAX 4000 /* no input may keep the server from its end for so long */

struct world {
    struct loop *loop;
    struct loop_timer *timer;
    struct http_server *server;
    unsigned handled;
    int fd, turns;
    bool eof;
    size_t len;
    char answers[ANSWERS_MAX + 1];
};

static void handle(void *arg, struct http_request *req)
{
    struct world *w = arg;
    size_t len;
    const char *body = http_body(req, &len);
    MUST(len <= HTTP_BODY_MAX && body[len] == '\0');
    MUST(http_path(req)[0] == '/' && strlen(http_path(req)) <= HTTP_HEADER_MAX);
    (void)http_query(req, "x");
    (void)http_header(req, "X-Scheduler-Secret");
    (void)http_method_of(req);
    w->handled++;
    http_reply(req, 200, "text/plain", "good", 4, NULL);
}

static void look(void *arg)
{
    struct world *w = arg;
    ssize_t n;
    while ((n = recv(w->fd, w->answers + w->len, ANSWERS_MAX - w->len, MSG_DONTWAIT)) > 0)
        w->len += (size_t)n;
    w->eof = n == 0 || w->len == ANSWERS_MAX;
    MUST(++w->turns < TURNS_MAX);
    if (w->eof)
        loop_stop(w->loop);
    else
        loop_timer_arm(w->timer, w->turns < 20 ? 0 : TURN_MS);
}

static struct world *world(void)
{
    static struct world w; /* libFuzzer has no place for it but this */
    struct http_server_config cfg = {.address = "127.0.0.1:0"};
    if (w.loop == NULL) {
        struct sigaction clock; /* libFuzzer's: it may strike while we connect */
        MUST(sigaction(SIGALRM, NULL, &clock) == 0);
        clock.sa_flags |= SA_RESTART;
        MUST(sigaction(SIGALRM, &clock, NULL) == 0);
        w.loop = loop_new(NULL);
        w.timer = loop_timer_new(w.loop, look, &w, NULL);
        w.server = http_server_new(w.loop, &cfg, handle, &w, NULL);
        MUST(w.server != NULL);
    }
    return &w;
}

static void open_client(struct world *w)
{
    const char *port = strrchr(http_server_address(w->server), ':') + 1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(w->fd >= 0);
    MUST(connect(w->fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    /* the connection leaves no port behind that waits for its time to pass */
    struct linger none = {.l_onoff = 1};
    MUST(setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) == 0);
}

/* Statuses in order; what is refused ends the connection. */
static void check_answers(struct world *w)
{
    unsigned good = 0;
    bool refused = false;
    w->answers[w->len] = '\0';
    for (const char *at = w->answers; (at = strstr(at, "HTTP/1.")) != NULL; at++) {
        MUST(!refused);
        const char *space = strchr(at, ' '); /* evhttp repeats the caller's version in a refusal */
        int status = space != NULL ? atoi(space) : 0;
        refused = status >= 400 && status <= 599;
        MUST(refused || status == 200 || status == 100);
        good += status == 200;
    }
    MUST(good <= w->handled); /* a client that has gone is not told */
}

static void check_framing(const char *bytes, size_t len, size_t cut, unsigned handled)
{
    struct http_framing whole = {0}, halves = {0};
    http_framing_read(&whole, bytes, len);
    http_framing_read(&halves, bytes, cut);
    http_framing_read(&halves, bytes + cut, len - cut);
    MUST(whole.whole == halves.whole && whole.state == halves.state);
    MUST(handled <= whole.whole); /* nothing is handed over that is not one request here, too */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = world();
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t len = size - 1, cut = len * data[0] / 256;
    w->handled = 0;
    w->turns = 0;
    w->len = 0;
    w->eof = false;
    open_client(w);
    (void)!send(w->fd, bytes, cut, MSG_NOSIGNAL);
    (void)!send(w->fd, bytes + cut, len - cut, MSG_NOSIGNAL);
    (void)shutdown(w->fd, SHUT_WR);
    loop_timer_arm(w->timer, 0);
    MUST(loop_run(w->loop, NULL) == 0);
    check_answers(w);
    check_framing(bytes, len, cut, w->handled);
    close(w->fd);
    return 0;
}
