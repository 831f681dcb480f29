"""A worker is killed and stays dead: how long until others have claimed the slices that it was at
work on."""

import statistics
import time
from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, new_roster, Result
from world import until

SHORT = SimpleNamespace(deaths=1, workers=3, mentors=1500, latency=100, session_ms=10000)
LONG = SimpleNamespace(deaths=30, workers=6, mentors=20000, latency=100, session_ms=10000)
PAGE = 10
BOUND_S = 15


def measure(stand, size, rng):
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers, size.session_ms)
        times, deaths = [], 0
        while deaths < size.deaths:
            new_roster(world, size.mentors)
            run = world.ask()
            fleet.moves(run)
            while deaths < size.deaths and fleet.open(run):
                pause(rng.uniform(0, 3))
                took = die(fleet, run, rng)
                deaths += bool(took)
                times += took
            world.engine.control(latency=2)
            world.ended(run, 600)
            judge(world, run)
            world.engine.control(latency=size.latency)
    return Result(
        {"deaths": deaths, "slices": len(times), "median_s": statistics.median(times),
         "max_s": max(times), "session_s": size.session_ms / 1000},
        [(f"{size.deaths} deaths", deaths >= size.deaths),
         (f"all within {BOUND_S} s", max(times) <= BOUND_S)])


def die(fleet, run, rng):
    """Kills one that has claims, and starts it again when it has been replaced. Returns after how
    many seconds each of its slices was somebody else's."""
    holders = fleet.holders(run)
    if not holders:
        return []
    victim = rng.choice(holders)
    pid = victim.daemon.pid()
    killed = time.monotonic()
    fleet.kill(victim)
    left = set(fleet.held_by(run, pid))
    took = []

    def all_taken():
        now = set(fleet.held_by(run, pid))
        took.extend([time.monotonic() - killed] * len(left - now))
        left.intersection_update(now)
        return not left
    until(all_taken, 120, "the dead one's slices are taken over")
    fleet.back(victim)
    fleet.wait_ready()
    fleet.moves(run)
    return took
