/* Why a call failed: one line for people. The engine's only way to report a failure upwards; main
 * prints it, or an answer carries it. */
#ifndef REVEILLE_SCRIPTED_ENGINE_WHY_H
#define REVEILLE_SCRIPTED_ENGINE_WHY_H

#include <stddef.h>

struct why {
    char text[200];
};

/* Writes the reason and returns -1, so that a failing function can `return why_set(why, …)`. */
int why_set(struct why *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same with ": " and errno's message behind it. */
int why_errno(struct why *why, const char *what);

#endif
