/* `reveille replay`: a run over what went wrong in another, or a forecast of one; and how a run's
 * replays look in its status. What is selected, and what is left, is the database's word. */
#include "limits.h"
#include "link.h"
#include "print.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the selection ----------------------------------------------------------------------- */

/* All values of an option as a list of numbers or of words; -1: said on stderr. */
static int add_list(json_t *selection, const char *member, const struct args *args,
                    const char *option, bool numbers)
{
    json_t *list = json_array();
    const char *text;
    for (int i = 0; (text = args_value(args, option, i)) != NULL; i++) {
        char *end;
        errno = 0;
        long long n = numbers ? strtoll(text, &end, 10) : 0;
        bool good = !numbers || (errno == 0 && end != text && *end == '\0');
        if (!good || json_array_append_new(list, numbers ? json_integer(n) : json_string(text))) {
            say("--%s: %s is needed", option, numbers ? "a number" : "UTF-8");
            json_decref(list);
            return -1;
        }
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return 0;
    }
    return json_object_set_new(selection, member, list);
}

static int add_flag(json_t *selection, const char *name, const struct args *args)
{
    return args_has(args, name) ? json_object_set_new(selection, name, json_true()) : 0;
}

/* -1: said on stderr. */
static int add_time(json_t *selection, const char *name, const struct args *args)
{
    if (!args_has(args, name) ||
        json_object_set_new(selection, name, json_string(args_value(args, name, 0))) == 0)
        return 0;
    say("--%s: UTF-8 is needed", name);
    return -1;
}

/* Returns owned: the selection as JSON text, or NULL, and what is wrong was said. */
static char *selection_of(const struct args *args)
{
    json_t *selection = json_object();
    char *text = NULL;
    if (!add_list(selection, "partitions", args, "partition", true) &&
        !add_list(selection, "slices", args, "slice", true) &&
        !add_list(selection, "error_classes", args, "error-class", false) &&
        !add_flag(selection, "errors", args) && !add_flag(selection, "unreached", args) &&
        !add_time(selection, "since", args) && !add_time(selection, "until", args))
        text = json_dumps(selection, JSON_COMPACT);
    json_decref(selection);
    return text;
}

/* ---- answers ----------------------------------------------------------------------------- */

/* Why there is no replay, by open_replay's word. */
static int refused(const char *outcome, const char *run_id)
{
    static const struct {
        const char *outcome, *words;
    } reasons[] = {
        {"open", "it has not ended yet"},
        {"replaying", "a replay of it has not ended yet"},
        {"paused", "its job is paused"},
        {"copy", "this is a copy of the database; resume the job to run it here"},
        {"forgotten", "who was judged in it is not kept any more"},
        {"nothing", "nothing that is selected is left to replay"},
    };
    if (strcmp(outcome, "unknown") == 0) {
        say("run %s is gone", run_id);
        return CLI_NONE;
    }
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (strcmp(reasons[i].outcome, outcome) == 0)
            outcome = reasons[i].words;
    say("run %s is not replayed: %s", run_id, outcome);
    return CLI_NO;
}

static void print_opened(const json_t *summary)
{
    char subjects[PRINT_SIZE];
    say("%s subjects of run %s are judged again",
        print_number(json_integer_value(json_object_get(summary, "total_active_mentors")),
                     subjects),
        json_string_value(json_object_get(summary, "replay_of")));
    puts(json_string_value(json_object_get(summary, "run_id")));
}

static void print_count(const char *name, const json_t *of, const char *member)
{
    char text[PRINT_SIZE];
    printf("  %-22s %10s\n", name,
           print_number(json_integer_value(json_object_get(of, member)), text));
}

static void print_forecast(const json_t *doc)
{
    const json_t *errors = json_object_get(doc, "errors"),
                 *would = json_object_get(doc, "forecast");
    bool exact = json_is_true(json_object_get(would, "exact"));
    const char *class;
    json_t *n;
    printf("a replay of run %s\n", json_string_value(json_object_get(doc, "replay_of")));
    print_count("subjects", doc, "subjects");
    json_object_foreach((json_t *)errors, class, n) print_count(class, errors, class);
    print_count("unreached", doc, "unreached");
    print_count("slices", doc, "slices");
    puts(exact ? "would count" : "would count, if the engine found everybody due");
    print_count("evaluated", would, "evaluated");
    print_count("skipped", would, "skipped");
    print_count("errors", would, "errors");
    print_count(exact ? "dispatched" : "dispatched, at most", would, "dispatched");
    print_count(exact ? "suppressed" : "suppressed, at least", would, "suppressed");
    print_scenarios(json_object_get(would, "by_scenario"));
}

/* The row of open_replay or forecast_replay. */
static int answer(const struct cli *cli, const PGresult *row, const char *run_id, bool dry_run)
{
    if (PQgetisnull(row, 0, 1))
        return refused(PQgetvalue(row, 0, 0), run_id);
    json_t *doc = json_loads(PQgetvalue(row, 0, 1), 0, NULL);
    if (cli->json)
        print_json(doc);
    else if (dry_run)
        print_forecast(doc);
    else
        print_opened(doc);
    json_decref(doc);
    return CLI_YES;
}

int verb_replay(struct cli *cli, const struct args *args)
{
    static const char open_sql[] = "select outcome, summary::text from reveille.open_replay("
                                   "$1::uuid, $2::jsonb, $3::int, $4::int, $5)";
    static const char dry_sql[] = "select outcome, forecast::text from reveille.forecast_replay("
                                  "$1::uuid, $2::jsonb, $3::int, $4::int)";
    char run_id[UUID_TEXT_SIZE];
    bool dry_run = args_has(args, "dry-run");
    char *selection = selection_of(args);
    if (selection == NULL)
        return CLI_USAGE;
    int code = link_find_run(cli, args->word[0], run_id);
    if (code == CLI_YES) {
        const char *params[] = {run_id, selection, args_value(args, "slice-size", 0),
                                args_value(args, "rate", 0), args_value(args, "reason", 0)};
        PGresult *row =
            dry_run ? link_query_patiently(cli, "judging", CLI_VERIFY_S, dry_sql, 4, params, &code)
                    : link_query(cli, open_sql, 5, params, &code);
        if (row != NULL)
            code = answer(cli, row, run_id, dry_run);
        PQclear(row);
    }
    free(selection);
    return code;
}

/* ---- in a run's status ------------------------------------------------------------------- */

static long long count_of(const json_t *of, const char *member)
{
    return json_integer_value(json_object_get(of, member));
}

void replay_show(const json_t *replays, const char *run_id)
{
    const json_t *unresolved = json_object_get(replays, "unresolved");
    long long errors = count_of(unresolved, "errors"),
              unreached = count_of(unresolved, "unreached");
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(replays, "runs"), i, run)
    {
        const char *reason = json_string_value(json_object_get(run, "reason"));
        printf("  replay %s  %s: %lld subjects, %lld evaluated, %lld skipped, %lld errors, "
               "%lld remaining%s%s%s\n",
               json_string_value(json_object_get(run, "run_id")),
               json_string_value(json_object_get(run, "status")), count_of(run, "subjects"),
               count_of(run, "evaluated"), count_of(run, "skipped"), count_of(run, "errors"),
               count_of(run, "remaining"), reason ? " (" : "", reason ? reason : "",
               reason ? ")" : "");
    }
    if (errors > 0 || unreached > 0)
        printf("  unresolved: %lld errors, %lld unreached; reveille replay %.8s%s%s\n", errors,
               unreached, run_id, errors > 0 ? " --errors" : "",
               unreached > 0 ? " --unreached" : "");
    else if (json_is_object(unresolved) && json_array_size(json_object_get(replays, "runs")) > 0)
        puts("  nothing is unresolved");
}
