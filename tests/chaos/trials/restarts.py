"""PostgreSQL is stopped at once, as in a crash, and started again, time after time in a run: each
commit whose answer was lost is looked up, and the run is exact."""

from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, new_roster, Result

SHORT = SimpleNamespace(restarts=2, workers=2, mentors=3000, latency=10)
LONG = SimpleNamespace(restarts=20, workers=4, mentors=60000, latency=3)
PAGE = 5    # small slices: many settles a second, so that some are under way at any moment


def measure(stand, size, rng):
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers)
        restarts = unanswered = runs = evaluated = 0
        while restarts < size.restarts:
            new_roster(world, size.mentors)
            run = world.ask()
            runs += 1
            while restarts < size.restarts and fleet.open(run):
                fleet.moves(run)
                pause(rng.uniform(0, 1), lambda: not fleet.open(run))
                restarts += fleet.open(run)
                world.db.close()    # our own link would be lost
                stand.cluster.postgres.restart("immediate")
            world.ended(run, 300)
            evaluated += judge(world, run)["total_evaluated"]
            said = fleet.settled()
            unanswered += sum((run, number) not in said for number in range(fleet.done(run)))
        twice = len(fleet.twice())
    return Result(
        {"restarts": restarts, "runs": runs, "mentors": runs * size.mentors,
         "commits_whose_answer_was_lost": unanswered, "slices_settled_twice": twice},
        [(f"{size.restarts} restarts", restarts >= size.restarts),
         ("nobody lost", evaluated == runs * size.mentors), ("0 twice", twice == 0)])
