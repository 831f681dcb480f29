/* The one event loop of a program: descriptors, timers, signals. Only loop.c and http_server.c know
 * libevent. One thread; nothing called from the loop may block.
 *
 * Ownership: a watch or timer is owned by who made it and freed by loop_*_free, which may be called
 * from its own callback. After the free no callback comes any more. */
#ifndef REVEILLE_LOOP_H
#define REVEILLE_LOOP_H

#include "err.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_signal;
struct event_base;

struct loop *loop_new(struct err *err);
void loop_free(struct loop *loop); /* everything made from it must be freed before */

/* Runs until loop_stop. 0, or -1 when the loop itself failed. */
int loop_run(struct loop *loop, struct err *err) MUST_CHECK;
void loop_stop(struct loop *loop); /* after the callbacks that are due now */

#define LOOP_READ 1u
#define LOOP_WRITE 2u
typedef void (*loop_fd_fn)(void *arg, unsigned ready);
/* Level-triggered. fd stays the caller's. */
struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned interest, loop_fd_fn fn, void *arg,
                            struct err *err);
int loop_fd_set(struct loop_fd *w, unsigned interest, struct err *err) MUST_CHECK; /* 0: none */
void loop_fd_free(struct loop_fd *w);

typedef void (*loop_timer_fn)(void *arg);
/* Made unarmed. Arming again moves it. It fires once; arm it again for the next time. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn fn, void *arg, struct err *err);
void loop_timer_arm(struct loop_timer *t, int64_t ms); /* ms <= 0: in the next turn */
void loop_timer_disarm(struct loop_timer *t);
bool loop_timer_armed(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

typedef void (*loop_signal_fn)(void *arg, int signo);
struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_fn fn, void *arg,
                                    struct err *err);
void loop_signal_free(struct loop_signal *s);

/* For http_server.c only. */
struct event_base *loop_base(struct loop *loop);

#endif
