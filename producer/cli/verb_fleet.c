/* `reveille workers` and `reveille engines`: who lives, and how many calls an engine gets. */
#include "fleet.h"
#include "link.h"
#include "print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int verb_workers(struct cli *cli, const struct args *args UNUSED)
{
    return link_show(
        cli,
        "select s.worker, s.engine, coalesce((s.report->>'partitions')::int, 0) partitions, "
        "coalesce((s.report->>'slices')::int, 0) slices, "
        "coalesce((s.report->>'busy')::int, 0) in_flight, s.granted share, s.want wants, "
        "s.report->>'version' as version from reveille.engine_share s "
        "where s.worker <> '' and s.until > clock_timestamp() order by 1, 2",
        0, NULL, "no worker has been heard of in the last ten seconds");
}

static const char list_sql[] = "select " ENGINE_COLUMNS " from reveille.engine e "
                               "where $1::text is null or e.engine = $1 order by 1";

/* KEY=VALUE of `engines set`, into the parameter that it is. */
static int take_setting(const char *word, const char **concurrency, const char **partitions)
{
    const char *equals = strchr(word, '=');
    const char *value = equals != NULL ? equals + 1 : "";
    char *end;
    long n = strtol(value, &end, 10);
    bool number = *value != '\0' && *end == '\0' && n >= 1;
    if (strncmp(word, "concurrency=", 12) == 0 && number && n <= 10000)
        *concurrency = value;
    else if (strncmp(word, "topic_partitions=", 17) == 0 && number && n <= 1000)
        *partitions = value;
    else {
        say("%s: concurrency=N (1 to 10000) or topic_partitions=N (1 to 1000) is needed", word);
        return CLI_USAGE;
    }
    return CLI_YES;
}

static int set_engine(struct cli *cli, const struct args *args)
{
    if (args->words < 3) {
        say("engines set ENGINE KEY=VALUE…, as in: reveille engines set http concurrency=20");
        return CLI_USAGE;
    }
    const char *params[] = {args->word[1], NULL, NULL};
    int code = CLI_YES;
    for (int i = 2; i < args->words && code == CLI_YES; i++)
        code = take_setting(args->word[i], &params[1], &params[2]);
    if (code != CLI_YES)
        return code;
    PGresult *row =
        link_query(cli, "select reveille.set_engine($1, $2::int, $3::int)", 3, params, &code);
    if (row == NULL)
        return code;
    bool found = PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    if (!found) {
        say("there is no engine %s", args->word[1]);
        return CLI_NONE;
    }
    return link_show(cli, list_sql, 1, params, NULL);
}

int verb_engines(struct cli *cli, const struct args *args)
{
    const char *what = args->words > 0 ? args->word[0] : "list";
    if (strcmp(what, "set") == 0)
        return set_engine(cli, args);
    if (strcmp(what, "list") != 0 || args->words > 2) {
        say("engines [list [ENGINE] | set ENGINE KEY=VALUE…]");
        return CLI_USAGE;
    }
    const char *params[] = {args->words > 1 ? args->word[1] : NULL};
    int code = CLI_YES;
    if (params[0] != NULL)
        code =
            link_find(cli, "engine", "select 1 from reveille.engine where engine = $1", params[0]);
    return code == CLI_YES ? link_show(cli, list_sql, 1, params, NULL) : code;
}
