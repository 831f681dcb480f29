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

/* For a path whose work a child did: whether an allocation failed there. */
void alloc_note_failed(bool yes);

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

#endif
