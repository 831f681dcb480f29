/* The table of verbs; the one place where a verb is known by name. */
#ifndef REVEILLE_CLI_VERBS_H
#define REVEILLE_CLI_VERBS_H

#include "cli.h"

#include <stddef.h>

/* What every verb takes; ends with a NULL name. */
extern const struct option_spec verbs_common_options[];

/* The i-th verb, from 0, in the order of the help; NULL: there are not so many. */
const struct verb *verbs_at(size_t i);
/* NULL: there is none of that name. */
const struct verb *verbs_find(const char *name);

#endif
