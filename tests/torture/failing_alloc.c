/* See failing_alloc.h. glibc lets a program define malloc and its kin, and keeps its own under
 * __libc_ names. Static variables are what an allocator is made of; nothing else may use them. */
#include "failing_alloc.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static _Thread_local long countdown; /* 0: nothing fails; 1: the next one does */
static _Thread_local bool all_after;
static _Thread_local long failed;
static atomic_long live;

void alloc_fail_at(long n, bool and_after)
{
    countdown = n;
    all_after = and_after;
    failed = 0;
}

long alloc_heal(void)
{
    countdown = 0;
    return failed;
}

long alloc_live(void)
{
    return atomic_load(&live);
}

static bool fails(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    countdown = all_after ? 1 : 0;
    failed++;
    errno = ENOMEM;
    return true;
}

static void *counted(void *block)
{
    if (block != NULL)
        atomic_fetch_add(&live, 1);
    return block;
}

void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *block, size_t size)
{
    if (fails())
        return NULL;
    void *moved = __libc_realloc(block, size);
    if (block == NULL)
        return counted(moved);
    if (size == 0)
        atomic_fetch_sub(&live, 1);
    return moved;
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *block = memalign(alignment, size);
    if (block == NULL)
        return ENOMEM;
    *ret = block;
    return 0;
}

void free(void *block)
{
    if (block == NULL)
        return;
    atomic_fetch_sub(&live, 1);
    __libc_free(block);
}

static long one_way(alloc_path_fn path, void *arg, long most, bool and_after)
{
    for (long n = 1; n <= most; n++) {
        path(arg, n, and_after);
        if (failed == 0)
            return n - 1;
    }
    fail_msg("more than %ld allocations", most);
    return most;
}

long alloc_torture(alloc_path_fn path, void *arg, long most)
{
    (void)one_way(path, arg, most, false);
    long before = alloc_live();
    (void)one_way(path, arg, most, true);
    long n = one_way(path, arg, most, false);
    if (alloc_live() != before)
        fail_msg("%ld blocks are left behind", alloc_live() - before);
    return n;
}

/* ---- what may make the process leave --------------------------------------------------------- */

/* How the child ends; EXIT_FAILURE: it left for want of memory. */
enum { ALL_WELL, NOTHING_CAME = 10, WRONG, NOTHING_FAILED };

void alloc_must(bool holds)
{
    if (!holds)
        _exit(WRONG);
}

/* A cmocka assertion that does not hold would have the child go on with the next test. */
static void went_astray(void)
{
    _exit(WRONG);
}

static void be_a_child(void)
{
    static const int signals[] = {SIGSEGV, SIGFPE, SIGBUS, SIGILL, SIGABRT}; /* cmocka's */
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)signal(signals[i], SIG_DFL);
    close(STDERR_FILENO); /* each says that it leaves */
    alloc_must(atexit(went_astray) == 0);
}

void alloc_in_child(alloc_try_fn try, void *arg, long n, bool and_after)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        be_a_child();
        bool well = try(arg, n, and_after);
        alloc_must(well || failed > 0);
        _exit(failed == 0 ? NOTHING_FAILED : well ? ALL_WELL : NOTHING_CAME);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("the %ld. allocation failed: signal %d", n, WTERMSIG(status));
    if (WEXITSTATUS(status) == WRONG)
        fail_msg("the %ld. allocation failed: something wrong came of it", n);
    failed = WEXITSTATUS(status) != NOTHING_FAILED;
}
