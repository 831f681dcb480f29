/* What a process calls itself in the database: `host:pid:random`, so that a person finds it and no
 * later process, not even one with the same pid, is taken for it. */
#ifndef REVEILLE_INCARNATION_H
#define REVEILLE_INCARNATION_H

#include "err.h"

#define INCARNATION_SIZE 96 /* 63 of the host's name, a pid, 8 hex digits, colons, the zero */

/* -1 with SYSTEM when there is no randomness. */
int incarnation_name(char ret_name[INCARNATION_SIZE], struct err *err) MUST_CHECK;

#endif
