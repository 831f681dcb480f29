/* See options.h. */
#include "options.h"

#include "config.h"

#include <string.h>

static void print_usage(const struct option_program *program, FILE *to)
{
    fprintf(to,
            "%s: %s\n\n"
            "usage: %s [--help | --version | --check-config]\n\n"
            "All configuration comes from the environment.\n\n",
            program->name, program->about, program->name);
    config_help(program->who, to);
}

enum option option_read(const struct option_program *program, int argc, char *const *argv,
                        FILE *out, FILE *err)
{
    const char *word = argc == 2 ? argv[1] : "";
    if (argc == 1)
        return OPTION_NONE;
    if (strcmp(word, "--check-config") == 0)
        return OPTION_CHECK_CONFIG;
    if (strcmp(word, "--help") == 0) {
        print_usage(program, out);
        return OPTION_ANSWERED;
    }
    if (strcmp(word, "--version") == 0) {
        fprintf(out, "%s %s, librdkafka %s\n", program->name, REVEILLE_VERSION,
                broker_library_version());
        return OPTION_ANSWERED;
    }
    print_usage(program, err);
    return OPTION_WRONG;
}
