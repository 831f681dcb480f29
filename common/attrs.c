/* What CHECK_MAGIC does when a `void *` is not what it should be: says where, and stops. */
#include "attrs.h"

#include <stdio.h>
#include <stdlib.h>

void magic_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not a %s: stopped\n", file, line, what);
    abort();
}
