/* See process.h. */
#include "process.h"

#include "attrs.h"
#include "limits.h"

#include <signal.h>
#include <stdlib.h>

#define PROCESS_MAGIC 0x70726f63u
#define SIGNALS 3

struct process {
    unsigned magic;
    struct process_config cfg;
    struct loop_signal *signals[SIGNALS];
    struct loop_timer *flush, *give_up;
    bool draining;
};

static struct process *process_of(void *arg)
{
    return CHECK_MAGIC(struct process, arg, PROCESS_MAGIC);
}

static void give_up(void *arg)
{
    struct process *p = process_of(arg);
    p->cfg.hurry(p->cfg.arg);
}

static void asked_to_leave(void *arg, int signo)
{
    struct process *p = process_of(arg);
    if (p->draining) {
        give_up(p);
        return;
    }
    p->draining = true;
    loop_timer_arm(p->give_up, p->cfg.give_up_ms);
    p->cfg.drain(p->cfg.arg, signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void asked_to_reload(void *arg, int signo UNUSED)
{
    struct process *p = process_of(arg);
    p->cfg.reload(p->cfg.arg);
}

static void flush_log(void *arg)
{
    struct process *p = process_of(arg);
    if (log_pending(p->cfg.log))
        log_flush(p->cfg.log);
    loop_timer_arm(p->flush, LOG_FLUSH_MS);
}

static int watch_signals(struct process *p, struct err *err)
{
    static const struct {
        int signo;
        loop_signal_fn fn;
    } list[SIGNALS] = {
        {SIGTERM, asked_to_leave}, {SIGINT, asked_to_leave}, {SIGHUP, asked_to_reload}};
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_errno(err, "SIGPIPE");
    for (int i = 0; i < SIGNALS; i++) {
        /* The loop puts back what it found when the watch goes. */
        if (signal(list[i].signo, SIG_IGN) == SIG_ERR)
            return err_errno(err, "signal");
        p->signals[i] = loop_signal_new(p->cfg.loop, list[i].signo, list[i].fn, p, err);
        if (p->signals[i] == NULL)
            return -1;
    }
    return 0;
}

struct process *process_new(const struct process_config *cfg, struct err *err)
{
    struct process *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        (void)err_errno(err, "process");
        return NULL;
    }
    *p = (struct process){.magic = PROCESS_MAGIC, .cfg = *cfg};
    if (!(p->flush = loop_timer_new(cfg->loop, flush_log, p, err)) ||
        !(p->give_up = loop_timer_new(cfg->loop, give_up, p, err)) || watch_signals(p, err)) {
        process_free(p);
        return NULL;
    }
    loop_timer_arm(p->flush, LOG_FLUSH_MS);
    return p;
}

void process_free(struct process *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < SIGNALS; i++)
        loop_signal_free(p->signals[i]);
    loop_timer_free(p->give_up);
    loop_timer_free(p->flush);
    p->magic = 0;
    free(p);
}
