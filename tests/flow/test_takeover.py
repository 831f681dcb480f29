"""Who moves a run when its leader does not, and what is rung again: two producers of whom one is
frozen, deadlines, slices that no worker survives, slices that wait and slices that were lost.

Not here: producers that are killed or told to leave (test_faults.py)."""

import signal
import subprocess

import pytest

from checker import assert_exact
from parts import GATE, PARTITIONS, POOLED
from test_faults import lease_ends, under_way, waits_for_lock
from test_run import script
from world import JOB, until, World

LIMIT = 10        # reveille.engine's concurrency of a new database
SESSION_S = 6     # session.timeout.ms of the tests' programs: so long a claim holds
FIRST_RING_S = 1  # after going stale, until a slice is rung for the first time


@pytest.fixture
def calm_world(cluster, embedded, folder, request):
    """A world on one broker, for what does not depend on which it is."""
    made = World(folder / f"calm-{request.node.name[-30:]}", cluster, embedded)
    try:
        yield made
    finally:
        wrong = made.close()
    assert not wrong, "\n".join(wrong)


def told(world, name, run, program=None):
    return [e for e in world.events(name, program) if e["invocation_id"] == run]


def leader_of(world, run):
    """The producer that holds the run's lease, and the other."""
    holder = world.db.value("select holder from reveille.run_lease where run_id = %s", run)
    pair = [world.programs["producer"], world.programs["producer-2"]]
    pair.sort(key=lambda one: f":{one.daemon.pid()}:" not in holder)
    assert f":{pair[0].daemon.pid()}:" in holder
    return pair


# ---- two producers

@pytest.mark.long
def test_r_p4_a_leader_frozen_for_longer_than_its_lease_is_followed_and_harmless_when_it_wakes(
        calm_world):
    """It leads three runs: one is being planned, inside its page; one is being worked on; one is
    about to be closed. The other producer has them when the lease has ended, all 15 s of it; the
    first wakes while all three are still open."""
    world = calm_world
    world.mentors(300)
    world.start_engine(latency=300)
    first = world.start_producer(PAGE_SIZE="10")
    closing = world.ask("drill")
    until(lambda: world.state(closing) == "running", 20, "it is planned")
    with world.db.transaction("select from reveille.run where run_id = %s for share", closing), \
            world.db.transaction("select pg_advisory_lock(%s)", GATE):
        world.start_workers(2)
        running, planning = world.ask(), world.ask("gated")
        runs = {planning: "planning", running: "running", closing: "running"}
        under_way(world, running)
        world.engine.control(latency=3000)
        second = world.start_producer("producer-2", PAGE_SIZE="10")
        until(lambda: waits_for_lock(world, "plan_page") and waits_for_lock(world, "close_run"),
              60, "a page waits at the gate, and a close for the run's row")
        first.daemon.send(signal.SIGSTOP)
        assert not world.events("scheduler_run_taken_over"), "the lease holds"
        until(lambda: all(told(world, "scheduler_run_taken_over", run) for run in runs), 40,
              "the other has all three")
        first.daemon.send(signal.SIGCONT)
        until(lambda: all(told(world, "scheduler_run_lost", run, first.name) for run in runs), 20,
              "the first sees that it leads none any more")
        assert set(world.open_runs()) == set(runs)
        world.engine.control(latency=10)
    for run, state in runs.items():
        world.ended(run)
        assert_exact(world, run, limit=LIMIT)
        assert [e["state"] for e in told(world, "scheduler_run_taken_over", run)] == [state]
        assert len(told(world, "scheduler_run_started", run)) == 1
        assert len(told(world, "scheduler_run_completed", run, second.name)) == 1
        assert not told(world, "scheduler_run_completed", run, first.name)
    assert first.ready(), "and is as good as new"


@pytest.fixture(scope="module")
def pair(cluster, embedded, folder):
    """Two producers and two workers on a slow engine; 300 mentors in slices of 10."""
    made = World(folder / "calm-pair", cluster, embedded)
    try:
        made.mentors(300)
        made.start_engine()
        for name in ("producer", "producer-2"):
            made.start_producer(name, PAGE_SIZE="10")
        made.start_workers(2)
        yield made
    finally:
        wrong = made.close()
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
def test_r_p4_a_page_that_is_committed_after_its_lease_is_planned_once(pair):
    """Its leader is frozen inside the page; the page goes on in the server, while another leads."""
    with pair.db.transaction("select pg_advisory_lock(%s)", GATE):
        run = pair.ask("gated")
        page = until(lambda: waits_for_lock(pair, "plan_page"), 20, "a page waits at the gate")
        leader, other = leader_of(pair, run)
        leader.daemon.send(signal.SIGSTOP)
        lease_ends(pair, run)
        pair.db.rows("select pg_notify('reveille_trigger', '')")
        both = until(lambda: len(now := waits_for_lock(pair, "plan_page")) == 2 and now, 6,
                     "the other leads, and waits for the page to end")
        assert set(page) < set(both), "which has not ended"
    until(lambda: pair.state(run) == "running", 20, "it is planned to its end")
    leader.daemon.send(signal.SIGCONT)
    until(lambda: told(pair, "scheduler_run_lost", run, leader.name), 20, "its leader has noticed")
    pair.ended(run)
    assert len(pair.slices(run)) == 30
    assert_exact(pair, run, limit=LIMIT)
    assert len(told(pair, "scheduler_run_completed", run, other.name)) == 1


@pytest.mark.long
@pytest.mark.skipif(POOLED, reason="the database alone ends it")
def test_r_s1_a_deadline_ends_a_run_as_partial_and_one_still_planned_as_failed(pair):
    """Real time-outs: of the jobs' rows. What settles late counts nowhere; a failed run leaves its
    slot free."""
    jobs = [JOB, "gated"]
    pair.db.rows("update reveille.job set deadline = '4 s' where job_name = any(%s)", jobs)
    pair.engine.control(latency=3000)

    def ring():
        return pair.http("POST", "/v1/jobs/gated/runs", {}, secret="scheduler").json["run_id"]
    with pair.db.transaction("select pg_advisory_lock(%s)", GATE):
        partial, failed = pair.ask(), ring()
        until(lambda: pair.state(partial) == "partial", 60, "the deadline")
        until(lambda: pair.state(failed) == "failed", 90,
              "the deadline of planning, looked for when no page has the run's row")
    pair.db.rows("update reveille.job set deadline = '12 h' where job_name = any(%s)", jobs)
    pair.engine.control(latency=2)
    until(lambda: pair.engine.stats()["in_flight"] == 0, 20, "late answers have come")
    summary = pair.summary(partial)
    assert summary["partial"] and not summary["completed"]
    assert 0 < summary["remaining_unprocessed_count"] <= 300
    assert_exact(pair, partial, state="partial")
    assert pair.cli("status", partial).code == 1
    row = pair.db.row("select * from reveille.run where run_id = %s", failed)
    assert row.error_message == "deadline" and row.slot is not None
    assert not pair.summary(failed)["completed"]
    again = ring()
    assert again != failed
    pair.ended(again)
    assert_exact(pair, again)


# ---- a slice that workers do not survive

@pytest.mark.long
@pytest.mark.skipif(POOLED, reason="the pooler's runs need no Kafka")
def test_r_e2_a_slice_whose_workers_are_killed_five_times_is_worker_lost_and_no_other(
        kafka, cluster, folder):
    """Each worker is a group of its own, so that none waits for a dead member's session to end; and
    a dead one's claims and share are ended, as if their time were over. The calls that hang take
    the whole limit: slices beside the poison are claimed, and wait, and die with it."""
    world = World(folder / "poison", cluster, kafka)
    try:
        world.mentors(80)
        world.start_producer(PAGE_SIZE="10")
        run = world.ask()
        until(lambda: world.state(run) == "running", 20, "it is planned")
        bad = min(s.slice_no for s in world.slices(run) if s.partition == 0)  # before its neighbours
        poison = [str(one) for one in world.slices(run)[bad].subject_ids]
        world.start_engine(arguments=script(world, dict.fromkeys(poison, "hang")))
        for attempt in range(1, 7):
            worker, = world.start_workers(1, first=attempt, wait=False,
                                          KAFKA_GROUP_ID=f"{world.prefix}.{attempt}")
            if attempt < 6:
                claim = until(lambda: hanging(world, run, bad, worker), 30, "it asks about the poison")
                until(lambda: world.slices(run)[bad].moved_at > claim.moved_at, 20,
                      "it has held it for a while, and whatever it would take along")
                worker.kill()
                assert world.slices(run)[bad].attempt == attempt
                world.db.rows("update reveille.slice set moved_at = moved_at - %s * interval '1 s'"
                              " where run_id = %s and state = 'pending'", SESSION_S, run)
                world.db.rows("update reveille.engine_share set until = clock_timestamp()"
                              " where engine = 'http' and worker <> ''")
        summary = world.ended(run)
        assert (summary["total_evaluated"], summary["total_errors"]) == (70, 10)
        errors = world.db.rows("select * from reveille.subject_error where run_id = %s", run)
        assert {str(e.subject_id): e.error_class for e in errors} == dict.fromkeys(
            poison, "worker_lost")
        assert_exact(world, run, limit=LIMIT)
    finally:
        wrong = world.close()
    assert not wrong, "\n".join(wrong)


def hanging(world, run, slice_no, worker):
    """The slice, if this worker has claimed it and all calls that there may be hang."""
    mine = [s for s in world.claimed_by(worker, run) if s.slice_no == slice_no]
    return world.engine.stats()["in_flight"] == LIMIT and mine and mine[0]


# ---- ringing again

def rung_again(world):
    return world.metric(world.programs["producer"], "reveille_republished_slices_total")


def overdue(world, run):
    """The slices that were sent, and have not moved for so long since that they would be rung, were
    they not in a lag."""
    return {row.slice_no for row in world.db.rows(
        "select slice_no from reveille.overdue_slices(%s, 1000, %s * interval '1 s')"
        " where published_offset is not null", run, SESSION_S)}


@pytest.mark.long
@pytest.mark.skipif(POOLED, reason="Kafka is between them, not the pooler")
def test_r_d4_slices_that_wait_their_turn_are_not_rung_again(world):
    """Published seconds ago, untouched, and yet nothing is wrong: the partitions are being read,
    only slowly."""
    world.mentors(240)
    world.start_engine(latency=1000)
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(1)
    run = world.ask()
    until(lambda: overdue(world, run), 60, "slices would be overdue")
    done = {s.slice_no for s in world.slices(run) if s.state == "done"}
    until(lambda: len([s for s in world.slices(run)
                       if s.state == "done" and s.slice_no not in done]) >= PARTITIONS, 30,
          "meanwhile the lag moves")
    assert overdue(world, run) and rung_again(world) == 0
    world.engine.control(latency=5)
    world.ended(run)
    assert rung_again(world) == 0 and {s.rings for s in world.slices(run)} == {1}
    assert_exact(world, run, limit=LIMIT)


@pytest.mark.long
@pytest.mark.skipif(POOLED, reason="Kafka is between them, not the pooler")
def test_r_d4_what_was_read_and_not_done_is_rung_again_when_it_would_be_stale(world):
    """The group's offsets have passed the slices, and nobody has worked on them."""
    world.mentors(30)
    world.start_producer(PAGE_SIZE="10")
    run = world.ask("drill")
    until(lambda: all(s.published_at for s in world.slices(run)), 20, "all are sent")
    sent = {s.slice_no: s.published_at for s in world.slices(run)}
    swallow(world, "noop", len(sent))
    until(lambda: {s.rings for s in world.slices(run)} == {2}, 40, "each is rung again")
    again = world.slices(run)
    assert rung_again(world) == 3
    assert all((s.published_at - sent[s.slice_no]).total_seconds() >= SESSION_S + FIRST_RING_S
               for s in again)
    world.start_workers(1)
    world.ended(run)
    assert_exact(world, run)


def swallow(world, engine, messages):
    """Reads so many messages as the workers' group, and commits."""
    subprocess.run(["kcat", "-b", world.kafka, "-G", f"{world.prefix}.workers", "-c", str(messages),
                    "-q", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000",
                    f"{world.prefix}.{engine}"], check=True, timeout=60, capture_output=True)
