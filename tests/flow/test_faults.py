"""What is killed, restarted or told to leave while a run is under way. Each test first sees the
state that it means to hit, and afterwards finds the traces of having hit it; in between nothing is
lost and nothing done twice."""

import collections
import signal

import pytest

from checker import assert_exact
from malformed import MESSAGES
from parts import Cluster, embedded_broker, ENGINES, GATE, KafkaBrokers, PARTITIONS, POOLED
from stack.layout import Layout
from world import until, World

SLOW = 300   # milliseconds a call: slices stay in the engine long enough to be hit
LIMIT = 10   # reveille.engine's concurrency of a new database


def under_way(world, run):
    """Waits until some slices are done, some are claimed, and calls are in flight."""
    def seen():
        slices = world.slices(run)
        return (any(s.state == "done" for s in slices)
                and any(s.state == "pending" and s.claimed_by for s in slices)
                and world.engine.stats()["in_flight"] > 0)
    until(seen, 60, "slices are done, others claimed, and calls in flight")


def begin(world, mentors=100, workers=2, latency=SLOW):
    """A run in slices of 10 on a slow engine, under way; returns its id."""
    world.mentors(mentors)
    world.start_engine(latency=latency)
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(workers)
    run = world.ask()
    under_way(world, run)
    return run


def busy_worker(world, run):
    """Waits for one of the two workers to have a claimed slice with calls in flight."""
    def seen():
        for name in ("worker-1", "worker-2"):
            worker = world.programs[name]
            in_flight = world.metric(worker, "reveille_engine_in_flight")
            if in_flight > 0 and world.claimed_by(worker, run):
                return worker
        return None
    return until(seen, 20, "a worker has calls in flight")


def lease_ends(world, run):
    """As if the 15 s of a dead producer's lease were over."""
    world.db.rows("update reveille.run_lease set lease_until = clock_timestamp() where run_id = %s",
                  run)


def kill_producer(world):
    """SIGKILL, and the end of what it left in the server, as when the machine is gone: otherwise
    its last statement, which it has sent, would still be executed."""
    world.programs["producer"].kill()
    world.db.rows("select pg_terminate_backend(pid) from pg_stat_activity where "
                  "datname = current_database() and application_name = 'reveille-producer'")


def waits_for_lock(world, statement):
    return world.db.rows("select pid from pg_stat_activity where datname = current_database() and "
                         "wait_event_type = 'Lock' and query like %s", f"%{statement}%")


def taken_over(world, run, state):
    return until(lambda: [e for e in world.events("scheduler_run_taken_over")
                          if e["invocation_id"] == run and e["state"] == state], 20,
                 f"the run is taken over in {state}")


@pytest.mark.long
def test_r_d4_r_e1_a_worker_killed_with_calls_in_flight_costs_only_time(world):
    run = begin(world)
    victim = busy_worker(world, run)
    pid = victim.daemon.pid()
    victim.kill()
    orphans = [s.slice_no for s in world.slices(run)
               if s.state == "pending" and f":{pid}:" in (s.claimed_by or "")]
    assert orphans, "it was killed with slices in its hands"
    world.ended(run)
    assert_exact(world, run, limit=LIMIT)
    again = [s for s in world.slices(run) if s.slice_no in orphans]
    assert all(s.attempt >= 2 and f":{pid}:" not in s.worker for s in again)
    calls = [call.mentor for call in world.engine.calls()]
    assert len(calls) > len(set(calls)), "judged again: the engine is asked at least once"


@pytest.mark.long
def test_r_p4_the_producer_killed_in_planning_in_running_and_before_the_close(world):
    world.mentors(235)
    world.start_engine(latency=SLOW)
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(2)
    world.db.rows("update reveille.engine set concurrency = 40, current = 40 where engine = 'http'")
    with world.db.transaction("select pg_advisory_lock(%s)", GATE):
        run = world.ask("gated")
        until(lambda: waits_for_lock(world, "plan_page"), 20, "the second page waits at the gate")
        row = world.db.row("select * from reveille.run where run_id = %s", run)
        assert row.state == "planning" and row.cursor is not None
        first = world.slices(run)
        kill_producer(world)
    assert world.db.value("select cursor from reveille.run where run_id = %s", run) == row.cursor
    resume(world, run, "planning")
    until(lambda: world.state(run) == "running", 20, "it is planned to its end")
    assert [s.subject_ids for s in world.slices(run)][:len(first)] == [s.subject_ids for s in first]
    assert len(world.slices(run)) == 24, "no page twice, none left out"
    under_way(world, run)
    kill_producer(world)
    assert any(s.state == "pending" for s in world.slices(run))
    resume(world, run, "running")
    with world.db.transaction("select from reveille.run where run_id = %s for share", run):
        until(lambda: waits_for_lock(world, "close_run"), 60, "its close waits for the row")
        assert all(s.state == "done" for s in world.slices(run)) and world.state(run) == "running"
        kill_producer(world)
    assert world.state(run) == "running"
    resume(world, run, "running", times=2)
    summary = world.ended(run)
    assert summary["total_dispatched"] == 235
    assert_exact(world, run)
    assert len([e for e in world.events("scheduler_run_completed")
                if e["invocation_id"] == run]) == 1


def resume(world, run, state, times=1):
    """Starts the producer again; it takes the run over in this state, for the `times`th time."""
    lease_ends(world, run)
    world.start_producer(PAGE_SIZE="10")
    until(lambda: len(taken_over(world, run, state)) == times, 20, "it is taken over once more")


@pytest.fixture(scope="module")
def own_cluster(folder):
    """A PostgreSQL that a test may kill."""
    cluster = Cluster(folder / "pg-own")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def own_cluster_world(own_cluster, broker, folder, request):
    made = World(folder / f"own-{request.node.name[-20:]}", own_cluster, broker)
    try:
        yield made
    finally:
        wrong = made.close()
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
def test_r_d4_postgresql_crashed_and_restarted_in_mid_run(own_cluster_world):
    world = own_cluster_world
    run = begin(world)
    world.cluster.postgres.kill()
    world.cluster.postgres.start()
    done = sum(s.state == "done" for s in world.slices(run))
    assert 0 < done < 10, "it went in mid-run"
    world.ended(run)
    assert_exact(world, run, limit=LIMIT)
    for program in ("producer", "worker-1", "worker-2") if not POOLED else ():
        assert world.events("database_down", program), f"{program} has felt it"  # a pooler stays


def standby(world, name):
    """With a name that nobody bears, each commit is done here, and then waits for ever to be told
    so: whoever has its session ended meanwhile never learns that it was done."""
    world.db.rows(f"alter system set synchronous_standby_names = '{name}'")
    world.db.rows("select pg_reload_conf()")


def end_committed(world):
    """Ends the sessions whose commit waits; True once a settle was among them."""
    return any("settle_slice" in session.query for session in world.db.rows(
        "select query, pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and wait_event = 'SyncRep'"))


@pytest.mark.long
def test_r_d4_a_settle_that_was_committed_and_never_answered_is_looked_up(own_cluster_world):
    world = own_cluster_world
    run = begin(world)
    standby(world, "nobody")
    try:
        until(lambda: end_committed(world), 30, "a settle was committed and its answer lost")
    finally:
        standby(world, "")
    world.ended(run)
    assert_exact(world, run, limit=LIMIT)
    lost = {e["slice"] for e in world.events("settle_retried") if e["invocation_id"] == run}
    told = {e["slice"] for e in world.events("slice_settled") if e["invocation_id"] == run}
    done = [s for s in world.slices(run) if s.slice_no in lost - told]
    assert done, "one was found done when it was looked up"
    calls = collections.Counter(call.mentor for call in world.engine.calls())
    assert {calls[str(mentor)] for s in done for mentor in s.subject_ids} == {1}, "not judged again"


class OwnBroker:
    """One broker that a test may restart; as the `brokers` of a world."""

    def __init__(self, kind, folder):
        self.kind = kind
        if kind == "kafka":
            brokers = KafkaBrokers(folder)
            self.broker = brokers.broker
        else:
            brokers = None
            layout = Layout(folder)
            layout.create()
            self.broker = embedded_broker(
                layout, {f"own.{engine}": PARTITIONS for engine in ENGINES})
        self._brokers = brokers

    def take(self):
        return self._brokers.take() if self._brokers else (self.broker.address, "own")


@pytest.fixture
def own_broker_world(cluster, broker, folder, request):
    """A world on a broker of its own, of the same kind."""
    own = OwnBroker(broker.kind, folder / f"own-{broker.kind}")
    own.environment = broker.environment
    own.broker.start()
    made = None
    try:
        made = World(folder / f"restart-{broker.kind}", cluster, own)
        made.own_broker = own.broker
        yield made
    finally:
        wrong = made.close() if made else []
        own.broker.stop()
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
def test_r_d4_the_broker_restarted_in_mid_run(own_broker_world):
    """Kafka comes back with its log; the embedded broker has forgotten everything, offsets too."""
    world = own_broker_world
    run = begin(world, mentors=300)
    waiting = [s for s in world.slices(run) if s.published_at is None]
    assert waiting, "some slices are not even sent"
    world.own_broker.restart()
    assert world.state(run) == "running"
    world.ended(run)
    assert_exact(world, run, limit=LIMIT)


@pytest.mark.long
def test_a_worker_told_to_leave_finishes_or_gives_back_and_nothing_is_redone(world):
    run = begin(world)
    leaver = busy_worker(world, run)
    pid = leaver.daemon.pid()
    before = len(world.settled_by(pid, run))
    leaver.daemon.ask_to_end(signal.SIGTERM)
    assert leaver.daemon.wait_ended(20), "it leaves within DRAIN_TIMEOUT_MS"
    stopped = world.events("process_stopped", leaver.name)
    assert [e["clean"] for e in stopped] == [True]
    held = [s for s in world.slices(run)
            if s.state == "pending" and f":{pid}:" in (s.claimed_by or "")]
    assert not held, "it holds nothing any more"
    world.ended(run)
    assert_exact(world, run, limit=LIMIT)
    slices = world.slices(run)
    assert {s.attempt for s in slices} == {1}, "no slice was begun by two"
    assert len(world.settled_by(pid, run)) >= before


@pytest.mark.long
def test_r_t13_a_producer_told_to_leave_hands_its_run_on_at_once(world):
    world.mentors(300)  # so many that it is still running when the other has it
    world.start_engine(latency=SLOW)
    producers = [world.start_producer(name, PAGE_SIZE="10") for name in ("producer", "producer-2")]
    world.start_workers(2)
    run = world.ask()
    under_way(world, run)
    starters = [p for p in producers if world.events("scheduler_run_started", p.name)]
    assert len(starters) == 1, "one of them opened it"
    starters[0].daemon.ask_to_end(signal.SIGTERM)
    assert starters[0].daemon.wait_ended(20)
    other = next(p for p in producers if p is not starters[0])
    until(lambda: world.events("scheduler_run_taken_over", other.name), 10,
          "the other goes on, long before the lease's 15 s")
    assert world.state(run) == "running"
    world.ended(run)
    assert_exact(world, run, limit=LIMIT)


def without_a_log(world, name, start):
    """Starts a program that cannot write a byte of its log, as on a disk that is full."""
    log = world.layout.log / f"{name}.log"
    log.symlink_to("/dev/full")
    try:
        start(wait=False)
    finally:  # whoever reads the log finds it empty
        log.unlink()
        log.touch()
    return world.programs[name].daemon


@pytest.mark.long
def test_r_d4_programs_whose_log_takes_nothing_do_their_work_and_leave_in_time(world):
    world.mentors(60)
    world.start_engine(latency=50)
    daemons = [without_a_log(world, "producer",
                             lambda wait: world.start_producer(wait=wait, PAGE_SIZE="10")),
               without_a_log(world, "worker-1", lambda wait: world.start_workers(wait=wait))]
    world.programs["producer"].wait_ready()
    run = world.ask()
    assert world.ended(run)["total_evaluated"] == 60
    assert_exact(world, run, limit=LIMIT)
    for daemon in daemons:
        daemon.ask_to_end(signal.SIGTERM)
    assert all(daemon.wait_ended(20) for daemon in daemons)


def test_40_malformed_messages_are_dead_letters_by_reference_and_the_run_is_exact(world, kcat_send):
    world.mentors(60)
    world.start_engine()
    world.start_producer(PAGE_SIZE="10")
    for partition in range(PARTITIONS):
        kcat_send(world, "http", partition, MESSAGES[partition::PARTITIONS])
    world.start_workers(2)
    run = world.ask()
    world.ended(run)
    assert_exact(world, run, limit=LIMIT)
    until(lambda: world.db.value("select count(*) from reveille.dead_letter") == 40, 20,
          "each has its dead letter")
    letters = world.db.rows("select * from reveille.dead_letter")
    assert {(d.topic, d.partition, d.offset) for d in letters} == {
        (f"{world.prefix}.http", p, o) for p in range(PARTITIONS) for o in range(10)}
    assert {d.reason for d in letters} == {
        "too_long", "unreadable", "version", "fields", "unknown_slice"}
    assert len(world.events("dead_letter")) >= 40
