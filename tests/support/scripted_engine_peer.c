#include "scripted_engine_peer.h"
#include "scripted_engine_limits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    bool readable, hung_up;
    char *parked; /* NULL: nothing */
    size_t parked_len, parked_at;
    size_t in_len;
    char in[SE_REQUEST_MAX];
};

struct peer *peer_new(int fd, struct why *why)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        (void)why_errno(why, "a connection");
        return NULL;
    }
    p->fd = fd;
    return p;
}

void peer_free(struct peer *p)
{
    if (p == NULL)
        return;
    (void)close(p->fd);
    free(p->parked);
    free(p);
}

void peer_reset(struct peer *p)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    /* Fails only where the client has reset the connection itself: then close is all there is. */
    (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    peer_free(p);
}

int peer_fd(const struct peer *p)
{
    return p->fd;
}

void peer_note_readable(struct peer *p)
{
    p->readable = true;
}

void peer_note_hung_up(struct peer *p)
{
    p->hung_up = true;
}

bool peer_hung_up(const struct peer *p)
{
    return p->hung_up;
}

/* One recv. A short one has emptied the socket, and epoll will tell of what comes after it. */
static enum peer_input fill(struct peer *p)
{
    size_t room = sizeof(p->in) - p->in_len;
    ssize_t n;

    do
        n = recv(p->fd, p->in + p->in_len, room, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        p->readable = false;
        return PEER_NOTHING;
    }
    if (n <= 0)
        return PEER_ENDED;
    p->in_len += (size_t)n;
    /* With a hang-up behind the bytes no further event comes: read on until the end shows. */
    p->readable = (size_t)n == room || p->hung_up;
    return PEER_REQUEST;
}

enum peer_input peer_request(struct peer *p, struct request *ret_request, int *ret_status)
{
    for (;;) {
        switch (request_parse(p->in, p->in_len, ret_request, ret_status)) {
        case REQUEST_WHOLE:
            return PEER_REQUEST;
        case REQUEST_BAD:
            return PEER_NONSENSE;
        case REQUEST_PART:
            break;
        }
        if (!p->readable)
            return PEER_NOTHING;
        enum peer_input got = fill(p);
        if (got != PEER_REQUEST)
            return got;
    }
}

void peer_next(struct peer *p, size_t length)
{
    assert(length <= p->in_len);
    p->in_len -= length;
    if (p->in_len > 0)
        memmove(p->in, p->in + length, p->in_len);
}

static ssize_t send_some(struct peer *p, const char *bytes, size_t len)
{
    ssize_t n;

    do
        n = send(p->fd, bytes, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

enum peer_output peer_send(struct peer *p, struct text bytes)
{
    ssize_t n = send_some(p, bytes.at, bytes.len);

    if (n < 0)
        return PEER_BROKEN;
    if ((size_t)n == bytes.len)
        return PEER_SENT;
    return peer_park(p, (struct text){bytes.at + n, bytes.len - (size_t)n});
}

enum peer_output peer_park(struct peer *p, struct text bytes)
{
    assert(p->parked == NULL);
    if ((p->parked = malloc(bytes.len)) == NULL)
        return PEER_BROKEN;
    memcpy(p->parked, bytes.at, bytes.len);
    p->parked_len = bytes.len;
    p->parked_at = 0;
    return PEER_PARKED;
}

enum peer_output peer_push(struct peer *p, size_t max)
{
    size_t left = p->parked_len - p->parked_at;
    ssize_t n;

    if (p->parked == NULL)
        return PEER_SENT;
    n = send_some(p, p->parked + p->parked_at, left < max ? left : max);
    if (n < 0)
        return PEER_BROKEN;
    p->parked_at += (size_t)n;
    if (p->parked_at < p->parked_len)
        return PEER_PARKED;
    free(p->parked);
    p->parked = NULL;
    return PEER_SENT;
}
