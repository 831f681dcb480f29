"""Workers that join, leave and crash all the time: how long a run stands still while the group forms
again."""

import time
from types import SimpleNamespace

from fleet import pause, under_way
from stand import Result

SHORT = SimpleNamespace(rebalances=4, workers=3, mentors=2000, latency=100, session_ms=6000)
LONG = SimpleNamespace(rebalances=100, workers=6, mentors=20000, latency=100, session_ms=10000)
ALLOWED_S = 5      # beyond the session time-out, which a crash can cost
KINDS = ("join", "leave", "crash")


def measure(stand, size, rng):
    events, stops, twice = [], [], 0
    stand.progress.expect(size.rebalances)
    while len(events) < size.rebalances:
        with under_way(stand, size, session_ms=size.session_ms) as fleet:
            events += shake(fleet, size.rebalances - len(events), size, rng)
            stops += fleet.stops()      # those of the time at full speed do not count
        twice += fleet.twice
    session = size.session_ms / 1000
    crashed, calm = longest(stops, [at for at, kind in events if kind == "crash"], session)
    bound = session + ALLOWED_S
    count = {kind: sum(one == kind for _, one in events) for kind in KINDS}
    return Result(
        {"rebalances": len(events), **count, "longest_stop_after_a_crash_s": crashed,
         "longest_stop_otherwise_s": calm, "session_s": session,
         "slices_settled_twice": twice},
        [(f"{size.rebalances} rebalances", len(events) >= size.rebalances),
         (f"no stop over {bound:g} s", max(crashed, calm) <= bound), ("0 twice", twice == 0)])


def shake(fleet, wanted, size, rng):
    """Changes the group until the run has ended or it was changed so often: [(when, what)]."""
    events = []
    kinds = []
    while len(events) < wanted and fleet.open():
        kinds = kinds or rng.sample(KINDS, len(KINDS))
        kind = kinds.pop()
        if kind == "join" and len(fleet.workers) >= size.workers + 2:
            continue
        events.append((time.time(), kind))
        change(fleet, kind, rng)
        # A crash stops the group for up to the session; two in one stop would be a longer one.
        if kind == "crash":
            fleet.wait_ready()
            fleet.moves()
        fleet.progress.add()
        pause(rng.uniform(2, 6), lambda: not fleet.open())
    return events


def change(fleet, kind, rng):
    """One change; who joins or comes back is not waited for, so that changes overlap."""
    if kind == "join":
        fleet.workers.append(fleet.join(wait=False))
    elif kind == "leave":
        fleet.leave(rng.choice(fleet.workers))
    else:
        victim = rng.choice(fleet.workers)
        fleet.kill(victim)
        fleet.back(victim)


def longest(stops, crashes, session):
    """(the longest stop that began within a session of a crash, the longest other one): the group
    stands still from when somebody joins until the dead one's session is over."""
    found = {True: [0.0], False: [0.0]}
    for end, length in stops:
        found[any(end - length - session <= at <= end for at in crashes)].append(length)
    return max(found[True]), max(found[False])
