"""A disk that can be full: a tmpfs under one part's folder. Filled by making it as small as what is
on it, so that it costs no memory; only root can mount one.
"""

import os
import subprocess
from pathlib import Path

from stack.daemon import wait_for

ROOM = 1 << 30  # bytes: far more than a campaign writes; what is not written is not taken


class SmallDisk:
    """`mount` before the part is started, `unmount` after its end."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def mount(self):
        """False where it cannot be done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return os.geteuid() == 0 and run("mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0755",
                                         "reveille-chaos", self.folder)

    def unmount(self):
        """A process whose first thread has ended may still be at it with the others."""
        wait_for(lambda: run("umount", self.folder), 30, f"end of all work in {self.folder}")

    def fill(self):
        """Not a byte more can be written. The size is rounded up to a page; if somebody writes
        meanwhile it is less than what is there, and the kernel refuses: hence the tries."""
        for _ in range(20):
            disk = os.statvfs(self.folder)
            used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            if run("mount", "-o", f"remount,size={used}", self.folder):
                return True
        return False

    def free(self):
        if not run("mount", "-o", f"remount,size={ROOM}", self.folder):
            raise OSError(f"{self.folder} cannot be made larger again")


def run(*command):
    return subprocess.run([str(word) for word in command], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0
