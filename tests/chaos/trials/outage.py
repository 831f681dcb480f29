"""The engine goes away in the middle of a run and comes back: it costs time, and no mentor."""

import time
from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, LIMIT, new_roster, Result
from world import until

SHORT = SimpleNamespace(away=[("stopped", 15)], workers=2, mentors=1500, latency=50)
LONG = SimpleNamespace(away=[("stopped", 600), ("503", 120), ("hang", 120)], workers=4,
                       mentors=3000, latency=50)
PAGE = 10
CLOSED_S = 60


def measure(stand, size, rng):
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers)
        figures, bounds, most = {}, [], 0
        for how, seconds in size.away:
            new_roster(world, size.mentors)
            run = world.ask()
            until(lambda: fleet.done(run) >= size.mentors / PAGE / 3, 120, "a third is done")
            most = max(most, world.engine.stats()["max_in_flight"])
            go(world, how)
            pause(seconds)
            left = size.mentors - PAGE * fleet.done(run)
            assert fleet.open(run), "it was over before the engine was back"
            come_back(world, how, size)
            returned = time.time()
            world.ended(run, 300)
            closed = world.db.value("select extract(epoch from finished_at)::float8 "
                                    "from reveille.run where run_id = %s", run) - returned
            errors = judge(world, run)["total_errors"]
            most = max(most, world.engine.stats()["max_in_flight"])
            figures |= {f"{how}_{seconds}_s_errors": errors,
                        f"{how}_closed_after_s": closed, f"{how}_mentors_left": left}
            bounds += [(f"{how}: 0 errors", errors == 0),
                       (f"{how}: closed within {CLOSED_S} s of its return", closed <= CLOSED_S)]
    return Result({**figures, "most_in_flight": most},
                  [*bounds, (f"never more than {LIMIT} in flight", most <= LIMIT)])


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
