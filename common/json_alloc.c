/* See json_alloc.h. */
#include "json_alloc.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static void *alloc_or_leave(size_t size)
{
    static const char text[] = "no memory left to read JSON: leaving, nothing is lost\n";
    void *block = malloc(size);
    if (block == NULL) {
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(EXIT_FAILURE);
    }
    return block;
}

void json_alloc_or_leave(void)
{
    json_set_alloc_funcs(alloc_or_leave, free);
}
