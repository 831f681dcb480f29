"""The same crashes and departures with static membership (group.instance.id) and without: what each
costs the group, and the partitions of the one that goes."""

import statistics
import time
from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, new_roster, Result

SHORT = SimpleNamespace(times=1, workers=3, mentors=8000, latency=100, session_ms=6000)
LONG = SimpleNamespace(times=10, workers=6, mentors=60000, latency=100, session_ms=10000)
PAGE = 10


def measure(stand, size, rng):
    figures = {}
    for kind, own in (("dynamic", lambda number: {}),
                      ("static", lambda number: {"KAFKA_GROUP_INSTANCE_ID": f"w{number}"})):
        for what, stops in one(stand, size, rng, own).items():
            for whose, lengths in stops.items():
                figures[f"{kind}_{what}_stops_{whose}_median_s"] = statistics.median(lengths)
                figures[f"{kind}_{what}_stops_{whose}_max_s"] = max(lengths)
    return Result(figures, [("the runs are exact", True)])


def one(stand, size, rng, own):
    """{crash|leave: {everybody|a_partition: [seconds]}}: the longest time in which nobody settled a
    slice, and in which none of some partition was settled, after each event."""
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers, size.session_ms, own)
        new_roster(world, size.mentors)
        run = world.ask()
        fleet.moves(run)
        events = [(what, at) for _ in range(size.times) for what, at in
                  (crash(fleet, run, rng), leave(fleet, run, rng))]
        world.engine.control(latency=2)
        world.ended(run, 600)
        judge(world, run)
        calm = size.session_ms / 1000 + 5
        found = {}
        for what, at in events:
            stops = found.setdefault(what, {"everybody": [], "a_partition": []})
            stops["everybody"].append(longest(fleet.stops(run), at, calm))
            stops["a_partition"].append(max(
                longest(fleet.stops(run, partition), at, calm)
                for partition in fleet.partitions(run)))
        return found


def crash(fleet, run, rng):
    """kill -9, and started again at once, as a supervisor would."""
    at = time.time()
    victim = rng.choice(fleet.workers)
    fleet.kill(victim)
    fleet.back(victim)
    settle_down(fleet, run)
    return "crash", at


def leave(fleet, run, rng):
    """SIGTERM, and started again when the others have gone on for longer than a session."""
    at = time.time()
    victim = rng.choice(fleet.workers)
    victim.stop()
    settle_down(fleet, run)
    fleet.back(victim)
    settle_down(fleet, run)
    return "leave", at


def settle_down(fleet, run):
    """Longer than any session, so that one event's stop is not the next one's."""
    pause(15)
    assert fleet.open(run), "the run is over too early: it needs more mentors"
    fleet.moves(run)


def longest(stops, at, within):
    """The longest stop that touches the time from `at` on, so many seconds long."""
    return max((length for end, length in stops
                if end > at and end - length < at + within), default=0.0)
