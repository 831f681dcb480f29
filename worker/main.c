/* reveille-worker: takes slices from Kafka, asks the engines about their mentors, settles the
 * answers in PostgreSQL. Reads its environment, runs until SIGTERM, exits 0 (drained), 1 (failed,
 * or left in a hurry) or 2 (something to be changed first). worker.h says what each signal does. */
#include "worker.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2

static void print_help(void)
{
    puts("reveille-worker: takes slices of runs, asks the engines, settles the answers.\n\n"
         "Usage: reveille-worker [--check-config | --help | --version]\n");
    config_help(FOR_WORKER, stdout);
}

/* Options that end here; -1: none of them. */
static int answer_option(struct worker *w, const char *option, struct err *err)
{
    if (strcmp(option, "--help") == 0) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (strcmp(option, "--version") == 0) {
        printf("reveille-worker %s, librdkafka %s\n", REVEILLE_VERSION, broker_library_version());
        return EXIT_SUCCESS;
    }
    if (strcmp(option, "--check-config") != 0) {
        (void)err_set(err, ERR_CONFIG, "usage", "unknown option; --help shows what there is");
        return EXIT_USAGE;
    }
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
    w.env = (const char *const *)environ;
    w.started_ms = clock_mono_ms();
    int rc = argc > 1 ? answer_option(&w, argv[1], &err) : run(&w, &err);
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
