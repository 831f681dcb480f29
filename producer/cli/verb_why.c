/* `reveille why`: all that happened to one mentor, as reveille.why tells it: run by run, then its
 * notifications and the cooldowns in force. */
#include "link.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* A member as text; "" when it is null or not there. */
static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text != NULL ? text : "";
}

static int int_of(const json_t *object, const char *member)
{
    return (int)json_integer_value(json_object_get(object, member));
}

static void print_scenario(const json_t *scenario)
{
    const char *because = text_of(scenario, "because");
    printf("    %-24s ", text_of(scenario, "scenario_type"));
    if (strcmp(because, "duplicate") == 0)
        printf("not dispatched: run %.8s had notified for this date\n",
               text_of(scenario, "of_run"));
    else if (strcmp(because, "cooldown") == 0)
        printf("not dispatched: in the cooldown of run %.8s until %s\n",
               text_of(scenario, "of_run"), text_of(scenario, "until"));
    else if (strcmp(because, "shadow") == 0)
        puts("not dispatched: a shadow run dispatches nothing");
    else if (strcmp(because, "engine") == 0)
        puts("not dispatched: the engine had nothing to send, or suppressed it");
    else
        puts(strcmp(text_of(scenario, "result"), "dispatched") == 0
                 ? "dispatched"
                 : "dispatched by the engine itself");
}

static void print_run(const json_t *run)
{
    size_t i;
    const json_t *scenario;
    const char *worker = text_of(run, "worker");
    printf("\n%.16s  run %.8s  %s, %s, for %s%s\n", text_of(run, "started_at"),
           text_of(run, "run_id"), text_of(run, "job_name"), text_of(run, "status"),
           text_of(run, "evaluation_date"),
           json_is_true(json_object_get(run, "shadow")) ? ", shadow" : "");
    printf("  slice %d, partition %d, rung %d, attempt %d%s%s\n", int_of(run, "slice"),
           int_of(run, "partition"), int_of(run, "rings"), int_of(run, "attempt"),
           worker[0] ? ", worker " : "", worker);
    printf("  %s", text_of(run, "outcome"));
    if (text_of(run, "error_class")[0])
        printf(": %s: %s", text_of(run, "error_class"), text_of(run, "error_message"));
    putchar('\n');
    json_array_foreach(json_object_get(run, "scenarios"), i, scenario)
    {
        print_scenario(scenario);
    }
}

static void print_about(const json_t *one)
{
    if (text_of(one, "about_id")[0])
        printf(", about %s", text_of(one, "about_id"));
}

static void print_why(const json_t *why)
{
    size_t i;
    const json_t *one;
    printf("%s%s%s", text_of(why, "kind"), text_of(why, "subject_id")[0] ? " " : "",
           text_of(why, "subject_id"));
    if (text_of(why, "mentor_id")[0] && strcmp(text_of(why, "kind"), "mentor") != 0)
        printf(" of mentor %s", text_of(why, "mentor_id"));
    putchar('\n');
    if (json_array_size(json_object_get(why, "runs")) == 0)
        puts("in no run that still knows its subjects");
    json_array_foreach(json_object_get(why, "runs"), i, one)
    {
        print_run(one);
    }
    if (json_array_size(json_object_get(why, "notifications")) > 0)
        puts("\nnotifications");
    json_array_foreach(json_object_get(why, "notifications"), i, one)
    {
        printf(
            "  %s  %s by run %.8s, cooldown until %s%s", text_of(one, "evaluation_date"),
            text_of(one, "scenario_type"), text_of(one, "run_id"), text_of(one, "cooldown_until"),
            json_is_true(json_object_get(one, "waiting_in_outbox")) ? ", still in the outbox" : "");
        print_about(one);
        putchar('\n');
    }
    json_array_foreach(json_object_get(why, "cooldowns"), i, one)
    {
        printf("%s  %s until %s", i == 0 ? "\ncooldowns\n" : "", text_of(one, "scenario_type"),
               text_of(one, "until"));
        print_about(one);
        putchar('\n');
    }
    json_array_foreach(json_object_get(why, "corrections"), i, one)
    {
        printf("%s  assignment %s: last contact %s, set %.16s\n", i == 0 ? "\ncorrections\n" : "",
               text_of(one, "assignment_id"), text_of(one, "contact_date"), text_of(one, "set_at"));
    }
}

int verb_why(struct cli *cli, const struct args *args)
{
    struct uuid id;
    char run_id[UUID_TEXT_SIZE];
    const char *params[] = {args->word[0], NULL};
    int code = CLI_YES;
    if (!uuid_parse(params[0], &id)) {
        say("why SUBJECT: the id of a mentor, a user, an assignment or a certification");
        return CLI_USAGE;
    }
    if (args_has(args, "run")) {
        code = link_find_run(cli, args_value(args, "run", 0), run_id);
        params[1] = run_id;
    }
    if (code != CLI_YES)
        return code;
    PGresult *row = link_query_patiently(cli, "looking through the slices", CLI_VERIFY_S,
                                         "select coalesce(reveille.why($1::uuid, $2::uuid)::text, "
                                         "'null')",
                                         2, params, &code);
    if (row == NULL)
        return code;
    json_t *why = json_loads(PQgetvalue(row, 0, 0), JSON_DECODE_ANY, NULL);
    PQclear(row);
    if (!json_is_object(why)) {
        say("%s is in no table of the host's and in no run", params[0]);
        code = CLI_NONE;
    } else if (cli->json) {
        print_json(why);
    } else {
        print_why(why);
    }
    json_decref(why);
    return code;
}
