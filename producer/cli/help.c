/* What `reveille --help` and `reveille help VERB` print, from the table of verbs. */
#include "help.h"

#include "verbs.h"

#include <ctype.h>
#include <stdio.h>

const char *const help_exits[HELP_EXITS] = {
    [CLI_YES] = "yes, or done",
    [CLI_NO] = "the answer is no",
    [CLI_USAGE] = "wrong usage or configuration",
    [CLI_NONE] = "no such thing",
    [CLI_AWAY] = "database or broker out of reach",
    [CLI_RUNNING] = "still running when --wait ended",
};

void help_all(void)
{
    puts("usage: reveille VERB [WORD…] [--json]\n");
    const struct verb *verb;
    for (size_t i = 0; (verb = verbs_at(i)) != NULL; i++)
        printf("  %-11s %s\n", verb->name, verb->summary);
    puts("\n" HELP_RUN "\n`reveille help VERB` says more.\n\nExit codes:");
    for (int code = 0; code < HELP_EXITS; code++)
        printf("  %d  %s\n", code, help_exits[code]);
    putchar('\n');
    config_help(FOR_CLI, stdout);
}

static void help_options(const struct option_spec *options)
{
    for (; options->name != NULL; options++) {
        char form[64];
        bool optional = options->value != NULL && options->value[0] == '[';
        snprintf(form, sizeof(form), "--%s%s%s", options->name,
                 options->value == NULL ? "" : (optional ? "" : " "),
                 options->value == NULL ? "" : options->value);
        printf("  %-20s %s\n", form, options->help);
    }
}

void help_verb(const struct verb *verb)
{
    printf("usage: reveille %s%s%s [OPTION]…\n\n%c%s.\n\n", verb->name,
           verb->synopsis[0] != '\0' ? " " : "", verb->synopsis, toupper(verb->summary[0]),
           verb->summary + 1);
    help_options(verb->options);
    help_options(verbs_common_options);
    printf("\nexample: %s\n", verb->example);
}
