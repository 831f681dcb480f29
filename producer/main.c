/* reveille-producer: turns "run job X" into slices and an honest summary. Reads its environment,
 * makes its parts in order, runs the loop until a signal ends it (producer.h says how). */
#include "producer.h"

#include "lib_alloc.h"
#include "no_dump.h"
#include "options.h"

#include <stdio.h>
#include <stdlib.h>

extern char **environ;

static const struct option_program program = {
    .name = "reveille-producer",
    .about =
        "opens runs, plans them into slices, sends those to Kafka, closes the runs; serves HTTP.",
    .who = FOR_PRODUCER,
};

static void report(struct producer *p, const struct err *err)
{
    fprintf(stderr, "reveille-producer: %s\n", err->text);
    if (p->log)
        log_failure(p->log, EV_PROCESS_FAILED, err);
}

int main(int argc, char **argv)
{
    struct producer P = PRODUCER_INIT;
    struct err err = ERR_INIT;
    lib_alloc_or_leave();
    enum option option = option_read(&program, argc, argv, stdout, stderr);
    if (option == OPTION_ANSWERED || option == OPTION_WRONG)
        return option == OPTION_WRONG ? EXIT_USAGE : EXIT_SUCCESS;

    if (no_dump(&err))
        goto out;
    if (!(P.cfg = config_new(FOR_PRODUCER, (const char *const *)environ, &err)))
        goto out;
    if (producer_check(P.cfg, &err))
        goto out;
    if (option == OPTION_CHECK_CONFIG) {
        config_show(P.cfg, stdout);
        goto out;
    }
    if (producer_open_log(&P, &err))
        goto out;
    if (producer_open_loop(&P, &err))
        goto out;
    if (producer_open_links(&P, &err))
        goto out;
    if (producer_make_core(&P, &err))
        goto out;
    if (producer_open_doors(&P, &err))
        goto out;
    if (loop_run(P.loop, &err)) /* from here an error costs time, not the process */
        goto out;
out:
    if (err_is_set(&err)) {
        report(&P, &err);
        P.exit_code = err.cls == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILURE;
    }
    int rc = P.exit_code;
    producer_release(&P); /* reverse order of the lines above */
    return rc;
}
