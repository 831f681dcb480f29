"""One run after another for half an hour, some mentors failing: memory, descriptors and threads of
producers and workers in the last third are what they were in the first."""

import os
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

from fleet import Fleet
from stand import judge, Result

SHORT = SimpleNamespace(seconds=20, every=1, mentors=200)
LONG = SimpleNamespace(seconds=1800, every=10, mentors=2000)
MORE_KIB = 1024     # what a process may have more in the last third: pages, not a leak a run
FAILURES = 0.02     # share of mentors whose every call fails


def measure(stand, size, rng):
    with stand.world() as world:
        world.mentors(size.mentors)
        world.start_engine(latency=5, failures=FAILURES)
        world.start_producer()
        world.start_producer("producer-2")
        fleet = Fleet(world, 3)
        samples, runs, bad = watch(world, size, stand.progress)
        judge(world)
        twice = fleet.settled_twice()
    figures, bounds = {"runs": len(runs), "minutes": size.seconds / 60}, []
    for name, seen in samples.items():
        third = len(seen) // 3
        before, after = ([statistics.median(column) for column in zip(*part)]
                         for part in (seen[:third], seen[-third:]))
        most = [max(column) for column in zip(*seen[:third])]
        figures[name] = ", ".join(
            f"{one:g}→{other:g} {what}" for one, other, what in
            zip(before, after, ("KiB", "files", "threads")))
        bounds += [(f"{name}: memory flat", after[0] - before[0] <= MORE_KIB),
                   (f"{name}: descriptors flat", after[1] <= most[1]),
                   (f"{name}: threads flat", after[2] <= most[2])]
    return Result(figures, [*bounds, ("every run completed", not bad), ("0 twice", twice == 0)])


def watch(world, size, progress):
    """Runs until the time is over: ({program: [(KiB, descriptors, threads)]}, runs, those that did
    not complete)."""
    programs = {name: program.daemon.pid() for name, program in world.programs.items()}
    samples = {name: [] for name in programs}
    runs, bad = [world.ask()], []
    begin = time.monotonic()
    due = begin + size.every
    progress.expect(size.seconds // size.every)
    while time.monotonic() < begin + size.seconds:
        if time.monotonic() >= due:
            due += size.every
            for name, pid in programs.items():
                samples[name].append(sample(pid))
            progress.add()
        state = world.state(runs[-1])
        if state not in ("planning", "running"):
            bad += [runs[-1]] if state != "completed" else []
            runs.append(world.ask())
        time.sleep(0.1)
    world.ended(runs[-1])
    return samples, runs, bad


def sample(pid):
    """Resident KiB, open descriptors, threads."""
    status = dict(line.split(":", 1) for line in
                  Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    return (int(status["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")),
            int(status["Threads"]))
