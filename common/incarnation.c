/* See incarnation.h. */
#include "incarnation.h"

#include "uuid.h"

#include <stdio.h>
#include <unistd.h>

int incarnation_name(char ret_name[INCARNATION_SIZE], struct err *err)
{
    char host[64] = "?";
    struct uuid random;
    if (uuid_random(&random, err))
        return -1;
    (void)gethostname(host, sizeof(host) - 1); /* without one, pid and random still tell us apart */
    snprintf(ret_name, INCARNATION_SIZE, "%s:%ld:%02x%02x%02x%02x", host, (long)getpid(),
             random.b[0], random.b[1], random.b[2], random.b[3]);
    return 0;
}
