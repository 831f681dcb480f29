/* What happens between a request and its answer, for every connection: calls are judged, wait out
 * their latency and are answered; /stats, /stats/calls and /control are answered at once. It tells
 * the witness (scripted_engine_calls.h) when a call begins and ends. It owns no sockets: the server
 * lends it the connection's peer and does as it wishes with it afterwards. */
#ifndef REVEILLE_SCRIPTED_ENGINE_DESK_H
#define REVEILLE_SCRIPTED_ENGINE_DESK_H

#include "scripted_engine_calls.h"
#include "scripted_engine_peer.h"
#include "scripted_engine_request.h"
#include "scripted_engine_timers.h"
#include "scripted_engine_verdict.h"
#include "scripted_engine_why.h"

#include <stdbool.h>
#include <stdint.h>

struct desk;

/* Borrows all three for its life. Slots are 0 … SE_CONNECTIONS_MAX - 1, as in timers. */
struct desk *desk_new(struct verdict *verdict, struct calls *calls, struct timers *timers,
                      struct why *why);
void desk_free(struct desk *d);

/* What the server shall do with the connection now. */
enum desk_wish {
    DESK_KEEP,
    DESK_CLOSE,        /* close it */
    DESK_RESET,        /* reset it */
    DESK_RESET_OTHERS, /* keep it and reset every other: the engine plays dead */
    DESK_FAILED        /* why is set: the witness can no longer be honest, the process must end */
};

/* While a slot is busy, its next request must wait. */
bool desk_busy(const struct desk *d, int slot);

/* Would one call more be a new maximum, or above the limit? Then clients that have gone away should
 * be looked for first: their calls are over. */
bool desk_at_peak(const struct desk *d);

/* A whole request, the slot not busy. req stays valid until peer_next, which the desk calls. */
enum desk_wish desk_request(struct desk *d, int slot, struct peer *peer, const struct request *req,
                            int64_t now_us, struct why *why);

/* Bytes that are no request; answered, not counted as a call. */
enum desk_wish desk_nonsense(struct desk *d, struct peer *peer, int status);

/* The slot's timer has fired; parked bytes may go out. */
enum desk_wish desk_due(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                        struct why *why);
enum desk_wish desk_writable(struct desk *d, int slot, struct peer *peer, int64_t now_us,
                             struct why *why);

/* The connection is about to be closed: an open call of it ends without an answer. */
int desk_leave(struct desk *d, int slot, int64_t now_us, struct why *why);

#endif
