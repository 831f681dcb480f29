/* `reveille prune`: removes what is older than it is to be kept, a batch a transaction, so that a
 * run may go on meanwhile. What may go and what must stay is reveille.prune's to say. */
#include "link.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order that reveille.prune asks for: a run goes after what belongs to it. */
static const struct kind {
    const char *name, *sql, *what;
} kinds[] = {
    {"slices", "select reveille.prune($1, $2::interval)", "slices, with who was judged"},
    {"errors", "select reveille.prune($1, $2::interval)", "errors of subjects"},
    {"requests", "select reveille.prune($1, $2::interval)", "trigger requests"},
    {"runs", "select reveille.prune($1, $2::interval)", "runs"},
    {"notifications", "select reveille.prune($1, $2::interval)", "notifications"},
    {"cooldowns", "select reveille.prune($1, $2::interval)", "cooldowns that have ended"},
    {"logs", "select reveille.prune($1, $2::interval)", "lines of the execution logs"},
    {"dead_letters", "select reveille.prune($1, $2::interval)", "dead letters"},
    {"cron_details", "select reveille.prune_foreign($1, $2::interval)", "pg_cron's run details"},
    {"net_responses", "select reveille.prune_foreign($1, $2::interval)", "pg_net's responses"},
};

/* Batch after batch until there is no more; what was removed counts also when one fails. */
static int prune_kind(struct cli *cli, const struct kind *kind, const char *age, json_t *counts)
{
    const char *params[] = {kind->name, age};
    long long total = 0, batch;
    int code = CLI_YES;
    do {
        PGresult *row = link_query(cli, kind->sql, 2, params, &code);
        batch = row != NULL ? strtoll(PQgetvalue(row, 0, 0), NULL, 10) : 0;
        PQclear(row);
        total += batch;
        if (total > 0 && on_terminal())
            print_bar(total, -1, 0, -1);
    } while (batch > 0);
    print_bar_end();
    json_object_set_new(counts, kind->name, json_integer(total));
    return code;
}

static void print_counts(const json_t *counts)
{
    char n[PRINT_SIZE];
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        printf("%14s  %s\n",
               print_number(json_integer_value(json_object_get(counts, kinds[i].name)), n),
               kinds[i].what);
}

/* Who pruned what goes into the audit, which is never pruned. */
static int note(struct cli *cli, const char *age, const json_t *counts)
{
    int code = CLI_YES;
    char *text = json_dumps(counts, JSON_COMPACT);
    const char *params[] = {age, text};
    PGresult *done = link_query(cli,
                                "select reveille.note(null, 'prune', 'older than ' || $1, "
                                "$2::jsonb)",
                                2, params, &code);
    PQclear(done);
    free(text);
    return code;
}

int verb_prune(struct cli *cli, const struct args *args)
{
    const char *age = args_value(args, "older-than", 0);
    age = age != NULL ? age : CLI_PRUNE_AGE;
    size_t digits = strspn(age, "0123456789");
    if (digits == 0 || digits > 5 || age[0] == '0' || strcmp(age + digits, "d") != 0) {
        say("--older-than: a number of days is needed, as in 400d");
        return CLI_USAGE;
    }
    json_t *counts = json_object();
    int code = CLI_YES;
    for (size_t i = 0; i < COUNT_OF(kinds) && code == CLI_YES; i++)
        code = prune_kind(cli, &kinds[i], age, counts);
    bool any = json_object_size(counts) > 1 || code == CLI_YES;
    int noted = any ? note(cli, age, counts) : code;
    if (code == CLI_YES)
        code = noted;
    if (code == CLI_YES && cli->json)
        print_json(counts);
    else if (code == CLI_YES)
        print_counts(counts);
    json_decref(counts);
    return code;
}
