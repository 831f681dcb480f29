"""CPU seconds and resident memory of a stack's processes, read from /proc. Only reads."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid):
    """utime, stime and the same of children that have ended, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def _children(pid):
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                yield int(entry.name)


def seconds(pid):
    """CPU of a process and of its children, living or ended: a PostgreSQL is one process each link."""
    total = _stat(pid)
    for child in _children(pid):
        try:
            total += _stat(child)
        except OSError:
            pass
    return total


def peak_mib(pid):
    """The most resident memory the process has had."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
