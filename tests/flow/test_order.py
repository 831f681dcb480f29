"""Programs started in any order: each says once what it waits for, and is not ready meanwhile."""

import pytest

from checker import assert_exact
from parts import embedded_broker, ENGINES, KafkaBrokers, PARTITIONS
from stack.layout import Layout
from world import until, World


class LateBroker:
    """A broker of this kind at a known address, that nobody has started yet."""

    def __init__(self, brokers, folder):
        self.environment = brokers.environment
        if brokers.kind == "kafka":
            self.broker = KafkaBrokers(folder).broker
        else:
            layout = Layout(folder)
            layout.create()
            self.broker = embedded_broker(
                layout, {f"late.{engine}": PARTITIONS for engine in ENGINES})

    def take(self):
        return self.broker.address, "late"


@pytest.fixture
def late_world(cluster, broker, folder):
    """A world whose database is empty and whose broker does not run."""
    late = LateBroker(broker, folder / f"late-{broker.kind}")
    made = World(folder / f"late-world-{broker.kind}", cluster, late, database=cluster.new_empty())
    made.late_broker = late.broker
    try:
        yield made
    finally:
        wrong = made.close()
        late.broker.stop()
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
def test_r_t14_programs_before_the_schema_and_before_kafka_wait_and_then_run(late_world):
    world = late_world
    producer = world.start_producer(wait=False)
    worker, = world.start_workers(1, wait=False)
    for name in ("producer", "worker-1"):
        until(lambda name=name: [e["waiting_for"] for e in world.events("process_waiting", name)]
              == ["schema"], 20, f"{name} says that it waits for the schema")
    assert not producer.ready() and not worker.ready()
    world.cluster.migrate(world.db.name, world.cli)
    world.db.rows("select reveille.pause_job(job_name, null) from reveille.job")
    world.mentors(20)
    world.start_engine()
    for name in ("producer", "worker-1"):
        until(lambda name=name: "kafka" in str(world.events("process_waiting", name)[1:])
              or "broker" in str(world.events("process_waiting", name)[1:]), 20,
              f"{name} says that it waits for the broker")
    assert not producer.ready() and not worker.ready()
    world.late_broker.start()
    producer.wait_ready()
    worker.wait_ready()
    for name in ("producer", "worker-1"):
        assert len(world.events("process_waiting", name)) == 2, "each thing once"
        assert len(world.events("process_ready", name)) == 1
    run = world.ask()
    world.ended(run)
    assert_exact(world, run)


def test_r_t14_the_producer_is_ready_within_2_s_when_everything_is_there(world):
    world.start_producer()
    world.programs["producer"].stop()
    world.start_producer()
    ready = world.events("process_ready")
    assert len(ready) == 2 and ready[1]["after_ms"] < 2000


def test_a_ring_before_any_producer_is_kept_and_opened_when_one_starts(world):
    world.mentors(5)
    world.start_engine()
    asked = world.db.row("select * from reveille.request('scenario_scheduler', 'pg_cron')")
    assert asked.state == "pending"
    world.start_workers(1, wait=False)
    world.start_producer()
    run = until(lambda: world.db.value("select run_id from reveille.trigger_request where id = %s",
                                       asked.id), 20, "the request is opened")
    summary = world.ended(run)
    assert (summary["triggered_by"], summary["total_evaluated"]) == ("pg_cron", 5)
    assert_exact(world, run)


def test_an_older_schema_ends_the_programs_with_2_and_the_mend(world):
    world.db.rows("update reveille.schema_version set version = 0")
    world.start_producer(wait=False)
    world.start_workers(1, wait=False)
    for name in ("producer", "worker-1"):
        until(lambda name=name: not world.programs[name].daemon.alive(), 20, f"{name} has ended")
        said = str(world.events("process_failed", name))
        assert "reveille migrate" in said
