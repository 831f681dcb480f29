/* `reveille assignments set-contact`: an operator's correction of one assignment's last contact. */
#include "link.h"
#include "print.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static int refuse(void)
{
    say("assignments set-contact ID YYYY-MM-DD, with the assignment's id");
    return CLI_USAGE;
}

int verb_assignments(struct cli *cli, const struct args *args)
{
    struct uuid id;
    const char *params[] = {args->word[1], args->word[2]};
    if (strcmp(args->word[0], "set-contact") != 0 || !uuid_parse(params[0], &id) ||
        strspn(params[1], "0123456789-") != strlen("YYYY-MM-DD") || strlen(params[1]) != 10)
        return refuse();
    int code = CLI_YES;
    PGresult *row = link_query(cli, "select reveille.set_contact($1::uuid, $2::date, session_user)",
                               2, params, &code);
    if (row == NULL)
        return code;
    bool future = PQgetisnull(row, 0, 0), found = PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    if (future) {
        say("%s is still to come: a contact is a day that has been", params[1]);
        return CLI_USAGE;
    }
    if (!found) {
        say("there is no assignment %s", params[0]);
        return CLI_NONE;
    }
    if (cli->json) {
        json_t *answer =
            json_pack("{s:s, s:s}", "assignment_id", params[0], "last_contact_date", params[1]);
        print_json(answer);
        json_decref(answer);
    } else {
        printf("assignment %s: last contact %s\n", params[0], params[1]);
    }
    return CLI_YES;
}
