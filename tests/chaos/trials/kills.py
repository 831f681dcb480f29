"""Workers killed with SIGKILL, three of eight at a time, for as long as it takes: nobody lost, nobody
told twice, every total exact."""

from types import SimpleNamespace

from fleet import pause, under_way
from stand import Result

SHORT = SimpleNamespace(kills=6, at_once=3, workers=6, mentors=1500, latency=100, session_ms=6000)
LONG = SimpleNamespace(kills=500, at_once=3, workers=8, mentors=60000, latency=100,
                       session_ms=10000)


def measure(stand, size, rng):
    kills = torn = mentors = evaluated = dispatched = twice = runs = 0
    stand.progress.expect(size.kills)
    while kills < size.kills:
        # A slice of ten takes a worker about a second: a kill hits some, and none five times.
        with under_way(stand, size, session_ms=size.session_ms) as fleet:
            more, slices = kill_through(fleet, size.kills - kills, size, rng)
        kills, torn, runs = kills + more, torn + slices, runs + 1
        mentors += size.mentors
        evaluated += fleet.summary["total_evaluated"]
        dispatched += fleet.summary["total_dispatched"]
        twice += fleet.twice
    return Result(
        {"kills": kills, "slices_torn_from_the_killed": torn, "runs": runs, "mentors": mentors,
         "lost": mentors - evaluated, "dispatched": dispatched, "slices_settled_twice": twice},
        [(f"{size.kills} kills", kills >= size.kills),
         ("0 lost", evaluated == mentors), ("0 twice", twice == 0),
         ("everybody told once", dispatched == mentors)])


def kill_through(fleet, wanted, size, rng):
    """Kills until so many are dead or the run has ended. Returns how many, and how many slices they
    had claimed."""
    kills = slices = 0
    while kills < wanted and fleet.open():
        fleet.moves()                             # the group has formed
        pause(rng.uniform(0, 3), lambda: not fleet.open())
        victims = rng.sample(fleet.workers, size.at_once)
        if not fleet.open():
            break
        pids = fleet.kill(*victims)
        slices += len(fleet.held_by(*pids))
        fleet.back(*victims)
        kills += len(victims)
        fleet.progress.add(len(victims))
        pause(size.session_ms / 1000 + 2, lambda: not fleet.open())
    return kills, slices
