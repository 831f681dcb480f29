"""The engine goes away in the middle of a run and comes back: it costs time, and no mentor."""

import time
from types import SimpleNamespace

from fleet import pause, under_way
from stand import LIMIT, Result
from world import until

SHORT = SimpleNamespace(away=[("stopped", 15)], workers=2, mentors=1500, latency=50)
LONG = SimpleNamespace(away=[("stopped", 600), ("503", 120), ("hang", 120)], workers=4,
                       mentors=3000, latency=50)
PAGE = 10
CLOSED_S = 60


def measure(stand, size, rng):
    figures, bounds = {}, []
    stand.progress.expect(len(size.away))
    for how, seconds in size.away:
        with under_way(stand, size, PAGE) as fleet:
            world = fleet.world
            until(lambda: fleet.done() >= size.mentors / PAGE / 3, 120, "a third is done")
            most = world.engine.stats()["max_in_flight"]
            go(world, how)
            pause(seconds)
            left = size.mentors - PAGE * fleet.done()
            assert fleet.open(), "it was over before the engine was back"
            come_back(world, how, size)
            returned = time.time()
            world.ended(fleet.run, 300)     # not at full speed
            closed = fleet.ended_at() - returned
            most = max(most, world.engine.stats()["max_in_flight"])
        stand.progress.add()
        errors = fleet.summary["total_errors"]
        figures |= {f"{how}_for_s": seconds, f"{how}_errors": errors, f"{how}_mentors_left": left,
                    f"{how}_closed_after_s": closed, f"{how}_most_in_flight": most}
        bounds += [(f"{how}: 0 errors", errors == 0),
                   (f"{how}: closed within {CLOSED_S} s of its return", closed <= CLOSED_S),
                   (f"{how}: never more than {LIMIT} in flight", most <= LIMIT)]
    return Result(figures, bounds)


def go(world, how):
    """`stopped`: connections are refused; otherwise a mode of the scripted engine."""
    if how == "stopped":
        world.engine.stop()
    else:
        world.engine.control(mode=how)


def come_back(world, how, size):
    if how == "stopped":
        world.start_engine(latency=size.latency)
    else:
        world.engine.control(mode="ok")
