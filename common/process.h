/* What both programs do as processes, whatever their work is: signals, the end of patience while
 * draining, and the log that a slow reader left over. Decides nothing about the work.
 *
 * SIGTERM, SIGINT: drain, once; a second one, or give_up_ms without an end: hurry. SIGHUP: reload.
 * SIGPIPE is ignored: a reader that went is a write that fails. */
#ifndef REVEILLE_PROCESS_H
#define REVEILLE_PROCESS_H

#include "err.h"
#include "log.h"
#include "loop.h"

struct process;

struct process_config {
    struct loop *loop; /* borrowed for its life, as is the log */
    struct log *log;
    int64_t give_up_ms;                                /* from drain to hurry */
    void (*drain)(void *arg, const char *signal_name); /* a constant; at most once */
    void (*hurry)(void *arg);                          /* leave now; only after drain */
    void (*reload)(void *arg);                         /* read again what is in files */
    void *arg;
};

/* From now on signals are ours, and the log is flushed every LOG_FLUSH_MS while it has to wait. */
struct process *process_new(const struct process_config *cfg, struct err *err);
/* The signals are ignored from here on: one more SIGTERM does not stop an orderly end. */
void process_free(struct process *p);

#endif
