/* `reveille`, the operator's command: a table of verbs, each with its help, and one link to the
 * database. What a verb does stands in its own file. */
#include "cli.h"
#include "link.h"
#include "print.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct option_spec common_options[] = {
    {"json", NULL, false, "one JSON document on stdout, nothing else"},
    {"help", NULL, false, "this text"},
    {"version", NULL, false, "the version"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec no_options[] = {{NULL, NULL, false, NULL}};
static const struct option_spec run_options[] = {
    {"date", "YYYY-MM-DD", false, "the day that is judged (default: today in the job's time zone)"},
    {"scenario", "TYPE", true, "only this scenario; may be repeated"},
    {"subject", "ID", true, "only this mentor, if eligible; may be repeated"},
    {"shadow", NULL, false, "judge and count, dispatch nothing"},
    {"wait", "[=SECONDS]", false, "follow the run until it has ended, or for so long"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec runs_options[] = {
    {"last", "N", false, "how many, newest first (20)"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec status_options[] = {
    {"watch", NULL, false, "follow it until it has ended"},
    {NULL, NULL, false, NULL},
};
static const struct option_spec migrate_options[] = {
    {"dry-run", NULL, false, "only list what would be applied"},
    {"dir", "DIR", false, "the folder of migrations (default: the installed one, or ./migrations)"},
    {NULL, NULL, false, NULL},
};

static const struct verb verbs[] = {
    {"run", "JOB", "ask for a run of a job, by hand", "reveille run scenario_scheduler --wait",
     run_options, 1, 1, verb_run},
    {"runs", "[JOB]", "list runs, newest first", "reveille runs scenario_scheduler --last 5",
     runs_options, 0, 1, verb_runs},
    {"status", "[RUN]", "one run: state, totals, rate, time left, partitions",
     "reveille status latest --watch", status_options, 0, 1, verb_status},
    {"verify", "[RUN]", "recount a run from its rows", "reveille verify latest:scenario_scheduler",
     no_options, 0, 1, verb_verify},
    {"why-open", "[RUN]", "the slices that keep a run open", "reveille why-open", no_options, 0, 1,
     verb_why_open},
    {"workers", "", "who lives, and what each held when it last said so (up to 5 s ago)",
     "reveille workers --json", no_options, 0, 0, verb_workers},
    {"cancel", "RUN", "end a run: pending slices become unreached", "reveille cancel latest",
     no_options, 1, 1, verb_cancel},
    {"engines", "[list [ENGINE] | set ENGINE KEY=VALUE…]",
     "how many calls an engine gets at a time", "reveille engines set http concurrency=20",
     no_options, 0, ARGS_WORDS_MAX, verb_engines},
    {"migrate", "", "apply the migrations that are missing", "reveille migrate --dry-run",
     migrate_options, 0, 0, verb_migrate},
};

static void help_all(void)
{
    puts("usage: reveille VERB [WORD…] [--json]\n");
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        printf("  %-10s %s\n", verbs[i].name, verbs[i].summary);
    puts("\nRUN is a run's id, a unique prefix of one (4 digits or more), latest, or latest:JOB.\n"
         "`reveille help VERB` says more.\n\n"
         "Exit codes: 0 yes, or done · 1 the answer is no · 2 wrong usage or configuration ·\n"
         "3 no such thing · 4 database out of reach · 5 still running when --wait ended.\n");
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

static void help_verb(const struct verb *verb)
{
    printf("usage: reveille %s%s%s [OPTION]…\n\n%c%s.\n\n", verb->name,
           verb->synopsis[0] != '\0' ? " " : "", verb->synopsis, toupper(verb->summary[0]),
           verb->summary + 1);
    help_options(verb->options);
    help_options(common_options);
    printf("\nexample: %s\n", verb->example);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int run_verb(const struct verb *verb, const struct args *args)
{
    struct err err = ERR_INIT;
    struct cli cli = {.json = args_has(args, "json")};
    if (args->words < verb->words_min || args->words > verb->words_max) {
        say("usage: reveille %s %s; see: reveille help %s", verb->name, verb->synopsis, verb->name);
        return CLI_USAGE;
    }
    cli.config = config_new(FOR_CLI, (const char *const *)environ, &err);
    if (cli.config == NULL) {
        say("%s", err.text);
        return CLI_USAGE;
    }
    int code = link_open(&cli);
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
    const struct verb *verb = find_verb(wants_help ? argv[2] : name);
    if (verb == NULL) {
        say("there is no verb %s; `reveille --help` lists them", wants_help ? argv[2] : name);
        return CLI_USAGE;
    }
    if (!wants_help && args_parse(&args, argc - 2, argv + 2, verb->options, common_options, &err)) {
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
