/* The words of a command line, against a verb's table of options: `--name`, `--name VALUE`,
 * `--name=VALUE`; a value in brackets is optional and needs the `=`. Knows no verbs. */
#ifndef REVEILLE_CLI_ARGS_H
#define REVEILLE_CLI_ARGS_H

#include "err.h"
#include "limits.h"

#include <stdbool.h>

struct option_spec {
    const char *name;  /* without the dashes; NULL ends a table */
    const char *value; /* what the help calls its value; "[X]": optional; NULL: a flag */
    bool many;         /* may be given more than once */
    const char *help;
};

struct args {
    const char *word[ARGS_WORDS_MAX]; /* all borrowed from argv */
    int words;
    struct {
        const struct option_spec *spec;
        const char *value; /* NULL: none given */
    } option[ARGS_OPTIONS_MAX];
    int options;
};

/* CONFIG with a text that names the word that is wrong. `common` is a second table that holds for
 * every verb. */
int args_parse(struct args *ret_args, int argc, char **argv, const struct option_spec *options,
               const struct option_spec *common, struct err *err) MUST_CHECK;

bool args_has(const struct args *a, const char *name);
/* The n-th value given for an option, from 0; NULL: there are not so many. */
const char *args_value(const struct args *a, const char *name, int n);
/* A whole number within bounds; `fallback` when the option was not given; CONFIG else. */
int args_int(const struct args *a, const char *name, int min, int max, int fallback, int *ret_n,
             struct err *err) MUST_CHECK;

#endif
