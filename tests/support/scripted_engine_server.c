#include "scripted_engine_server.h"
#include "scripted_engine_limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* What an epoll event is about: a slot, or one of these. The upper half of its 64 bits is the
 * connection's serial number, so that an event of a closed one is not taken for its successor's. */
enum { TOKEN_LISTENER = SE_CONNECTIONS_MAX, TOKEN_TIMER, TOKEN_STOP, N_TOKENS };

struct slot {
    struct peer *peer; /* NULL: free */
    uint32_t serial;
};

struct server {
    struct desk *desk;
    struct calls *calls;
    struct timers *timers;
    int listener, epoll, timer;
    int port;
    int64_t armed; /* when the timer descriptor fires */
    bool stopping;
    int free_slots[SE_CONNECTIONS_MAX], n_free;
    struct slot slots[SE_CONNECTIONS_MAX];
};

static int64_t mono_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int watch(struct server *s, int fd, uint64_t token, uint32_t events, struct why *why)
{
    struct epoll_event ev = {.events = events, .data = {.u64 = token}};

    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) ? why_errno(why, "epoll_ctl") : 0;
}

static int start_listening(struct server *s, int port, struct why *why)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof(at);
    int on = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0)
        return why_errno(why, "a socket");
    if (setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(s->listener, (struct sockaddr *)&at, sizeof(at)) ||
        listen(s->listener, SE_CONNECTIONS_MAX) ||
        getsockname(s->listener, (struct sockaddr *)&at, &len))
        return why_errno(why, "listening");
    s->port = ntohs(at.sin_port);
    return watch(s, s->listener, TOKEN_LISTENER, EPOLLIN, why);
}

struct server *server_new(int port, struct desk *desk, struct calls *calls, struct timers *timers,
                          struct why *why)
{
    struct server *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        (void)why_errno(why, "a server");
        return NULL;
    }
    s->desk = desk;
    s->calls = calls;
    s->timers = timers;
    s->armed = TIMERS_NEVER;
    s->listener = s->epoll = s->timer = -1;
    for (int i = SE_CONNECTIONS_MAX - 1; i >= 0; i--)
        s->free_slots[s->n_free++] = i;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (s->epoll < 0 || s->timer < 0) {
        (void)why_errno(why, "epoll or timer");
        goto err1;
    }
    if (watch(s, s->timer, TOKEN_TIMER, EPOLLIN, why) || start_listening(s, port, why))
        goto err1;
    return s;

err1:
    server_free(s);
    return NULL;
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < SE_CONNECTIONS_MAX; i++)
        peer_free(s->slots[i].peer);
    if (s->listener >= 0)
        (void)close(s->listener);
    if (s->timer >= 0)
        (void)close(s->timer);
    if (s->epoll >= 0)
        (void)close(s->epoll);
    free(s);
}

int server_port(const struct server *s)
{
    return s->port;
}

/* Closes the slot's connection; an open call of it ends unanswered. */
static int leave(struct server *s, int slot, void (*closing)(struct peer *), struct why *why)
{
    int rc = desk_leave(s->desk, slot, mono_us(), why);

    closing(s->slots[slot].peer);
    s->slots[slot].peer = NULL;
    s->slots[slot].serial++;
    s->free_slots[s->n_free++] = slot;
    return rc;
}

static int leave_all_but(struct server *s, int kept, struct why *why)
{
    int rc = 0;

    for (int i = 0; i < SE_CONNECTIONS_MAX && rc == 0; i++)
        if (s->slots[i].peer != NULL && i != kept)
            rc = leave(s, i, peer_reset, why);
    return rc;
}

static int obey(struct server *s, int slot, enum desk_wish wish, struct why *why)
{
    switch (wish) {
    case DESK_KEEP:
        return 0;
    case DESK_CLOSE:
        return leave(s, slot, peer_free, why);
    case DESK_RESET:
        return leave(s, slot, peer_reset, why);
    case DESK_RESET_OTHERS:
        return leave_all_but(s, slot, why);
    case DESK_FAILED:
        break;
    }
    return -1;
}

/* A client that gave up a call and then made the next one must not be counted twice. Its hang-up
 * came before the new request, but its event may stand behind it: so the kernel is asked. */
static int reap_gone(struct server *s, struct why *why)
{
    struct pollfd asked[SE_CONNECTIONS_MAX];
    int slot_of[SE_CONNECTIONS_MAX];
    nfds_t n = 0;

    for (int i = 0; i < SE_CONNECTIONS_MAX; i++) {
        if (s->slots[i].peer != NULL && desk_busy(s->desk, i)) {
            slot_of[n] = i;
            asked[n++] = (struct pollfd){.fd = peer_fd(s->slots[i].peer), .events = POLLRDHUP};
        }
    }
    if (n == 0 || poll(asked, n, 0) <= 0)
        return 0;
    for (nfds_t i = 0; i < n; i++)
        if (asked[i].revents != 0 && leave(s, slot_of[i], peer_free, why))
            return -1;
    return 0;
}

/* Takes requests from the slot until one of them keeps it busy, or none is left. */
static int attend(struct server *s, int slot, struct why *why)
{
    struct peer *peer;
    struct request req;
    int status, rc = 0;

    while (rc == 0 && (peer = s->slots[slot].peer) != NULL && !desk_busy(s->desk, slot)) {
        switch (peer_request(peer, &req, &status)) {
        case PEER_NOTHING:
            return 0;
        case PEER_ENDED:
            return leave(s, slot, peer_free, why);
        case PEER_NONSENSE:
            rc = obey(s, slot, desk_nonsense(s->desk, peer, status), why);
            break;
        case PEER_REQUEST:
            if (desk_at_peak(s->desk) && reap_gone(s, why))
                return -1;
            rc = obey(s, slot, desk_request(s->desk, slot, peer, &req, mono_us(), why), why);
            break;
        }
    }
    return rc;
}

static int peer_event(struct server *s, int slot, uint32_t events, struct why *why)
{
    struct peer *peer = s->slots[slot].peer;
    bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;

    if (gone)
        peer_note_hung_up(peer);
    if (gone && desk_busy(s->desk, slot))
        return leave(s, slot, peer_free, why);
    if (events & EPOLLIN)
        peer_note_readable(peer);
    if ((events & EPOLLOUT) && desk_busy(s->desk, slot)) {
        if (obey(s, slot, desk_writable(s->desk, slot, peer, mono_us(), why), why))
            return -1;
    }
    return attend(s, slot, why);
}

static int accept_all(struct server *s, struct why *why)
{
    for (;;) {
        int on = 1, fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct peer *peer;

        if (fd < 0 && errno == EAGAIN)
            return 0;
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return why_errno(why, "accept");
        if ((peer = peer_new(fd, why)) == NULL) {
            (void)close(fd);
            return -1;
        }
        if (s->n_free == 0) {
            peer_reset(peer);
            continue;
        }
        int slot = s->free_slots[--s->n_free];
        s->slots[slot].peer = peer;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                         sizeof(on)); /* only a matter of speed */
        if (watch(s, fd, (uint64_t)s->slots[slot].serial << 32 | (uint32_t)slot,
                  EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, why))
            return -1;
    }
}

static int handle(struct server *s, const struct epoll_event *ev, struct why *why)
{
    uint32_t token = (uint32_t)ev->data.u64;
    uint64_t fired;

    if (token < SE_CONNECTIONS_MAX) {
        struct slot *slot = &s->slots[token];

        if (slot->peer == NULL || slot->serial != (uint32_t)(ev->data.u64 >> 32))
            return 0;
        return peer_event(s, (int)token, ev->events, why);
    }
    if (token == TOKEN_LISTENER)
        return accept_all(s, why);
    if (token == TOKEN_STOP)
        s->stopping = true;
    if (token == TOKEN_TIMER && read(s->timer, &fired, sizeof(fired)) == sizeof(fired))
        s->armed = TIMERS_NEVER;
    return 0;
}

static int fire_timers(struct server *s, struct why *why)
{
    int64_t now = mono_us();
    int slot;

    while ((slot = timers_take(s->timers, now)) >= 0) {
        struct peer *peer = s->slots[slot].peer;

        if (obey(s, slot, desk_due(s->desk, slot, peer, now, why), why) || attend(s, slot, why))
            return -1;
    }
    if (calls_flush_due(s->calls) <= now)
        return calls_flush(s->calls, why);
    return 0;
}

/* Sees to it that the next epoll_wait ends in time; *ret_timeout is what it is given. */
static int arm(struct server *s, int *ret_timeout, struct why *why)
{
    int64_t timers = timers_next(s->timers), flush = calls_flush_due(s->calls);
    int64_t due = timers < flush ? timers : flush;
    struct itimerspec at = {.it_value = {.tv_sec = due / 1000000, .tv_nsec = due % 1000000 * 1000}};

    *ret_timeout = -1;
    if (due >= s->armed)
        return 0;
    if (due <= mono_us()) {
        *ret_timeout = 0;
        return 0;
    }
    if (timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &at, NULL))
        return why_errno(why, "timerfd_settime");
    s->armed = due;
    return 0;
}

int server_run(struct server *s, int stop_fd, struct why *why)
{
    struct epoll_event events[N_TOKENS]; /* all that can be: nobody's turn is put off */
    int timeout;

    if (watch(s, stop_fd, TOKEN_STOP, EPOLLIN, why))
        return -1;
    while (!s->stopping) {
        if (arm(s, &timeout, why))
            return -1;
        int n = epoll_wait(s->epoll, events, N_TOKENS, timeout);
        if (n < 0 && errno != EINTR)
            return why_errno(why, "epoll_wait");
        for (int i = 0; i < n; i++)
            if (handle(s, &events[i], why))
                return -1;
        if (fire_timers(s, why))
            return -1;
    }
    return leave_all_but(s, -1, why) ? -1 : calls_flush(s->calls, why);
}
