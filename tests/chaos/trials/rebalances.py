"""Workers that join, leave and crash all the time: how long a run stands still while the group forms
again."""

import time
from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, new_roster, Result

SHORT = SimpleNamespace(rebalances=4, workers=3, mentors=2000, latency=100, session_ms=6000)
LONG = SimpleNamespace(rebalances=100, workers=6, mentors=20000, latency=100, session_ms=10000)
PAGE = 10
ALLOWED_S = 5      # beyond the session time-out, which a crash can cost


def measure(stand, size, rng):
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers, size.session_ms)
        events, stops = [], []
        while len(events) < size.rebalances:
            new_roster(world, size.mentors)
            run = world.ask()
            fleet.moves(run)
            events += shake(fleet, run, size.rebalances - len(events), size, rng)
            world.engine.control(latency=2)
            world.ended(run, 600)
            judge(world, run)
            stops += fleet.stops(run)
            world.engine.control(latency=size.latency)
        twice = len(fleet.twice())
    crashed, calm = longest(stops, events)
    bound = size.session_ms / 1000 + ALLOWED_S
    count = {kind: sum(one == kind for _, one in events) for kind in ("join", "leave", "crash")}
    return Result(
        {"rebalances": len(events), **count, "longest_stop_after_a_crash_s": crashed,
         "longest_stop_otherwise_s": calm, "session_s": size.session_ms / 1000,
         "slices_settled_twice": twice},
        [(f"{size.rebalances} rebalances", len(events) >= size.rebalances),
         (f"no stop over {bound:g} s", max(crashed, calm) <= bound), ("0 twice", twice == 0)])


def shake(fleet, run, wanted, size, rng):
    """Changes the group until the run has ended or it was changed so often: [(when, what)]."""
    events = []
    kinds = []
    while len(events) < wanted and fleet.open(run):
        kinds = kinds or rng.sample(("join", "leave", "crash"), 3)
        kind = kinds.pop()
        if kind == "join" and len(fleet.workers) >= size.workers + 2:
            continue
        events.append((time.time(), kind))
        change(fleet, kind, rng)
        # A crash stops the group for up to the session; two in one stop would be a longer one.
        if kind == "crash":
            fleet.wait_ready()
            fleet.moves(run)
        pause(rng.uniform(2, 6), lambda: not fleet.open(run))
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


def longest(stops, events):
    """(the longest stop that a crash fell into, the longest other one)."""
    crashes = [at for at, kind in events if kind == "crash"]
    crashed = [length for end, length in stops
               if any(end - length - 1 <= at <= end for at in crashes)]
    calm = [length for end, length in stops
            if not any(end - length - 1 <= at <= end for at in crashes)]
    return max(crashed, default=0.0), max(calm, default=0.0)
