/* See no_dump.h. */
#include "no_dump.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#endif

int no_dump(struct err *err)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none))
        return err_errno(err, "cannot forbid core files");
#ifndef SANITIZED /* the limit does not hold for cores that go into a pipe; this does */
    if (prctl(PR_SET_DUMPABLE, 0))
        return err_errno(err, "cannot forbid dumps of memory");
#endif
    return 0;
}
