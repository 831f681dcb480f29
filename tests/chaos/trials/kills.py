"""Workers killed with SIGKILL, three of eight at a time, for as long as it takes: nobody lost, nobody
told twice, every total exact."""

from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, new_roster, Result

SHORT = SimpleNamespace(kills=6, at_once=3, workers=6, mentors=1500, latency=100, session_ms=6000)
LONG = SimpleNamespace(kills=500, at_once=3, workers=8, mentors=60000, latency=100,
                       session_ms=10000)
PAGE = 10   # a slice takes a worker about a second: a kill hits some, and no slice five times


def measure(stand, size, rng):
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers, size.session_ms)
        kills = hit = mentors = dispatched = runs = 0
        while kills < size.kills:
            new_roster(world, size.mentors)
            run = world.ask()
            more, orphans = kill_through(fleet, run, size.kills - kills, size, rng)
            kills, hit = kills + more, hit + orphans
            world.engine.control(latency=2)       # what is left of the run needs no kills
            world.ended(run, 600)
            summary = judge(world, run)
            mentors += summary["total_evaluated"]
            dispatched += summary["total_dispatched"]
            runs += 1
            world.engine.control(latency=size.latency)
        twice = len(fleet.twice())
        asked = world.engine.stats()["requests"]
        lost = runs * size.mentors - mentors
    return Result(
        {"kills": kills, "slices_torn_from_the_killed": hit, "runs": runs,
         "mentors": runs * size.mentors, "lost": lost, "dispatched": dispatched,
         "slices_settled_twice": twice, "engine_calls": asked},
        [(f"{size.kills} kills", kills >= size.kills),
         ("0 lost", lost == 0), ("0 twice", twice == 0),
         ("everybody told once", dispatched == mentors)])


def kill_through(fleet, run, wanted, size, rng):
    """Kills until so many are dead or the run has ended. Returns how many, and the slices that they
    had claimed."""
    kills = orphans = 0
    while kills < wanted and fleet.open(run):
        fleet.moves(run)                          # the group has formed
        pause(rng.uniform(0, 3), lambda: not fleet.open(run))
        victims = rng.sample(fleet.workers, size.at_once)
        if not fleet.open(run):
            break
        pids = fleet.kill(*victims)
        orphans += len(fleet.held_by(run, *pids))
        fleet.back(*victims)
        kills += len(victims)
        pause(size.session_ms / 1000 + 2, lambda: not fleet.open(run))
    return kills, orphans
