"""A worker is killed and stays dead: how long until others have claimed the slices that it was at
work on."""

import statistics
import time
from types import SimpleNamespace

from fleet import pause, under_way
from stand import Result
from world import until

SHORT = SimpleNamespace(deaths=1, workers=5, mentors=4000, latency=50)
LONG = SimpleNamespace(deaths=30, workers=6, mentors=20000, latency=100)
BOUND_S = 15


def measure(stand, size, rng):
    times, deaths = [], 0
    stand.progress.expect(size.deaths)
    while deaths < size.deaths:
        with under_way(stand, size) as fleet:
            while deaths < size.deaths and fleet.open():
                pause(rng.uniform(0, 3))
                took = die(fleet, rng)
                deaths += bool(took)
                fleet.progress.add(bool(took))
                times += took
    return Result(
        {"deaths": deaths, "slices": len(times), "median_s": statistics.median(times),
         "max_s": max(times)},
        [(f"{size.deaths} deaths", deaths >= size.deaths),
         (f"all within {BOUND_S} s", max(times) <= BOUND_S)])


def die(fleet, rng):
    """Kills one that has claims, and starts it again when it has been replaced. Returns after how
    many seconds each of its slices was somebody else's."""
    holders = fleet.holders()
    if not holders:
        return []
    victim = rng.choice(holders)
    pid = victim.daemon.pid()
    killed = time.monotonic()
    fleet.kill(victim)
    left = set(fleet.held_by(pid))
    took = []

    def all_taken():
        now = set(fleet.held_by(pid))
        took.extend([time.monotonic() - killed] * len(left - now))
        left.intersection_update(now)
        return not left
    until(all_taken, 120, "the dead one's slices are taken over")
    fleet.back(victim)
    fleet.wait_ready()
    fleet.moves()
    return took
