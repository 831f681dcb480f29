"""How far long work is, on stderr: a line over itself on a terminal, else one at each tenth. Not what has
come of it: that is the work's own to tell."""

import sys
import time


def tell(line, before, done, of):
    """before: what was done when the line was told last."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    elif done * 10 // of != before * 10 // of:
        print(line, file=sys.stderr, flush=True)


def clear():
    """Before other output."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


class Progress:
    """progress.expect(500); progress.add(3) …: name, steps and time."""

    def __init__(self, name):
        self._name = name
        self._began = time.monotonic()
        self._of = 0
        self.done = 0

    def expect(self, steps):
        self._of = steps

    def add(self, steps=1):
        before, self.done = self.done, min(self.done + steps, self._of)
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        tell(f"{self._name}: {self.done} of {self._of}, {minutes}:{seconds:02}", before, self.done,
             self._of)
