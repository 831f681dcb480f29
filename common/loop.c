/* The event loop on libevent: what loop.h promises in terms of event_base. Not a place for what is
 * waited for: descriptors and timers belong to who made them. */
#include "loop.h"

#include <event2/event.h>
#include <stdlib.h>

#define FD_MAGIC 0x6c666431u
#define TIMER_MAGIC 0x6c746d31u
#define SIGNAL_MAGIC 0x6c736731u

struct loop {
    struct event_base *base;
    bool stopping;
};

/* Two events, because changing one event's interest costs two epoll_ctl, adding the other one. */
struct loop_fd {
    unsigned magic;
    struct event *read, *write;
    unsigned interest;
    loop_fd_fn fn;
    void *arg;
};

struct loop_timer {
    unsigned magic;
    struct event *ev;
    loop_timer_fn fn;
    void *arg;
};

struct loop_signal {
    unsigned magic;
    struct event *ev;
    loop_signal_fn fn;
    void *arg;
};

/* ---- the loop itself ----------------------------------------------------------------------- */

struct loop *loop_new(struct err *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    struct event_config *cfg = event_config_new();

    if (loop == NULL || cfg == NULL) {
        goto fail;
    }
    /* Without these two a timer counts from the turn's begin on a clock of 4 ms, and fires early.
     */
    if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME) != 0 ||
        event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER) != 0) {
        goto fail;
    }
    loop->base = event_base_new_with_config(cfg);
    if (loop->base == NULL) {
        goto fail;
    }
    event_config_free(cfg);
    return loop;
fail:
    if (cfg != NULL) {
        event_config_free(cfg);
    }
    free(loop);
    (void)err_set(err, ERR_SYSTEM, NULL, "cannot make an event loop");
    return NULL;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    event_base_free(loop->base);
    free(loop);
}

int loop_run(struct loop *loop, struct err *err)
{
    while (!loop->stopping) {
        int rc = event_base_loop(loop->base, EVLOOP_ONCE);
        if (rc < 0) {
            return err_set(err, ERR_SYSTEM, NULL, "the event loop failed");
        }
        if (rc > 0 && !loop->stopping) {
            return err_set(err, ERR_SYSTEM, NULL, "the event loop has nothing left to wait for");
        }
    }
    loop->stopping = false;
    return 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

static void event_free_if(struct event *ev)
{
    if (ev != NULL) {
        event_free(ev);
    }
}

/* ---- descriptors --------------------------------------------------------------------------- */

/* fn may free the watch: nothing of it is touched afterwards. */
static void on_fd(evutil_socket_t fd, short what, void *arg)
{
    struct loop_fd *w = CHECK_MAGIC(struct loop_fd, arg, FD_MAGIC);

    (void)fd;
    w->fn(w->arg, (what & EV_READ) != 0 ? LOOP_READ : LOOP_WRITE);
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned interest, loop_fd_fn fn, void *arg,
                            struct err *err)
{
    struct loop_fd *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        goto fail;
    }
    *w = (struct loop_fd){.magic = FD_MAGIC, .fn = fn, .arg = arg};
    w->read = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_fd, w);
    w->write = event_new(loop->base, fd, EV_WRITE | EV_PERSIST, on_fd, w);
    if (w->read == NULL || w->write == NULL) {
        goto fail;
    }
    if (loop_fd_set(w, interest, err)) {
        loop_fd_free(w);
        return NULL;
    }
    return w;
fail:
    loop_fd_free(w);
    (void)err_set(err, ERR_SYSTEM, NULL, "no memory to watch a descriptor");
    return NULL;
}

static int fd_switch(struct event *ev, bool had, bool wants)
{
    if (had == wants) {
        return 0;
    }
    return wants ? event_add(ev, NULL) : event_del(ev);
}

int loop_fd_set(struct loop_fd *w, unsigned interest, struct err *err)
{
    if (fd_switch(w->read, (w->interest & LOOP_READ) != 0, (interest & LOOP_READ) != 0) != 0 ||
        fd_switch(w->write, (w->interest & LOOP_WRITE) != 0, (interest & LOOP_WRITE) != 0) != 0) {
        return err_set(err, ERR_SYSTEM, NULL, "cannot watch a descriptor");
    }
    w->interest = interest;
    return 0;
}

void loop_fd_free(struct loop_fd *w)
{
    if (w == NULL) {
        return;
    }
    event_free_if(w->read);
    event_free_if(w->write);
    w->magic = 0;
    free(w);
}

/* ---- timers -------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *t = CHECK_MAGIC(struct loop_timer, arg, TIMER_MAGIC);

    (void)fd;
    (void)what;
    t->fn(t->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn fn, void *arg, struct err *err)
{
    struct loop_timer *t = calloc(1, sizeof(*t));

    if (t != NULL) {
        *t = (struct loop_timer){.magic = TIMER_MAGIC, .fn = fn, .arg = arg};
        t->ev = evtimer_new(loop->base, on_timer, t);
    }
    if (t == NULL || t->ev == NULL) {
        free(t);
        (void)err_set(err, ERR_SYSTEM, NULL, "no memory for a timer");
        return NULL;
    }
    return t;
}

void loop_timer_arm(struct loop_timer *t, int64_t ms)
{
    /* A zero time-out, not event_active: that would run in this turn, and a timer that arms itself
     * would keep descriptors from being looked at. */
    struct timeval tv = {0, 0};

    if (ms > 0) {
        tv.tv_sec = ms / 1000;
        tv.tv_usec = (ms % 1000) * 1000;
    }
    if (evtimer_add(t->ev, &tv) != 0) {
        /* Only without memory for the heap's growth, and a timer that never comes would hang us. */
        magic_failed("no memory to arm a timer", __FILE__, __LINE__);
    }
}

void loop_timer_disarm(struct loop_timer *t)
{
    (void)evtimer_del(t->ev); /* fails only for an event without a base */
}

bool loop_timer_armed(const struct loop_timer *t)
{
    return evtimer_pending(t->ev, NULL) != 0;
}

void loop_timer_free(struct loop_timer *t)
{
    if (t == NULL) {
        return;
    }
    event_free(t->ev);
    t->magic = 0;
    free(t);
}

/* ---- signals ------------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    struct loop_signal *s = CHECK_MAGIC(struct loop_signal, arg, SIGNAL_MAGIC);

    (void)what;
    s->fn(s->arg, (int)signo);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_fn fn, void *arg,
                                    struct err *err)
{
    struct loop_signal *s = calloc(1, sizeof(*s));

    if (s != NULL) {
        *s = (struct loop_signal){.magic = SIGNAL_MAGIC, .fn = fn, .arg = arg};
        s->ev = evsignal_new(loop->base, signo, on_signal, s);
    }
    if (s == NULL || s->ev == NULL || evsignal_add(s->ev, NULL) != 0) {
        loop_signal_free(s);
        (void)err_set(err, ERR_SYSTEM, NULL, "cannot watch for signal %d", signo);
        return NULL;
    }
    return s;
}

void loop_signal_free(struct loop_signal *s)
{
    if (s == NULL) {
        return;
    }
    event_free_if(s->ev);
    s->magic = 0;
    free(s);
}
