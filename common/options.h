/* The words on a program's command line: --help, --version and --check-config, which the producer
 * and the worker answer alike. Everything else comes from the environment (config.h); the
 * operator's command has words of its own. */
#ifndef REVEILLE_OPTIONS_H
#define REVEILLE_OPTIONS_H

#include <stdio.h>

#define EXIT_USAGE 2 /* something has to be changed before the same start can succeed */

enum option {
    OPTION_NONE,         /* run */
    OPTION_CHECK_CONFIG, /* the caller's: it knows what must be set */
    OPTION_ANSWERED,     /* exit 0 */
    OPTION_WRONG,        /* exit EXIT_USAGE; the usage is on err */
};

struct option_program {
    const char *name, *about; /* about: one line */
    unsigned who;             /* FOR_* of config.h: whose variables --help shows */
};

enum option option_read(const struct option_program *program, int argc, char *const *argv,
                        FILE *out, FILE *err);

#endif
