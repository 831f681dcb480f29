/* The command's help on stdout, and the sentences that its manual shares with it. */
#ifndef REVEILLE_CLI_HELP_H
#define REVEILLE_CLI_HELP_H

#include "cli.h"

#define HELP_RUN \
    "RUN is a run's id, a unique prefix of one (4 digits or more), latest, or latest:JOB."
#define HELP_EXITS 6 /* the exit codes of cli.h, 0 to 5 */

extern const char *const help_exits[HELP_EXITS]; /* what each means, in a few words */

void help_all(void);
void help_verb(const struct verb *verb);

#endif
