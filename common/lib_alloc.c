/* See lib_alloc.h. */
#include "lib_alloc.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *or_leave(void *block)
{
    static const char text[] = "no memory left: leaving, nothing is lost\n";
    if (block == NULL) {
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(EXIT_FAILURE);
    }
    return block;
}

/* Of nothing: one byte, for NULL would say that there is no memory. */

void *lib_malloc(size_t size)
{
    return or_leave(malloc(size > 0 ? size : 1));
}

void *lib_calloc(size_t n, size_t size)
{
    return or_leave(n > 0 && size > 0 ? calloc(n, size) : calloc(1, 1));
}

void *lib_realloc(void *block, size_t size)
{
    return or_leave(realloc(block, size > 0 ? size : 1));
}

char *lib_strdup(const char *text)
{
    return or_leave(strdup(text));
}

void lib_alloc_or_leave(void)
{
    json_set_alloc_funcs(lib_malloc, free);
    event_set_mem_functions(lib_malloc, lib_realloc, free);
}
