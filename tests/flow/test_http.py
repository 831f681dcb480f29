"""The producer's HTTP: who may ask, for what, and what is answered. No worker is needed: runs stay
open until they are cancelled."""

import concurrent.futures
import contextlib
import socket

import pytest

from checker import assert_exact
from malformed import REQUESTS
from world import JOB, until

RING = f"/v1/jobs/{JOB}/runs"
MANY = 10
OTHER = "ab" * 32  # a secret of the right form


@pytest.fixture(scope="module")
def shared(make_world):
    """A producer in production, and five mentors whom nobody judges."""
    world = make_world()
    world.mentors(5)
    world.start_producer(REVEILLE_ENV="production", TIMEOUT_THRESHOLD_MS="300")
    return world


@pytest.fixture
def door(shared):
    """The same producer, with nothing open and nothing asked."""
    yield shared
    shared.db.rows("update reveille.trigger_request set state = 'refused', reason = 'test' "
                   "where state = 'pending'")
    for run in shared.open_runs():
        shared.http("POST", f"/v1/runs/{run}/cancel")
    # An ended slot is not run again; the next test asks for it as if for the first time.
    shared.db.rows("update reveille.run set slot = null")
    shared.db.rows("update reveille.trigger_request set slot = null")


def runs(world):
    return world.db.value("select count(*) from reveille.run")


# --- who may ask


@pytest.mark.parametrize("headers", [
    {}, {"X-Scheduler-Secret": ""}, {"X-Scheduler-Secret": OTHER}, {"Authorization": "Bearer"},
    {"Authorization": f"Basic {OTHER}"}, {"Authorization": f"Bearer {OTHER}"},
    {"X-Scheduler-Secret": "ä"}], ids=["missing", "empty", "wrong", "bearer-empty", "basic",
                                       "bearer-wrong", "not-ascii"])
def test_r_t9_without_the_secret_401_comes_before_anything_else(door, headers):
    before = runs(door)
    for path in (RING, "/scenario-scheduler", "/v1/runs", "/no-such-path"):
        answer = door.http("POST", path, "{ no JSON", secret=None, headers=headers)
        assert answer.status == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert runs(door) == before


def test_r_t9_a_secret_or_a_body_of_10_mb_is_refused(door):
    """The server stops reading long before: the sender may see its connection closed instead."""
    head = (b"POST " + RING.encode() + b" HTTP/1.1\r\nHost: x\r\n"
            + b"X-Scheduler-Secret: %s\r\n")
    secret = door.secret("operator").encode()
    big = b"7" * 10_000_000
    assert status_of(send(door, head % big + b"\r\n")) in (400, 401, 413, None)
    assert status_of(send(door, head % secret + b"Content-Type: application/json\r\n"
                          + b"Content-Length: 10000000\r\n\r\n" + big)) in (400, 413, None)
    assert door.http("GET", "/v1/runs").status == 200, "the next caller is served"


@pytest.mark.parametrize("headers", ["X-Scheduler-Secret: {}", "Authorization: Bearer {}"])
def test_r_t9_either_header_opens(door, headers):
    name, value = headers.format(door.secret("scheduler")).split(": ")
    assert door.http("GET", "/v1/runs", secret=None, headers={name: value}).status == 200


def test_r_t9_a_valid_secret_counts_beside_a_header_for_somebody_else(door):
    secret = door.secret("scheduler")
    for headers in ({"X-Scheduler-Secret": secret, "Authorization": f"Bearer {OTHER}"},
                    {"X-Scheduler-Secret": secret, "Authorization": "Basic Zm9vOmJhcg=="},
                    {"X-Scheduler-Secret": OTHER, "Authorization": f"Bearer {secret}"}):
        assert door.http("GET", "/v1/runs", secret=None, headers=headers).status == 200
    both = {"X-Scheduler-Secret": secret, "Authorization": f"Bearer {door.secret('operator')}"}
    assert door.http("GET", "/v1/jobs", secret=None, headers=both).status == 200, "the stronger"
    wrong = {"X-Scheduler-Secret": OTHER, "Authorization": f"Bearer {OTHER}"}
    assert door.http("GET", "/v1/runs", secret=None, headers=wrong).status == 401


def test_r_t10_the_last_use_is_seen_at_every_producer_also_after_a_restart(door):
    door.http("GET", "/v1/runs", secret="scheduler")
    until(lambda: door.db.rows("select slot from reveille.secret_use where slot = 'scheduler'"), 10,
          "the use is in the database")
    other = door.start_producer("another")
    used = until(lambda: door.metric(
        other, 'reveille_secret_last_used_timestamp_seconds{slot="scheduler"}'), 20,
        "the other producer tells of it")
    assert abs(used - door.db.value("select extract(epoch from last_used_at)::float8 from "
                                    "reveille.secret_use where slot = 'scheduler'")) <= 1
    other.stop()


def test_r_t10_the_secret_rotates_without_a_restart_and_two_are_valid_meanwhile(world):
    """A day in the life: NEXT is handed out, callers move, NEXT becomes the secret."""
    files = {name: world.layout.secret / name for name in ("scheduler", "next")}
    old, new = world.secret("scheduler"), OTHER
    files["next"].write_text(new + "\n")
    world.start_producer(SCHEDULER_SECRET_NEXT_FILE=str(files["next"]))

    def opens(secret):
        return world.http("GET", "/v1/runs", secret=None,
                          headers={"X-Scheduler-Secret": secret}).status == 200
    assert opens(old) and opens(new)
    until(lambda: {row.slot for row in world.db.rows("select slot from reveille.secret_use")}
          == {"scheduler", "scheduler_next"}, 5, "the last use of each is in the database")
    files["scheduler"].write_text(new + "\n")
    newest = "cd" * 32
    files["next"].write_text(newest + "\n")
    assert opens(new) and opens(newest) and not opens(old)
    assert world.programs["producer"].daemon.alive()
    assert old not in "".join(map(str, world.events()))


def test_r_t12_in_production_a_manual_run_needs_the_operators_secret(door):
    refused = door.http("POST", RING, {"shadow": True}, secret="scheduler")
    assert (refused.status, refused.json["type"]) == (
        401, "urn:reveille:problem:operator-secret-needed")
    answer = door.http("POST", RING, {"shadow": True}, secret="operator")
    assert (answer.status, answer.json["triggered_by"]) == (202, "manual")


def test_r_t12_in_development_the_schedulers_secret_may_ask_for_a_manual_run(world):
    world.start_producer(REVEILLE_ENV="development")
    assert world.http("POST", RING, {"shadow": True}, secret="scheduler").status in (200, 202)


# --- for what


@pytest.mark.parametrize("path, body", [("/nightly-scheduler", {"job_name": "no_such_job"}),
                                        ("/v1/jobs/no_such_job/runs", {})])
def test_r_t11_an_unknown_job_is_422_and_a_failed_row(door, path, body):
    door.db.rows("delete from reveille.scheduler_execution_log")
    answer = door.http("POST", path, body, secret="scheduler")
    assert (answer.status, answer.json["type"]) == (422, "urn:reveille:problem:unknown-job")
    row = door.db.row("select * from reveille.scheduler_execution_log")
    assert (row.job_name, row.status, row.error_message) == ("no_such_job", "failed", "unknown job")


def test_r_t11_a_job_that_the_body_names_is_rung(door):
    answer = door.http("POST", "/nightly-scheduler", {"job_name": JOB}, secret="scheduler")
    assert (answer.status, answer.json["job_name"]) == (200, JOB)


def test_r_t13_ten_posts_at_once_are_one_run(door):
    before = runs(door)
    with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(
            lambda _n: door.http("POST", RING, {}, secret="scheduler"), range(MANY)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["run_id"] for answer in answers}) == 1
    assert runs(door) == before + 1
    assert all(a.headers["Location"] == f"/v1/runs/{a.json['run_id']}" for a in answers)


def test_r_t13_another_request_waits_behind_the_active_run_and_opens_when_it_closes(door):
    first = door.http("POST", RING, {}, secret="scheduler").json["run_id"]
    queued = door.http("POST", RING, {"evaluation_date": "2026-01-05"})
    assert queued.status == 202
    assert (queued.json["status"], queued.json["behind"]) == ("queued", first)
    assert door.open_runs() == [first], "never two of one job"
    assert door.http("POST", f"/v1/runs/{first}/cancel").json["status"] == "cancelled"
    second, = until(door.open_runs, 10, "the waiting request is opened")
    assert second != first
    assert str(door.summary(second)["evaluation_date"]) == "2026-01-05"


def test_an_idempotency_key_asked_twice_is_one_run(door):
    asked = [door.http("POST", RING, {"shadow": True}, headers={"Idempotency-Key": "today-1"})
             for _ in range(2)]
    assert asked[0].json["run_id"] == asked[1].json["run_id"]
    bad = door.http("POST", RING, {"shadow": True}, headers={"Idempotency-Key": "x" * 201})
    assert (bad.status, bad.json["type"]) == (400, "urn:reveille:problem:idempotency-key")


@pytest.mark.parametrize("params", [{"evaluation_date": "2999-01-01"},
                                    {"scenario_types": ["nobody_knows"]}])
def test_a_manual_run_of_what_cannot_be_judged_is_422(door, params):
    before = runs(door)
    assert door.http("POST", RING, params).status == 422
    assert runs(door) == before


def test_r_t8_a_paused_job_takes_no_request_until_it_is_resumed(door):
    assert door.http("PATCH", f"/v1/jobs/{JOB}", {"paused": True}).json["paused"] is True
    for path, secret in ((RING, "scheduler"), ("/scenario-scheduler", "scheduler"),
                         (RING, "operator")):
        refused = door.http("POST", path, {}, secret=secret)
        assert (refused.status, refused.json["title"]) == (409, "the job is paused")
    shown = next(job for job in door.http("GET", "/v1/jobs").json["jobs"]
                 if job["job_name"] == JOB)
    assert (shown["paused"], shown["paused_reason"]) == (True, "paused over HTTP")
    assert shown["paused_at"] and not door.open_runs()
    assert door.http("PATCH", f"/v1/jobs/{JOB}", {"paused": False}).json["paused"] is False
    assert door.http("POST", RING, {}, secret="scheduler").status == 202


def test_r_e8_an_operator_corrects_a_contact_date_and_it_is_kept(door):
    one = str(door.db.value("select id from public.assignments order by id limit 1"))
    path, date = f"/v1/assignments/{one}", {"last_contact_date": "2026-02-28"}
    assert door.http("PATCH", path, date, secret="scheduler").status == 401
    answer = door.http("PATCH", path, date)
    assert (answer.status, answer.json) == (200, {"assignment_id": one, **date})
    row = door.db.row("select * from reveille.contact_override where assignment_id = %s", one)
    assert (str(row.contact_date), row.set_by) == ("2026-02-28", "operator over HTTP")
    for wrong in ("2026-02-29", "2999-01-01", None, 20260228):
        assert door.http("PATCH", path, {"last_contact_date": wrong}).status == 422, wrong
    assert door.http("PATCH", path, {}).status == 422
    assert str(door.db.value("select contact_date from reveille.contact_override "
                             "where assignment_id = %s", one)) == "2026-02-28"
    nobody = "/v1/assignments/00000000-0000-4000-8000-000000000000"
    answer = door.http("PATCH", nobody, date)
    assert (answer.status, answer.json["type"]) == (404, "urn:reveille:problem:no-such-assignment")
    assert door.http("PATCH", "/v1/assignments/me", date).status == 404


# --- what is answered


def test_r_s3_no_database_at_the_start_is_500(world):
    world.start_producer(wait=False, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    until(lambda: world.events("http_listening"), 20, "it listens")
    answer = world.http("POST", "/scenario-scheduler", secret="scheduler")
    assert (answer.status, answer.json["type"]) == (500, "urn:reveille:problem:no-database")
    assert world.http("GET", "/readyz", secret=None).status == 503
    assert "127.0.0.1" not in answer.bytes.decode() and "nobody" not in answer.bytes.decode()


def test_r_s3_a_database_that_goes_away_is_503_with_retry_after_until_it_is_back(world):
    world.start_producer()
    admin, name = world.cluster.postgres, world.db.name
    admin.psql(f"alter database {name} allow_connections false")
    admin.psql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")

    def rung():
        return world.http("POST", "/scenario-scheduler", secret="scheduler",
                          headers={"Prefer": "respond-async"})
    away = until(lambda: (answer := rung()).status != 202 and answer, 20, "the links are gone")
    assert (away.status, away.headers["Retry-After"]) == (503, "1")
    until(lambda: rung().status == 503 and  # behind a pooler only who asks is told
          "http" in [e["link"] for e in world.events("database_down")], 20, "it is known")
    assert rung().status == 503, "also before anything is asked"
    admin.psql(f"alter database {name} allow_connections true")
    until(lambda: rung().status == 202, 30, "it is back")


def test_r_s2_after_the_threshold_200_with_what_remains_and_the_run_goes_on(door):
    answer = door.http("POST", "/scenario-scheduler", secret="scheduler")
    assert (answer.status, answer.json["completed"]) == (200, False)
    assert answer.json["status"] in ("planning", "running")
    assert answer.json["remaining_unprocessed_count"] in (5, None)
    assert door.state(answer.json["run_id"]) in ("planning", "running")


def test_r_s2_respond_async_is_202_at_once_and_wait_chooses(door):
    at_once = door.http("POST", "/scenario-scheduler", secret="scheduler",
                        headers={"Prefer": "respond-async"})
    assert at_once.status == 202
    assert at_once.headers["Preference-Applied"] == "respond-async"
    waited = door.http("POST", RING, {}, secret="scheduler", headers={"Prefer": "wait=1"})
    assert (waited.status, waited.headers["Preference-Applied"]) == (202, "wait=1")


def test_runs_and_slices_are_read_with_either_secret_page_by_page(door):
    for _ in range(3):
        run = door.ask(shadow=True)
        until(lambda: door.state(run) == "running", 10, "it is planned")
        door.http("POST", f"/v1/runs/{run}/cancel")
    first = door.http("GET", "/v1/runs?limit=2", secret="scheduler").json["runs"]
    assert len(first) == 2 and first[0]["run_id"] == run
    rest = door.http("GET", f"/v1/runs?limit=2&before={first[1]['run_id']}").json["runs"]
    assert rest and not {r["run_id"] for r in rest} & {r["run_id"] for r in first}
    slices = door.http("GET", f"/v1/runs/{run}/slices?state=unreached").json
    assert [s["subjects"] for s in slices["slices"]] == [5]
    again = door.http("POST", f"/v1/runs/{run}/cancel")
    assert (again.status, again.json["type"]) == (409, "urn:reveille:problem:run-ended")
    nobody = "/v1/runs/00000000-0000-4000-8000-000000000000"
    assert door.http("GET", nobody).status == door.http("POST", nobody + "/cancel").status == 404


def test_health_needs_no_secret(door):
    assert door.http("GET", "/livez", secret=None).json == {"live": True}
    assert door.http("GET", "/readyz", secret=None).json == {"ready": True}
    metrics = door.http("GET", "/metrics", secret=None).bytes.decode()
    assert "# TYPE reveille_runs_total counter" in metrics
    assert "reveille_build_info{" in metrics
    assert door.http("PATCH", "/livez", {}, secret=None).status == 405


def test_40_malformed_requests_get_clear_answers_and_the_run_is_exact(world):
    world.mentors(20)
    world.start_engine()
    world.start_producer()
    secret = world.secret("operator").encode()
    with concurrent.futures.ThreadPoolExecutor(len(REQUESTS)) as pool:  # some wait for more: 10 s
        answers = list(pool.map(
            lambda request: status_of(send(world, request.replace(b"%SECRET%", secret))), REQUESTS))
    for number, status in enumerate(answers):
        assert status is None or 400 <= status < 500 or status == 501, (number, status)
    assert sum(status is not None for status in answers) >= 30, "nearly all get a clear answer"
    assert runs(world) == 0, "none of them asked for a run"
    world.start_workers(1)
    answer = world.http("POST", "/scenario-scheduler", secret="scheduler")
    assert answer.json["total_dispatched"] == 20
    assert_exact(world, answer.json["run_id"])


def send(world, data, seconds=15):
    """Sends bytes to the producer; returns what comes back with its answer, or until it closes."""
    host, port = world.programs["producer"].address().split(":")
    back = b""
    with socket.create_connection((host, int(port)), seconds) as link:
        link.settimeout(seconds)
        with contextlib.suppress(ConnectionError):
            link.sendall(data)
        with contextlib.suppress(ConnectionError):
            while b"\r\n" not in back and (piece := link.recv(65536)):
                back += piece
    return back


def status_of(answer):
    """The first answer's status; None when the connection was closed without one."""
    line = answer.split(b"\r\n", 1)[0].split(b" ")
    return int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/") else None


def test_openapi_yaml_is_whole_and_every_answer_above_was_held_against_it(door):
    """world.http checks each answer; here the document itself."""
    contract = door.contract
    assert contract.document["openapi"] == "3.1.0"
    for reference in contract.references():
        assert contract.resolve({"$ref": reference}) is not None, reference
    names = [operation["operationId"] for _path, _method, operation in contract.operations()]
    assert len(set(names)) == len(names) >= 12
    for path, method, operation in contract.operations():
        assert operation["summary"] and operation["responses"], (path, method)
        guarded = operation.get("security", contract.document["security"]) != []
        assert ("401" in operation["responses"]) == guarded, (path, method)
