"""Whether a secret can be guessed bit by bit from how long its comparison takes, and what a guess
costs the producer. Figures; nothing is asserted (the bound of 4.5 is what is usual for Welch's t)."""

import re
import subprocess
import time

from cpu import seconds
from rig import JOB, PROGRAMS, Rig
from stack.net import http_request

TIMING = PROGRAMS / "reveille-secret-timing"


def comparison(samples, row):
    done = subprocess.run([TIMING, "time", str(samples)], text=True, check=True,
                          stdout=subprocess.PIPE)
    for line in done.stdout.splitlines():
        name, count, mean, apart, t = line.split()
        row(f"{name}: a guess wrong in its last digit beside one wrong in its first, "
            f"{int(count):,} samples", f"t = {float(t):.2f}",
            "a leak would be seen" if name == "byte_by_byte" else "aim: abs(t) under 4.5",
            f"{float(apart):+.3f} ns of {float(mean):.0f}")
    counts = [instructions(which) for which in (0, 1)]
    row("instructions of 1,000 comparisons and the program's start (callgrind)",
        f"{counts[0]:,} and {counts[1]:,}", "aim: the same", f"{counts[1] - counts[0]:+d}")


def instructions(which):
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", TIMING,
                           "count", str(which)], text=True, check=True, stderr=subprocess.PIPE)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def refusals(folder, count, row):
    """CPU of the producer for a POST with a wrong secret, each on a connection of its own."""
    with Rig(folder, mentors=10, workers=1) as rig:
        url = f"{rig.stack.exports()['REVEILLE_URL']}/v1/jobs/{JOB}/runs"
        pid, started = rig.stack_pid("producer"), time.monotonic()
        before = seconds(pid)
        for _ in range(count):
            status = http_request("POST", url, headers={"X-Scheduler-Secret": "ab" * 32})[0]
            if status != 401:
                raise SystemExit(f"answered with {status}")
        row(f"{count:,} POSTs with a wrong secret, a connection each",
            f"{1e6 * (seconds(pid) - before) / count:.0f} us of the producer's CPU each",
            "401, whatever they ask for", f"{count / (time.monotonic() - started):,.0f} a second")
