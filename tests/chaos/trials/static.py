"""The same crashes and departures with static membership (group.instance.id) and without: what each
costs the group, and the partitions of the one that goes."""

import statistics
import time
from types import SimpleNamespace

from fleet import pause, under_way
from stand import Result

SHORT = SimpleNamespace(times=1, workers=3, mentors=8000, latency=100, session_ms=6000)
LONG = SimpleNamespace(times=10, workers=6, mentors=60000, latency=100, session_ms=10000)
MEMBERS = {"dynamic": lambda number: {},
           "static": lambda number: {"KAFKA_GROUP_INSTANCE_ID": f"w{number}"}}


def measure(stand, size, rng):
    figures = {}
    stand.progress.expect(len(MEMBERS) * 2 * size.times)
    for kind, own in MEMBERS.items():
        for what, stops in hold(stand, size, rng, own).items():
            for whose, lengths in stops.items():
                figures[f"{kind}_{what}_stops_{whose}_median_s"] = statistics.median(lengths)
                figures[f"{kind}_{what}_stops_{whose}_max_s"] = max(lengths)
    return Result(figures, [("the runs are exact", True)])


def hold(stand, size, rng, own):
    """{crash|leave: {everybody|a_partition: [seconds]}}: the longest time in which nobody settled a
    slice, and in which none of some partition was settled, after each event."""
    with under_way(stand, size, session_ms=size.session_ms, environment=own) as fleet:
        events = [event for _ in range(size.times)
                  for event in (crash(fleet, rng), leave(fleet, rng))]
        everybody = fleet.stops()
        partitions = [fleet.stops(partition) for partition in fleet.partitions()]
    within = size.session_ms / 1000 + 5
    found = {}
    for what, at in events:
        stops = found.setdefault(what, {"everybody": [], "a_partition": []})
        stops["everybody"].append(longest(everybody, at, within))
        stops["a_partition"].append(max(longest(one, at, within) for one in partitions))
    return found


def crash(fleet, rng):
    """kill -9, and started again at once, as a supervisor would."""
    at = time.time()
    victim = rng.choice(fleet.workers)
    fleet.kill(victim)
    fleet.back(victim)
    settle_down(fleet)
    fleet.progress.add()
    return "crash", at


def leave(fleet, rng):
    """SIGTERM, and started again when the others have gone on for longer than a session."""
    at = time.time()
    victim = rng.choice(fleet.workers)
    victim.stop()
    settle_down(fleet)
    fleet.back(victim)
    settle_down(fleet)
    fleet.progress.add()
    return "leave", at


def settle_down(fleet):
    """Longer than any session, so that one event's stop is not the next one's."""
    pause(15)
    assert fleet.open(), "the run is over too early: it needs more mentors"
    fleet.moves()


def longest(stops, at, within):
    """The longest stop that touches the time from `at` on, so many seconds long."""
    return max((length for end, length in stops
                if end > at and end - length < at + within), default=0.0)
