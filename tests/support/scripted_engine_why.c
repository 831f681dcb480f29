#include "scripted_engine_why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int why_set(struct why *why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why->text, sizeof(why->text), fmt, args); /* cut where it is too long */
    va_end(args);
    return -1;
}

int why_errno(struct why *why, const char *what)
{
    return why_set(why, "%s: %s", what, strerror(errno));
}
