"""How far a trial has come, on stderr: a line over itself on a terminal, else one at each tenth. Not
what it has found: that is its Result."""

import sys
import time


class Progress:
    """progress.expect(500); progress.add(3) …; progress.clear(), before other output."""

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
        line = f"{self._name}: {self.done} of {self._of}, {minutes}:{seconds:02}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif self.done * 10 // self._of != before * 10 // self._of:
            print(line, file=sys.stderr, flush=True)

    def clear(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
