/* `reveille`, the operator's command: reads the words, opens the one link to the database, runs the
 * verb. Which verbs there are is in verbs.c, what one does in its own file. */
#include "help.h"
#include "link.h"
#include "no_dump.h"
#include "print.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int run_verb(const struct verb *verb, const struct args *args)
{
    struct err err = ERR_INIT;
    struct cli cli = {.json = args_has(args, "json")};
    if (args->words < verb->words_min || args->words > verb->words_max) {
        say("usage: reveille %s %s; see: reveille help %s", verb->name, verb->synopsis, verb->name);
        return CLI_USAGE;
    }
    if (no_dump(&err) || !(cli.config = config_new(FOR_CLI, (const char *const *)environ, &err))) {
        say("%s", err.text);
        return CLI_USAGE;
    }
    int code = verb->run == verb_doctor ? CLI_YES : link_open(&cli);
    if (code == CLI_YES)
        code = verb->run(&cli, args);
    PQfinish(cli.db);
    config_free(cli.config);
    return code;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct args args;
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--version") == 0) {
        puts("reveille " REVEILLE_VERSION);
        return CLI_YES;
    }
    bool wants_help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0;
    if (wants_help && argc <= 2) {
        help_all();
        return argc > 1 ? CLI_YES : CLI_USAGE;
    }
    const struct verb *verb = verbs_find(wants_help ? argv[2] : name);
    if (verb == NULL) {
        say("there is no verb %s; `reveille --help` lists them", wants_help ? argv[2] : name);
        return CLI_USAGE;
    }
    if (!wants_help &&
        args_parse(&args, argc - 2, argv + 2, verb->options, verbs_common_options, &err)) {
        say("%s; see: reveille help %s", err.text, verb->name);
        return CLI_USAGE;
    }
    if (wants_help || args_has(&args, "help")) {
        help_verb(verb);
        return CLI_YES;
    }
    if (args_has(&args, "version")) {
        puts("reveille " REVEILLE_VERSION);
        return CLI_YES;
    }
    return run_verb(verb, &args);
}
