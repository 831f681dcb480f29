"""Groups of tests side by side: each a process of suite.py's own, three at a time, because most of a
group's time is waiting (for sessions that end, leases, groups that form). What a group printed is
shown when it has ended, whole. Not for one group alone: that runs in the suite's own process.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from failures import MARK, MOST_LINES
from progress import clear, tell

AT_A_TIME = 3
TALLY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


class Lane:
    """One group's process, and what it says."""

    def __init__(self, name, group, quick, environment):
        self.name = name
        self.started = time.monotonic()
        self._said = tempfile.TemporaryFile()
        words = [sys.executable, Path(__file__).parent / "suite.py", "--built", group]
        self._process = subprocess.Popen(words + ["--quick"] * quick, stdout=self._said,
                                         stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                         env={**os.environ, **environment})

    def ended(self):
        return self._process.poll() is not None

    def result(self):
        """(passed, failed, skipped, what the failures printed), after showing what was said.
        Without a last line of numbers the group counts as one failure."""
        self._said.seek(0)
        text = self._said.read().decode(errors="replace")
        sys.stdout.write(text)
        last = TALLY.match(text.splitlines()[-1] if text else "")
        passed, failed, skipped = map(int, last.groups()) if last else (0, 1, 0)
        print(f"== {self.name} has ended after {time.monotonic() - self.started:.0f} s", flush=True)
        failed = failed or int(self._process.returncode != 0)
        repeated = text.rpartition(f"{MARK}\n")[2].splitlines()[-MOST_LINES:]
        return passed, failed, skipped, [f"== in {self.name}:", *repeated] if failed else []

    def stop(self):
        """It stops what it has started."""
        if not self.ended():
            self._process.terminate()
            self._process.wait()
        self._said.close()


def show(running):
    """On a terminal, what runs and for how long."""
    tell(", ".join(f"{lane.name} {time.monotonic() - lane.started:.0f} s" for lane in running), 0, 0, 1)


def run_side_by_side(lanes, quick):
    """lanes: (name, group, environment), the longest first. Yields the result of each that ends."""
    waiting, running = list(lanes), []
    try:
        while waiting or running:
            while waiting and len(running) < AT_A_TIME:
                name, group, environment = waiting.pop(0)
                print(f"== {name} begins", flush=True)
                running.append(Lane(name, group, quick, environment))
            show(running)
            time.sleep(0.2)
            for lane in [one for one in running if one.ended()]:
                running.remove(lane)
                clear()
                yield lane.result()
                lane.stop()
    finally:
        for lane in running:
            lane.stop()
