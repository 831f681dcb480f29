/* Keeps a program's memory its own: no core file, no other process of the same user that attaches
 * or reads /proc/PID/mem or environ. The programs hold secrets; a crash must not write them to a
 * disk, nor hand them to whoever collects cores. Root still sees everything, and a page may be
 * swapped. */
#ifndef REVEILLE_NO_DUMP_H
#define REVEILLE_NO_DUMP_H

#include "err.h"

/* The first thing a program does, before it reads its environment; holds until it ends, and is not
 * handed on by an exec. -1 with SYSTEM: the machine does not let us; the caller must not go on.
 * Built with the address sanitizer only core files are stopped: its search for leaks attaches. */
int no_dump(struct err *err) MUST_CHECK;

#endif
