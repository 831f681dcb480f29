/* reveille-producer: turns "run job X" into slices and an honest summary. Reads its environment,
 * makes its parts in order, runs the loop until a signal ends it (producer.h says how). */
#include "producer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2 /* wrong usage or configuration */

extern char **environ;

static const char usage[] =
    "usage: reveille-producer [--help | --version | --check-config]\n"
    "\n"
    "Opens runs, plans them into slices, sends those to Kafka and closes the runs; serves HTTP.\n"
    "All configuration comes from the environment, each variable also as NAME_FILE:\n"
    "\n";

enum option { RUN, CHECK_CONFIG, ANSWERED, WRONG };

/* --help and --version are answered here. */
static enum option read_option(int argc, char **argv)
{
    if (argc == 1)
        return RUN;
    if (argc == 2 && strcmp(argv[1], "--check-config") == 0)
        return CHECK_CONFIG;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("reveille-producer %s, librdkafka %s\n", REVEILLE_VERSION, broker_library_version());
        return ANSWERED;
    }
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    fputs(usage, help ? stdout : stderr);
    if (help)
        config_help(FOR_PRODUCER, stdout);
    return help ? ANSWERED : WRONG;
}

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
    enum option option = read_option(argc, argv);
    if (option == ANSWERED || option == WRONG)
        return option == WRONG ? EXIT_USAGE : EXIT_SUCCESS;

    if (!(P.cfg = config_new(FOR_PRODUCER, (const char *const *)environ, &err)))
        goto out;
    if (producer_check(P.cfg, &err))
        goto out;
    if (option == CHECK_CONFIG) {
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
