"""The job hlf_dynamics_sync: contacts kept in a scripted Dynamics service, the flag that is off by
default, and where the two tokens go."""

import secrets
import signal
import subprocess

import pytest

from checker import assert_exact
from outputs import SANITIZERS
from parts import PROGRAMS
from scripted_dynamics import ScriptedDynamics
from world import until

SYNC = "hlf_dynamics_sync"
TOKEN = secrets.token_hex(32)


@pytest.fixture
def dynamics():
    service = ScriptedDynamics()
    yield service
    service.stop()


def settings(world, dynamics, token=TOKEN):
    """What a worker needs to call the service; the token in a file, as a deployment would."""
    path = world.layout.secret / "dynamics-token"
    path.write_text(token + "\n", encoding="utf-8")
    return {"DYNAMICS_ENABLED": "true", "DYNAMICS_URL": dynamics.url,
            "DYNAMICS_TOKEN_FILE": str(path)}


def all_that_was_said(world):
    return "\n".join([p.daemon.log.read_text() for p in world.programs.values()] + world.said)


def test_r_e6_a_run_upserts_every_mentor_once_and_the_totals_are_exact(world, dynamics):
    roster = world.mentors(250, others=30)
    world.start_producer()
    world.start_workers(2, **settings(world, dynamics))
    answer = world.http("POST", "/nightly-scheduler", {"job_name": SYNC}, secret="scheduler")
    summary = answer.json
    run = summary["run_id"]
    summary = world.ended(run)
    assert (summary["status"], summary["job_name"]) == ("completed", SYNC)
    assert (summary["total_active_mentors"], summary["total_evaluated"]) == (250, 250)
    assert (summary["total_dispatched"], summary["total_suppressed"]) == (0, 0)
    assert summary["by_scenario"] == {}
    day = summary["evaluation_date"]
    assert dynamics.contacts == {mentor: {"reveille_mentorid": mentor, "reveille_evaluatedon": day}
                                 for mentor in roster}
    assert len(dynamics.requests) == 250
    assert {request.method for request in dynamics.requests} == {"PATCH"}
    assert world.db.value("select count(*) from reveille.notification") == 0
    assert_exact(world, run)
    assert not world.events("engine_off")


def test_r_e5_the_service_key_is_in_no_header_there_and_the_token_in_no_output(world, dynamics):
    """Every header of every request, to both services; and a refusal, a redirect, a 5xx, so that
    errors are told as well."""
    roster = sorted(world.mentors(30))
    dynamics.answers = {roster[0]: [(401, {})], roster[1]: [(302, {"Location": dynamics.url})],
                        roster[2]: [(500, {})] * 9}
    engine_key = world.layout.secret / "service-role-key"
    world.start_engine(arguments=["--secret-expected", engine_key])
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(1, **settings(world, dynamics))
    run = world.ask(SYNC)
    other = world.ask()
    summary = world.ended(run)
    assert world.ended(other)["total_evaluated"] == 30, "the trigger engine has its own key"
    key = world.secret("service-role-key")
    assert len(dynamics.requests) >= 30
    for request in dynamics.requests:
        told = f"{request.path} {request.headers} {request.body}"
        assert key not in told
        assert request.header("Authorization") == [f"Bearer {TOKEN}"]
        assert request.header("OData-Version") == ["4.0"]
        assert not request.header("Idempotency-Key") and not request.header("Cookie")
    assert (summary["total_evaluated"], summary["total_errors"]) == (27, 3)
    errors = {str(row.subject_id): (row.error_class, row.error_message) for row in world.db.rows(
        "select * from reveille.subject_error where run_id = %s", run)}
    assert errors == {roster[0]: ("evaluation_logic_error", "HTTP 401"),
                      roster[1]: ("evaluation_logic_error", "HTTP 302"),
                      roster[2]: ("network_error", "HTTP 500")}
    assert {r.mentor for r in dynamics.requests} == set(roster), "the redirect was not followed"
    assert TOKEN not in all_that_was_said(world)
    assert not world.db.rows("select from reveille.subject_error where error_message ~ %s", TOKEN)
    assert_exact(world, run)


def test_r_e6_off_is_the_default_and_says_so_once(world, dynamics):
    """URL and token are there, the flag is not."""
    world.mentors(40)
    world.start_producer(PAGE_SIZE="10")
    with_address = settings(world, dynamics)
    del with_address["DYNAMICS_ENABLED"]
    world.start_workers(2, **with_address)
    summary = world.ended(world.ask(SYNC))
    assert (summary["status"], summary["total_evaluated"]) == ("completed", 40)
    assert summary["total_errors"] == 0
    assert dynamics.requests == []
    for name in ("worker-1", "worker-2"):
        said = world.events("engine_off", name)
        assert [event["engine"] for event in said] == ["dynamics"]


def test_a_shadow_run_of_the_sync_calls_nobody(world, dynamics):
    world.mentors(20)
    world.start_producer()
    world.start_workers(1, **settings(world, dynamics))
    assert world.ended(world.ask(SYNC, shadow=True))["total_evaluated"] == 20
    assert dynamics.requests == []


def test_a_busy_service_is_asked_again_after_retry_after(world, dynamics):
    roster = sorted(world.mentors(20))
    dynamics.answers = {roster[3]: [(429, {"Retry-After": "1"})], roster[4]: [(503, {})]}
    world.start_producer()
    world.start_workers(1, **settings(world, dynamics))
    run = world.ask(SYNC)
    assert (world.ended(run)["total_evaluated"], len(dynamics.contacts)) == (20, 20)
    assert_exact(world, run)


def test_r_t10_the_token_rotates_without_a_restart(world, dynamics):
    world.mentors(10)
    world.start_producer()
    worker, = world.start_workers(1, **settings(world, dynamics))
    world.ended(world.ask(SYNC))
    fresh = secrets.token_hex(32)
    settings(world, dynamics, token=fresh)
    worker.daemon.send(signal.SIGHUP)
    until(lambda: world.events("secret_changed"), 10, "the worker has read the new token")
    assert world.events("secret_changed")[0]["slot"] == "dynamics_token"
    before = len(dynamics.requests)
    world.ended(world.ask(SYNC, evaluation_date="2026-01-05"))
    assert {r.header("Authorization")[0] for r in dynamics.requests[before:]} == {f"Bearer {fresh}"}
    said = all_that_was_said(world)
    assert TOKEN not in said and fresh not in said


# --- the configuration, which needs no world

BASE = {"DATABASE_URL": "host=127.0.0.1", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "WORKER_ENGINES": "dynamics"}
URL = {"DYNAMICS_URL": "https://org.example/api/data/v9.2"}


def check(*options, **environment):
    return subprocess.run([PROGRAMS / "reveille-worker", *options], env={**BASE, **environment},
                          capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("environment, name", [
    ({}, "DYNAMICS_URL"),
    ({"DYNAMICS_TOKEN": TOKEN}, "DYNAMICS_URL"),
    (URL, "DYNAMICS_TOKEN"),
    ({"DYNAMICS_URL": "org.example", "DYNAMICS_TOKEN": TOKEN}, "DYNAMICS_URL"),
    ({**URL, "DYNAMICS_TOKEN": TOKEN, "SUPABASE_SERVICE_ROLE_KEY": TOKEN}, "DYNAMICS_TOKEN"),
    ({"DYNAMICS_ENABLED": "yes"}, "DYNAMICS_ENABLED"),
])
@pytest.mark.parametrize("options", [(), ("--check-config",)])
def test_r_e5_enabled_without_what_it_needs_ends_with_2_and_names_the_variable(
        options, environment, name):
    done = check(*options, **{"DYNAMICS_ENABLED": "true", **environment})
    assert done.returncode == 2, done.stderr
    assert name in done.stderr.splitlines()[0]
    assert TOKEN not in done.stdout + done.stderr
    assert not SANITIZERS.search(done.stderr)


def test_the_help_and_the_check_show_the_three_variables_and_no_token():
    told = check("--help").stdout
    shown = check("--check-config", DYNAMICS_ENABLED="true", DYNAMICS_TOKEN=TOKEN, **URL)
    assert shown.returncode == 0, shown.stderr
    for name in ("DYNAMICS_ENABLED", "DYNAMICS_URL", "DYNAMICS_TOKEN"):
        assert name in told and name in shown.stdout
    assert TOKEN not in shown.stdout + shown.stderr
    off = check("--check-config")
    assert off.returncode == 0 and "false  (default)" in off.stdout
