/* reveille-worker: takes slices from Kafka, asks the engines about their mentors, settles the
 * answers in PostgreSQL. Reads its environment, runs until SIGTERM, exits 0 (drained), 1 (failed,
 * or left in a hurry) or 2 (something to be changed first). worker.h says what each signal does. */
#include "worker.h"

#include "clock.h"
#include "lib_alloc.h"
#include "no_dump.h"
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct option_program program = {
    .name = "reveille-worker",
    .about = "takes slices of runs, asks the engines, settles the answers.",
    .who = FOR_WORKER,
};

static int check_config(struct worker *w, struct err *err)
{
    if (!(w->cfg = config_new(FOR_WORKER, w->env, err)))
        return EXIT_USAGE;
    config_show(w->cfg, stdout);
    return worker_check(w, err) == 0 ? EXIT_SUCCESS : EXIT_USAGE;
}

static int run(struct worker *w, struct err *err)
{
    if (!(w->cfg = config_new(FOR_WORKER, w->env, err)) || worker_check(w, err) ||
        worker_set_up(w, err) || worker_connect(w, err) || worker_assemble(w, err) ||
        worker_open(w, err))
        return err->cls == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILURE;
    if (loop_run(w->loop, err)) /* from here an error costs a slice, not the process */
        return EXIT_FAILURE;
    return w->exit_code;
}

int main(int argc, char **argv)
{
    struct worker w = WORKER_INIT;
    struct err err = ERR_INIT;
    lib_alloc_or_leave();
    w.env = (const char *const *)environ;
    w.started_ms = clock_mono_ms();
    enum option option = option_read(&program, argc, argv, stdout, stderr);
    if (option == OPTION_ANSWERED || option == OPTION_WRONG)
        return option == OPTION_WRONG ? EXIT_USAGE : EXIT_SUCCESS;
    int rc = EXIT_FAILURE;
    if (no_dump(&err) == 0)
        rc = option == OPTION_CHECK_CONFIG ? check_config(&w, &err) : run(&w, &err);
    if (err_is_set(&err) && w.log != NULL)
        log_failure(w.log, EV_PROCESS_FAILED, &err);
    else if (err_is_set(&err))
        fprintf(stderr, "reveille-worker: %s\n", err.text);
    if (w.hurried) {
        log_free(w.log);
        _exit(rc); /* nothing is freed: what hangs must not hang the exit */
    }
    worker_release(&w);
    return rc;
}
