"""How workers share the work, and how many calls an engine gets from all of them together."""

from checker import assert_exact
from world import until

LIMIT = 10  # reveille.engine's concurrency of a new database


def done(world, run):
    return [s for s in world.slices(run) if s.state == "done"]


def test_r_p5_two_workers_share_the_work_and_a_third_joins_in_mid_run(world):
    world.mentors(400)
    world.start_engine(latency=200)
    world.start_producer(PAGE_SIZE="10")
    workers = world.start_workers(2)
    run = world.ask()
    until(lambda: len(done(world, run)) >= 12, 30, "a third of the slices is done")
    early = done(world, run)
    for worker in workers:
        mine = [s for s in early if f":{worker.daemon.pid()}:" in s.worker]
        assert len(mine) >= 0.2 * len(early), f"{worker.name} did {len(mine)} of {len(early)}"
    world.engine.control(latency=600)
    third, = world.start_workers(1, first=3, wait=False)
    until(lambda: world.claimed_by(third, run), 60, "the third has claimed a slice")
    world.engine.control(latency=20)
    world.ended(run)
    assert len(world.settled_by(third.daemon.pid(), run)) >= 1
    assert_exact(world, run, limit=LIMIT)


def lent(world):
    return world.db.value("select coalesce(sum(granted), 0) from reveille.engine_share "
                          "where engine = 'http' and until > clock_timestamp()")


def test_r_e1_the_limit_is_set_while_running_and_holds_when_workers_die_and_join(world):
    world.mentors(600)
    world.start_engine(latency=200)
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(2)
    run = world.ask()

    def in_flight():
        return world.engine.stats()["in_flight"]
    until(lambda: in_flight() == LIMIT, 20, "the whole limit is in use")
    assert world.engine.stats()["max_in_flight"] == LIMIT
    assert world.cli("engines", "set", "http", "concurrency=14").code == 0
    until(lambda: in_flight() == 14, 20, "the new limit is in use")
    assert world.engine.stats()["max_in_flight"] == 14
    assert world.cli("engines", "set", "http", "concurrency=3").code == 0
    until(lambda: lent(world) <= 3 and in_flight() <= 3, 20, "the lowered limit is in force")
    world.engine.control(max_in_flight=0)
    world.programs["worker-1"].kill()
    world.start_workers(1, first=3)
    assert world.state(run) == "running"
    assert world.engine.stats()["max_in_flight"] <= 3
    assert world.cli("engines", "set", "http", "concurrency=40").code == 0
    world.engine.control(latency=2)
    world.ended(run)
    assert world.engine.stats()["max_in_flight"] <= 40
    assert_exact(world, run)
