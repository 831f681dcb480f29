/* Memory for the libraries that cannot do without. jansson's reader (2.14) takes a failed
 * allocation for a short text, and then reads and writes beyond it; libevent (2.1.12) drops a
 * header, or uses a callback that it could not make; libcurl (7.88.1) divides by the size of a
 * table that is not there. So they never see one: when memory runs out, the process says so and
 * leaves with EXIT_FAILURE (librdkafka aborts by itself). Whoever keeps it running starts it again,
 * and nothing is lost but what was under way. Our own code, and libpq, report it. */
#ifndef REVEILLE_LIB_ALLOC_H
#define REVEILLE_LIB_ALLOC_H

#include <stddef.h>

/* For jansson and libevent. To be called before the first use of either; for the whole process. */
void lib_alloc_or_leave(void);

/* For libcurl, by whoever sets it up; free goes with them. */
void *lib_malloc(size_t size);
void *lib_calloc(size_t n, size_t size);
void *lib_realloc(void *block, size_t size);
char *lib_strdup(const char *text);

#endif
