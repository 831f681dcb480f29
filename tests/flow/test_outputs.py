"""What the programs tell, and what they never tell. Every world looks at all that was said when
it is closed (outputs.py); here outsiders try to put something there."""

import subprocess

import pytest

from checker import assert_exact
from outputs import CANARY, UUID
from parts import PROGRAMS
from stack.programs import SECRETS
from test_run import refuse_notifications, script
from world import JOB, until

KNOWN = """runs_total run_active run_age_seconds run_remaining_subjects subjects_total slices_total
last_completed_timestamp_seconds slice_duration_seconds engine_requests_total engine_in_flight
engine_request_duration_seconds engine_share engine_current engine_closed redeliveries_total
dead_letters_total republished_slices_total trigger_latency_seconds
secret_last_used_timestamp_seconds build_info""".split()


def test_r_t5_r_e5_r_s5_no_secret_and_no_personal_data_in_any_output(world, kcat, kcat_send):
    """The canary in paths, bodies, headers, messages, the engine's reasons and in what the database
    refuses. The key goes to the trigger engine, which answers 401 without it."""
    roster = sorted(world.mentors(30))
    secret = world.layout.secret / "service-role-key"
    actions = {mentor: f"suppress:{CANARY}" for mentor in roster[:5]}
    actions |= {mentor: "garbage" for mentor in roster[5:8]}
    world.start_engine(arguments=[*script(world, actions), "--secret-expected", secret])
    refuse_notifications(world, roster[8:10], name=CANARY)
    world.start_producer(PAGE_SIZE="10")
    for path in (f"/v1/jobs/{CANARY}/runs", f"/{CANARY}", f"/v1/runs?job={CANARY}"):
        world.http("POST", path, {"job_name": CANARY})
    world.http("POST", "/nightly-scheduler", {"job_name": CANARY})
    world.http("POST", f"/v1/jobs/{JOB}/runs", {"scenario_types": [CANARY]})
    world.http("POST", f"/v1/jobs/{JOB}/runs", f'{{"{CANARY}": {CANARY}', secret="scheduler")
    world.http("GET", "/v1/runs", secret=None, headers={"X-Scheduler-Secret": CANARY})
    kcat_send(world, "http", 0, [CANARY.encode()] * 3)
    world.start_workers(1)
    run = world.ask()
    summary = world.ended(run)
    assert (summary["total_errors"], summary["total_evaluated"]) == (3 + 2, 25)
    assert summary["by_scenario"]["inactivity"]["suppressed"] == {"engine": 5}
    assert_exact(world, run)
    assert {call.status for call in world.engine.calls()} == {200}, "every call bore the key"
    ours = dumped(world, "--schema=reveille*", "--data-only")
    assert "COPY reveille.subject_error" in ours
    assert CANARY not in ours, "nor in any of our tables"
    everything = dumped(world) + b"".join(kcat(world, "http")).decode(errors="replace")
    for name in SECRETS:
        assert world.secret(name) not in everything, f"{name} is in no table, and in no topic"


def dumped(world, *options):
    """The world's database, or the part of it that pg_dump's options name."""
    tool = world.cluster.postgres.bindir / "pg_dump"
    done = subprocess.run([tool, *options, world.cluster.postgres.url(database=world.db.name)],
                          text=True, capture_output=True, check=True, timeout=60)
    return done.stdout


def test_a_mentors_id_stands_in_one_field_of_one_event_only(world):
    roster = world.mentors(20)
    world.start_engine(failures=0.5)
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(1)
    world.ended(world.ask())
    for event in world.events():
        for name, value in event.items():
            found = set(UUID.findall(str(value))) & roster
            assert not found or (event["event"], name) == (
                "mentor_evaluation_error", "peer_mentor_id"), (event["event"], name)


def test_metrics_have_the_names_of_the_interface_and_no_ids(world):
    world.mentors(20)
    world.start_engine()
    producer = world.start_producer(PAGE_SIZE="10")
    worker, = world.start_workers(1)
    run = world.ask()
    world.ended(run)
    until(lambda: world.events("scheduler_run_completed"), 5, "the run is told")
    series = {**world.metrics(producer), **world.metrics(worker)}
    for one in series:
        name = one.split("{")[0].removeprefix("reveille_")
        base = [name.removesuffix(end) for end in ("", "_bucket", "_sum", "_count")]
        assert set(base) & set(KNOWN), one
        assert not UUID.search(one)
    assert series[f'reveille_runs_total{{job="{JOB}",status="completed"}}'] == 1
    assert world.metric(worker, 'reveille_engine_requests_total{engine="http",result="ok"}') == 20
    assert world.metric(worker, f'reveille_slices_total{{job="{JOB}",outcome="settled"}}') == 2
    assert world.metric(worker, "reveille_engine_in_flight") == 0


@pytest.mark.parametrize("program", ["reveille-producer", "reveille-worker"])
def test_r_x3_check_config_shows_what_is_in_force_and_no_secret(world, program):
    done = configured(world, program, "--check-config")
    assert done.returncode == 0, done.stderr
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.stdout
    assert "sesame" not in done.stdout and "***" in done.stdout


@pytest.mark.parametrize("program", ["reveille-producer", "reveille-worker"])
@pytest.mark.parametrize("wrong", [
    {"REVEILLE_NO_SUCH": "1"}, {"DATABASE_URL_FILE": "/no/such/file"},
    {"KAFKA_TOPIC_PREFIX": "a", "KAFKA_TOPIC_PREFIX_FILE": "/dev/null"},
    {"DRAIN_TIMEOUT_MS": "soon"}, {"LOG_LEVEL": "loud"}], ids=lambda wrong: "-".join(wrong))
def test_r_x3_a_wrong_environment_ends_with_2_and_names_the_variable(world, program, wrong):
    done = configured(world, program, "--check-config", **wrong)
    assert done.returncode == 2
    assert next(iter(wrong)).removesuffix("_FILE") in done.stdout + done.stderr


def test_r_x3_an_unknown_kafka_name_is_a_warning(world):
    """Orchestrators inject such names: KAFKA_PORT=tcp://…"""
    world.start_producer(KAFKA_PORT="tcp://10.0.0.1:9092")
    assert [e["name"] for e in world.events("config_warning")] == ["KAFKA_PORT"]


def configured(world, program, *arguments, **environment):
    base = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgresql://x:sesame@127.0.0.1:1/x",
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TRIGGER_ENGINE_URL": "http://127.0.0.1:1/",
            "SCHEDULER_SECRET_FILE": str(world.layout.secret / "scheduler"),
            "SUPABASE_SERVICE_ROLE_KEY": "sesame"}
    if program == "reveille-worker":
        base.pop("SCHEDULER_SECRET_FILE")
    done = subprocess.run([PROGRAMS / program, *arguments], env={**base, **environment}, text=True,
                          capture_output=True, check=False, timeout=20)
    world.said += [done.stdout, done.stderr]
    return done
