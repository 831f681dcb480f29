"""PostgreSQL is stopped at once, as in a crash, and started again, time after time in a run: each
commit whose answer was lost is looked up, and the run is exact."""

from types import SimpleNamespace

from fleet import pause, under_way
from stand import Result

SHORT = SimpleNamespace(restarts=2, workers=2, mentors=3000, latency=10)
LONG = SimpleNamespace(restarts=20, workers=4, mentors=60000, latency=3)
PAGE = 5    # small slices: many settles a second, so that some are under way at any moment


def measure(stand, size, rng):
    restarts = unknown = committed = mentors = evaluated = twice = runs = 0
    stand.progress.expect(size.restarts)
    while restarts < size.restarts:
        with under_way(stand, size, PAGE) as fleet:
            while restarts < size.restarts and fleet.open():
                hit = restart(fleet, rng)
                restarts += hit
                fleet.progress.add(hit)
        said = fleet.settled()
        unknown += len(fleet.events("settle_retried"))
        committed += sum((fleet.run, number) not in said
                          for number in range(size.mentors // PAGE))
        runs += 1
        mentors += size.mentors
        evaluated += fleet.summary["total_evaluated"]
        twice += fleet.twice
    return Result(
        {"restarts": restarts, "runs": runs, "mentors": mentors,
         "settles_whose_answer_was_lost": unknown, "committed_all_the_same": committed,
         "slices_settled_twice": twice},
        [(f"{size.restarts} restarts", restarts >= size.restarts),
         ("nobody lost", evaluated == mentors), ("0 twice", twice == 0)])


def restart(fleet, rng):
    """Once the run moves again, at some moment. Says whether it was still open then."""
    fleet.moves()
    pause(rng.uniform(0, 1), lambda: not fleet.open())
    hit = fleet.open()
    fleet.world.db.close()    # our own link would be lost
    fleet.world.cluster.postgres.restart("immediate")
    return hit
