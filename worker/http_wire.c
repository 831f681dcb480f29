/* See http_wire.h.
 *
 * libcurl takes its socket out and puts it in again for every request on a kept-alive connection. A
 * watch that followed would cost two system calls a request; so a socket stays watched when curl
 * wants nothing of it, and is really let go when it is closed, or when it fires unwanted (the other
 * side closed it). That holds only for sockets that curl opens and closes through us: of others,
 * such as its resolver's, we do not hear when they are closed, and their watch follows at once. */
#include "http_wire.h"

#include "attrs.h"
#include "limits.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WIRE_MAGIC 0x77697265u
#define SOCK_MAGIC 0x736f636bu

struct sock {
    unsigned magic;
    struct http_wire *wire;
    int fd;
    bool ours;                /* opened and closed through us */
    unsigned wanted, watched; /* LOOP_READ, LOOP_WRITE */
    struct loop_fd *watch;    /* NULL: none */
};

struct http_wire {
    unsigned magic;
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    bool look_at_all; /* when the timer fires */
    http_wire_fn on_end;
    void *arg;
    struct sock **socks; /* by descriptor; owned */
    size_t sock_count;
};

/* ---- what has ended ---------------------------------------------------------------------- */

static void tell_ended(struct http_wire *w)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(w->multi, &left)) != NULL) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURL *easy = m->easy_handle; /* m is gone with the removal */
        CURLcode code = m->data.result;
        (void)curl_multi_remove_handle(w->multi, easy); /* fails only for a handle not in it */
        w->on_end(w->arg, easy, code);
    }
}

/* Each transfer has its own code. When the multi handle itself has no memory, or we had none for
 * its sockets, it says neither when nor about what to call it: then all are looked at, a little
 * later. */
static void tell_acted(struct http_wire *w, CURLMcode code)
{
    if (code != CURLM_OK) {
        w->look_at_all = true;
        loop_timer_arm(w->timer, ENGINE_ANSWER_AGAIN_MS);
    }
    tell_ended(w);
}

static void act(struct http_wire *w, curl_socket_t fd, int events)
{
    int running;
    bool all = fd == CURL_SOCKET_TIMEOUT && w->look_at_all;
    w->look_at_all = w->look_at_all && !all;
    tell_acted(w, all ? curl_multi_perform(w->multi, &running)
                      : curl_multi_socket_action(w->multi, fd, events, &running));
}

/* ---- sockets ----------------------------------------------------------------------------- */

static struct sock *sock_at(const struct http_wire *w, int fd)
{
    return fd >= 0 && (size_t)fd < w->sock_count ? w->socks[fd] : NULL;
}

static bool make_room(struct http_wire *w, int fd)
{
    size_t n = w->sock_count > 0 ? w->sock_count : 64;
    while (n <= (size_t)fd)
        n *= 2;
    if (n == w->sock_count)
        return true;
    struct sock **socks = realloc(w->socks, n * sizeof(*socks));
    if (socks == NULL)
        return false;
    for (size_t i = w->sock_count; i < n; i++)
        socks[i] = NULL;
    w->socks = socks;
    w->sock_count = n;
    return true;
}

/* NULL when there is no memory. */
static struct sock *sock_get(struct http_wire *w, int fd)
{
    struct sock *s = sock_at(w, fd);
    if (s != NULL)
        return s;
    if (fd < 0 || !make_room(w, fd))
        return NULL;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->magic = SOCK_MAGIC;
    s->wire = w;
    s->fd = fd;
    w->socks[fd] = s;
    return s;
}

static void sock_free(struct sock *s)
{
    if (s == NULL)
        return;
    s->wire->socks[s->fd] = NULL;
    loop_fd_free(s->watch);
    free(s);
}

static void sock_ready(void *arg, unsigned ready);

static int sock_watch(struct sock *s, unsigned interest)
{
    if (s->watch == NULL && interest != 0)
        s->watch = loop_fd_new(s->wire->loop, s->fd, interest, sock_ready, s, NULL);
    else if (s->watch != NULL && interest != s->watched && loop_fd_set(s->watch, interest, NULL))
        return -1;
    if (s->watch == NULL && interest != 0)
        return -1;
    s->watched = interest;
    return 0;
}

static void sock_ready(void *arg, unsigned ready)
{
    struct sock *s = CHECK_MAGIC(struct sock, arg, SOCK_MAGIC);
    struct http_wire *w = s->wire;
    unsigned asked = ready & s->wanted;
    if ((ready & ~s->wanted) != 0)
        (void)sock_watch(s, s->wanted); /* if that fails it fires again, and we are here again */
    if (asked == 0)
        return;
    act(w, s->fd,
        (asked & LOOP_READ ? CURL_CSELECT_IN : 0) | /* s may be gone after this */
            (asked & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

/* ---- what curl calls --------------------------------------------------------------------- */

/* -1 makes curl give up the transfers that are under way: there is no memory to watch them. */
static int curl_wants(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *none UNUSED)
{
    struct http_wire *w = CHECK_MAGIC(struct http_wire, arg, WIRE_MAGIC);
    struct sock *s = what == CURL_POLL_REMOVE ? sock_at(w, fd) : sock_get(w, fd);
    if (s == NULL)
        return what == CURL_POLL_REMOVE ? 0 : -1;
    s->wanted = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
    if (what == CURL_POLL_REMOVE && !s->ours) {
        sock_free(s);
        return 0;
    }
    /* a watch for reading stays; one for writing would fire at once */
    return sock_watch(s, s->wanted | (s->watched & LOOP_READ));
}

static int curl_wants_time(CURLM *multi UNUSED, long ms, void *arg)
{
    struct http_wire *w = CHECK_MAGIC(struct http_wire, arg, WIRE_MAGIC);
    if (w->look_at_all && (ms < 0 || ms > ENGINE_ANSWER_AGAIN_MS))
        return 0; /* the timer is needed sooner */
    if (ms < 0)
        loop_timer_disarm(w->timer);
    else
        loop_timer_arm(w->timer, ms);
    return 0;
}

static curl_socket_t curl_opens(void *arg, curlsocktype purpose UNUSED, struct curl_sockaddr *to)
{
    struct http_wire *w = CHECK_MAGIC(struct http_wire, arg, WIRE_MAGIC);
    int fd = socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    sock_free(sock_at(w, fd)); /* of a descriptor that was closed behind our back */
    struct sock *s = sock_get(w, fd);
    if (s == NULL) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    s->ours = true;
    return fd;
}

static int curl_closes(void *arg, curl_socket_t fd)
{
    struct http_wire *w = CHECK_MAGIC(struct http_wire, arg, WIRE_MAGIC);
    sock_free(sock_at(w, fd));
    return close(fd);
}

static void timer_fired(void *arg)
{
    act(CHECK_MAGIC(struct http_wire, arg, WIRE_MAGIC), CURL_SOCKET_TIMEOUT, 0);
}

/* ---- life -------------------------------------------------------------------------------- */

static int refused(const char *what, struct err *err)
{
    return err_set(err, ERR_SYSTEM, "curl", "libcurl refused %s", what);
}

static int set_up_multi(struct http_wire *w, struct err *err)
{
    if (curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, curl_wants) != CURLM_OK ||
        curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w) != CURLM_OK ||
        curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, curl_wants_time) != CURLM_OK ||
        curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w) != CURLM_OK ||
        curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)ENGINE_CONNECTIONS_KEPT) !=
            CURLM_OK ||
        curl_multi_setopt(w->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK)
        return refused("a multi handle's option", err);
    return 0;
}

struct http_wire *http_wire_new(struct loop *loop, http_wire_fn on_end, void *arg, struct err *err)
{
    struct http_wire *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        (void)err_errno(err, "http wire");
        return NULL;
    }
    w->magic = WIRE_MAGIC;
    w->loop = loop;
    w->on_end = on_end;
    w->arg = arg;
    w->timer = loop_timer_new(loop, timer_fired, w, err);
    if (w->timer == NULL)
        goto fail;
    w->multi = curl_multi_init();
    if (w->multi == NULL) {
        (void)refused("a multi handle", err);
        goto fail;
    }
    if (set_up_multi(w, err))
        goto fail;
    return w;
fail:
    http_wire_free(w);
    return NULL;
}

void http_wire_free(struct http_wire *w)
{
    if (w == NULL)
        return;
    (void)curl_multi_cleanup(w->multi); /* closes its connections through curl_closes; takes NULL */
    for (size_t i = 0; i < w->sock_count; i++)
        sock_free(w->socks[i]);
    loop_timer_free(w->timer);
    free(w->socks);
    free(w);
}

int http_wire_adopt(struct http_wire *w, CURL *easy, struct err *err)
{
    if (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, curl_opens) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, w) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, curl_closes) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, w) != CURLE_OK)
        return refused("a socket's option", err);
    return 0;
}

int http_wire_add(struct http_wire *w, CURL *easy, struct err *err)
{
    CURLMcode code = curl_multi_add_handle(w->multi, easy);
    return code == CURLM_OK ? 0 : refused("a transfer", err);
}

void http_wire_remove(struct http_wire *w, CURL *easy)
{
    (void)curl_multi_remove_handle(w->multi, easy); /* fails only for a handle not in it */
}
