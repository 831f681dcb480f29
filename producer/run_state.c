/* The names of a run's states, as the database writes them. */
#include "run_core.h"

#include <string.h>

static const char *const names[] = {"planning", "running",   "completed",
                                    "partial",  "cancelled", "failed"};

const char *run_state_name(enum run_state s)
{
    return names[s];
}

bool run_state_parse(const char *text, enum run_state *ret_s)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(names[i], text) == 0) {
            *ret_s = (enum run_state)i;
            return true;
        }
    }
    return false;
}

bool run_state_ended(enum run_state s)
{
    return s != RUN_PLANNING && s != RUN_RUNNING;
}
