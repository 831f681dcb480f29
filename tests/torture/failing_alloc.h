/* Memory that runs out when it is told to: malloc and its kin of this program and of every library
 * under it, counted. For the torture programs only; works where no sanitizer has its own allocator.
 */
#ifndef REVEILLE_FAILING_ALLOC_H
#define REVEILLE_FAILING_ALLOC_H

#include <stdbool.h>

/* From now on this thread's n-th allocation (1: the next) fails; and_after: those behind it, too.
 * n 0: none. */
void alloc_fail_at(long n, bool and_after);

/* Nothing fails any more. Returns how many have failed since alloc_fail_at. */
long alloc_heal(void);

/* Blocks that are allocated and not freed, of all threads. */
long alloc_live(void);

/* The path under torture: calls alloc_fail_at(n, and_after) where the failing is to begin, and
 * alloc_heal where it ends; then looks at what came, and frees it. */
typedef void (*alloc_path_fn)(void *arg, long n, bool and_after);

/* Runs path(arg, n, …) for n = 1, 2 … until a run in which nothing failed: with the n-th allocation
 * failing, and with all from the n-th on; the former twice, for libraries make and keep things the
 * first time. Fails the test when blocks are left behind after that, or when more than `most` were
 * needed. Returns how many allocations the path makes. */
long alloc_torture(alloc_path_fn path, void *arg, long most);

/* ---- what may make the process leave (lib_alloc.h) ------------------------------------------- */

/* Does the path's work in a child; calls alloc_fail_at and alloc_heal itself. True when all came
 * out well, false when nothing did. */
typedef bool (*alloc_try_fn)(void *arg, long n, bool and_after);

/* A path that runs it in a child: the child ends by EXIT_FAILURE, or with nothing wrong; a signal,
 * an alloc_must that does not hold, or a failure where no allocation failed, fails the test. */
void alloc_in_child(alloc_try_fn try, void *arg, long n, bool and_after);

void alloc_must(bool holds); /* in the child */

#endif
