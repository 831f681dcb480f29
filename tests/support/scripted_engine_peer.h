/* One client's connection: a non-blocking socket with a buffer on each side. It turns bytes into
 * requests and sends bytes; what they mean is others' business. It is told by edge-triggered epoll
 * when to try again, so it remembers what it may still read or has not sent. */
#ifndef REVEILLE_SCRIPTED_ENGINE_PEER_H
#define REVEILLE_SCRIPTED_ENGINE_PEER_H

#include "scripted_engine_request.h"
#include "scripted_engine_text.h"
#include "scripted_engine_why.h"

#include <stdbool.h>

struct peer;

struct peer *peer_new(int fd, struct why *why); /* takes fd; on failure fd is the caller's still */
void peer_free(struct peer *p);                 /* closes as usual */
void peer_reset(struct peer *p);                /* closes with RST and frees */

int peer_fd(const struct peer *p);
void peer_note_readable(struct peer *p); /* epoll says so */
void peer_note_hung_up(struct peer *p);  /* the client sends no more: for us it is gone */
bool peer_hung_up(const struct peer *p);

enum peer_input {
    PEER_NOTHING,  /* no whole request yet; epoll will tell */
    PEER_REQUEST,  /* *ret_request, borrowed until peer_next */
    PEER_NONSENSE, /* *ret_status is what to answer; then close */
    PEER_ENDED     /* end of input, or an error */
};

/* Reads as much as it needs for one request. Asked again, it gives the same one. */
enum peer_input peer_request(struct peer *p, struct request *ret_request, int *ret_status);
void peer_next(struct peer *p, size_t length); /* the request of that length is dealt with */

enum peer_output {
    PEER_SENT,   /* the kernel has it all */
    PEER_PARKED, /* the rest is kept; peer_push when epoll says writable */
    PEER_BROKEN  /* nobody will ever read it */
};

/* Sends, and keeps a copy of what the kernel does not take. Nothing may be parked yet. */
enum peer_output peer_send(struct peer *p, struct text bytes);

/* Keeps a copy of all of it, for peer_push. PEER_PARKED or PEER_BROKEN (no memory). */
enum peer_output peer_park(struct peer *p, struct text bytes);

/* Sends up to max bytes of what is parked; PEER_SENT also where nothing is. */
enum peer_output peer_push(struct peer *p, size_t max);

#endif
