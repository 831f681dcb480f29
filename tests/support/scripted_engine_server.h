/* The engine's loop: one thread, epoll, a listener on 127.0.0.1, up to SE_CONNECTIONS_MAX
 * connections (what comes on top is reset at once), one timer descriptor. It moves bytes and tells
 * the desk; it does not know what a call is. */
#ifndef REVEILLE_SCRIPTED_ENGINE_SERVER_H
#define REVEILLE_SCRIPTED_ENGINE_SERVER_H

#include "scripted_engine_calls.h"
#include "scripted_engine_desk.h"
#include "scripted_engine_timers.h"
#include "scripted_engine_why.h"

struct server;

/* Listens at once. Port 0: the system chooses. Borrows desk, calls and timers for its life. */
struct server *server_new(int port, struct desk *desk, struct calls *calls, struct timers *timers,
                          struct why *why);
void server_free(struct server *s);

int server_port(const struct server *s);

/* Serves until stop_fd is readable: then every open call ends unanswered, the log is written out,
 * and 0 comes back. -1: the log cannot be kept, or the system refuses what a server needs. */
int server_run(struct server *s, int stop_fd, struct why *why);

#endif
