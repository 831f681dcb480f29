"""Workers that leave while a run is under way, one after another, and one whose engine hangs: what is
done stays done, what is in hand is finished or given back, and each is gone in time."""

import datetime
import signal

import pytest

from checker import assert_exact
from parts import POOLED
from test_faults import busy_worker, under_way
from world import until

pytestmark = pytest.mark.skipif(POOLED, reason="what leaves and comes are Kafka's members")

LIMIT = 10     # reveille.engine's concurrency of a new database
DRAIN_S = 5    # DRAIN_TIMEOUT_MS of this file's programs
SLACK_S = 2    # a machine that is busy with other things


@pytest.fixture(scope="module")
def fleet(make_world):
    world = make_world()
    world.mentors(600)
    world.start_engine()
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(3, DRAIN_TIMEOUT_MS=str(DRAIN_S * 1000))
    return world


def said_at(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00"))


def leave(world, worker):
    """SIGTERM; it ends by itself, cleanly and in time."""
    worker.daemon.ask_to_end(signal.SIGTERM)
    assert worker.daemon.wait_ended(60), "it ends by itself"
    draining = world.events("process_draining", worker.name)[-1]
    stopped = world.events("process_stopped", worker.name)[-1]
    assert stopped["clean"] and stopped["pid"] == draining["pid"]
    took = said_at(stopped) - said_at(draining)
    assert took.total_seconds() <= DRAIN_S + SLACK_S


def calls_by_slice(world, run):
    """{slice: the calls about its subjects}, of a run whose date nobody else has."""
    day = world.summary(run)["evaluation_date"]
    where = {str(one): s for s in world.slices(run) for one in s.subject_ids}
    found = {s.slice_no: [] for s in world.slices(run)}
    for call in world.engine.calls():
        if call.day == day:
            found[where[call.mentor].slice_no].append(call)
    return found


@pytest.mark.long
def test_r_d4_all_workers_restarted_in_mid_run_redo_no_slice_that_is_done(fleet):
    """And of the others only those that had to be given back, which is no failed attempt."""
    fleet.engine.control(latency=400)
    run = fleet.ask(evaluation_date="2026-03-01")
    under_way(fleet, run)
    for name in ("worker-1", "worker-2", "worker-3"):
        assert fleet.state(run) == "running"
        worker = fleet.programs[name]
        leave(fleet, worker)
        worker.start()
        worker.wait_ready()
    assert fleet.state(run) == "running", "all of it in mid-run"
    fleet.engine.control(latency=10)
    assert fleet.ended(run)["total_evaluated"] == 600
    assert_exact(fleet, run, limit=LIMIT)
    slices = fleet.slices(run)
    assert {s.attempt for s in slices} == {1}
    calls = calls_by_slice(fleet, run)
    for s in slices:
        late = [c for c in calls[s.slice_no] if c.at_us > s.done_at.timestamp() * 1e6]
        assert not late, f"slice {s.slice_no} was done, and judged again"
    redone = [no for no, made in calls.items() if len(made) > len({c.mentor for c in made})]
    released = sum(e["released"] for e in fleet.events("partitions_revoked"))
    assert len(redone) <= released, (redone, released)


@pytest.mark.long
def test_r_d4_a_worker_whose_calls_hang_leaves_in_time_and_gives_back_what_it_holds(fleet):
    fleet.engine.control(latency=100)
    run = fleet.ask(evaluation_date="2026-03-02")
    under_way(fleet, run)
    fleet.engine.control(mode="hang")
    worker = busy_worker(fleet, run)
    pid = worker.daemon.pid()
    held = {s.slice_no for s in fleet.claimed_by(worker, run)}
    assert held
    leave(fleet, worker)
    kept = [s for s in fleet.slices(run)
            if s.state == "pending" and f":{pid}:" in (s.claimed_by or "")]
    assert not kept, "it holds nothing any more"
    fleet.engine.control(mode="ok", latency=5)
    summary = fleet.ended(run)
    assert (summary["total_evaluated"], summary["total_errors"]) == (600, 0)
    assert {s.attempt for s in fleet.slices(run)} == {1}, "leaving is no failed attempt"
    assert_exact(fleet, run, limit=LIMIT)
    until(lambda: fleet.engine.stats()["in_flight"] == 0, 20, "nothing hangs any more")
