"""A program whose wall clock jumps: it runs with libfaketime before the C library, which reads the
offset from a file that can be rewritten at any time. The monotonic clock is left alone, as when
somebody sets a machine's clock.

It is no true clock to librdkafka: what time it is, librdkafka is told with the offset, but its timed
waits (C11's) are the kernel's, which knows of none. So a wait of a second lasts 26 hours, unless it
is woken. Hence the program is killed at the end of the fault, and what it does meanwhile counts; how
it would end does not.
"""

from pathlib import Path

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
JUMPS = ("+26h", "-1h")
SETTLED_SECONDS = 15   # for it to become ready, if other faults let it; jumped with after that


def jump(rig, fault):
    """Kills it, starts it with the right time, lets it begin its work, and then sets its clock.
    False where libfaketime is missing, or would stand before a sanitizer."""
    if not LIBRARY.exists() or rig.sanitized:
        return False
    offset = offset_file(rig, fault.target)
    write(offset, "+0")
    rig.kill(fault.target)
    rig.again(fault.target, environment={
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1"})
    rig.ready_within(fault.target, SETTLED_SECONDS)
    write(offset, fault.detail)
    return True


def right(rig, fault):
    """Killed, and started with the machine's clock."""
    rig.kill(fault.target)
    rig.again(fault.target)


def offset_file(rig, name):
    return rig.layout.run / f"{name}.clock"


def write(path, offset):
    """Whole or not at all: the library reads at any moment."""
    draft = path.with_suffix(".new")
    draft.write_text(offset + "\n", encoding="utf-8")
    draft.rename(path)
