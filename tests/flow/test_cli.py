"""`reveille`, the operator's command, on a live stack: what it says and with which code it ends."""

import json

import pytest

from checker import assert_exact
from parts import MIGRATIONS
from stack.database import ADMIN
from world import JOB, until


@pytest.fixture(scope="module")
def shared(make_world):
    """A producer, a worker, and 30 mentors; page size 10."""
    world = make_world()
    world.mentors(30)
    world.start_engine()
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(1)
    return world


@pytest.fixture
def live(shared):
    """The same stack, with nothing open and an engine that answers."""
    yield shared
    shared.db.rows("update reveille.trigger_request set state = 'refused', reason = 'test' "
                   "where state = 'pending'")
    for run in shared.open_runs():
        shared.cli("cancel", run)
    shared.engine.control(latency=2)
    until(lambda: shared.engine.stats()["in_flight"] == 0, 40, "all calls have ended")


@pytest.fixture
def held(live):
    """A run that is open, with calls in flight."""
    live.engine.control(latency=3000)
    run = live.cli("run", JOB, "--json").json["run_id"]
    until(lambda: live.engine.stats()["in_flight"] > 0, 20, "calls are in flight")
    return run


def test_run_with_wait_follows_to_the_summary_and_verify_proves_it(live):
    done = live.cli("run", JOB, "--wait", "--json")
    assert done.code == 0, done.err
    assert (done.json["status"], done.json["total_evaluated"]) == ("completed", 30)
    run = done.json["run_id"]
    assert_exact(live, run)
    verified = live.cli("verify", run)
    assert verified.code == 0 and "holds" in verified.out and "NOT" not in verified.out
    status = live.cli("status", f"latest:{JOB}", "--json")
    replays = {"runs": [], "unresolved": {"errors": 0, "unreached": 0}}
    assert (status.code, status.json) == (0, {**done.json, "replays": replays})
    assert live.cli("status", run[:8]).code == 0, "any unique prefix"
    assert live.cli("runs", JOB, "--last", "1", "--json").json == [done.json]


def test_a_run_of_some_subjects_and_a_shadow_run(live):
    one, two = sorted(str(row.id) for row in live.db.rows("select id from public.peer_mentors"))[:2]
    done = live.cli("run", JOB, "--subject", one, "--subject", two, "--wait", "--json")
    assert (done.code, done.json["total_active_mentors"]) == (0, 2)
    shadow = live.cli("run", JOB, "--shadow", "--date", "2026-01-05", "--wait", "--json")
    assert (shadow.code, shadow.json["total_dispatched"]) == (0, 0)
    assert shadow.json["evaluation_date"] == "2026-01-05"


def test_an_open_run_says_why_and_wait_ends_with_5(live, held):
    waited = live.cli("run", JOB, "--wait=1", "--json")
    assert waited.code == 5, "queued behind the open one"
    queued = live.cli("run", JOB, "--json")
    assert queued.code == 0, "it is kept, and opened when the open one has ended"
    assert waited.json == queued.json == {
        "run_id": None, "job_name": JOB, "status": "queued", "behind": held, "completed": False,
        "partial": False}
    why = live.cli("why-open", held, "--json").json
    open_slices = why["slices"]
    assert open_slices and {"slice", "state", "worker", "attempt", "calls"} <= set(open_slices[0])
    assert "claimed" in {one["state"] for one in open_slices}
    assert (why["run_id"], why["engine"]["engine"], why["engine"]["closed"]) == (held, "http", False)
    assert live.cli("verify", held, "--json").code == 1, "an open run is not proved"
    until(lambda: (workers := live.cli("workers", "--json").json)
          and any(w["in_flight"] > 0 and w["partitions"] > 0 for w in workers), 10,
          "the worker is seen at work")


def test_cancel_ends_a_run_once_and_what_is_pending_is_unreached(live, held):
    done = live.cli("cancel", held, "--json")
    assert (done.code, done.json["status"]) == (0, "cancelled")
    assert done.json["remaining_unprocessed_count"] > 0
    assert live.cli("cancel", held).code == 1, "it has ended"
    assert live.cli("status", held).code == 1
    until(lambda: live.engine.stats()["in_flight"] == 0, 40, "late answers have come")
    assert_exact(live, held, state="cancelled")
    assert live.db.value("select actor from reveille.audit where action = 'cancel' and object = %s",
                         held)


def test_verify_finds_a_notification_that_is_missing(live):
    live.db.rows("truncate reveille.notification, reveille.cooldown, reveille.outbox")
    run = live.cli("run", JOB, "--date", "2026-01-07", "--wait", "--json").json["run_id"]
    live.db.rows("create table public.taken as table reveille.notification with no data")
    live.db.rows("with x as (delete from reveille.notification where ctid = any(array(select ctid "
                 "from reveille.notification where run_id = %s limit 1)) returning *) "
                 "insert into public.taken select * from x", run)
    verified = live.cli("verify", run, "--json")
    live.db.rows("insert into reveille.notification table public.taken")
    live.db.rows("drop table public.taken")
    assert verified.code == 1 and not verified.json["holds"]
    wrong = [check for check in verified.json["checks"] if not check["holds"]]
    assert any((check["expected"], check["actual"]) == (30, 29) for check in wrong), wrong
    assert live.cli("verify", run).code == 0


def test_engines_lists_and_sets(live):
    done = live.cli("engines", "set", "http", "concurrency=20", "--json")
    assert done.json[0]["concurrency"] == 20
    listed = {one["engine"]: one for one in live.cli("engines", "--json").json}
    assert listed["http"]["concurrency"] == 20 and not listed["http"]["closed"]
    assert live.cli("engines", "set", "http", "concurrency=10").code == 0
    assert live.cli("engines", "set", "nobody", "concurrency=10").code == 3
    for wrong in ("concurrency=0", "concurrency=many", "speed=1"):
        assert live.cli("engines", "set", "http", wrong).code == 2


@pytest.mark.parametrize("code, words", [
    (3, ["run", "no_such_job"]), (2, ["run", JOB, "--date", "2999-01-01"]),
    (2, ["run", JOB, "--date", "tomorrow"]), (2, ["run", JOB, "--scenario", "nobody_knows"]),
    (2, ["run"]), (2, ["run", JOB, "--no-such-option"]), (2, ["no-such-verb"]),
    (3, ["status", "ffffffff"]), (3, ["verify", "latest:no_such_job"]), (3, ["cancel", "00000000"]),
    (0, ["--help"]), (0, ["--version"]), (0, ["help", "run"]), (0, ["run", "--help"])])
def test_exit_codes(live, code, words):
    done = live.cli(*words)
    assert done.code == code, done.out + done.err
    assert done.out if code == 0 else done.err, "it says why"


def test_a_paused_job_is_not_run(live):
    live.db.rows("select reveille.pause_job(%s, 'a test')", JOB)
    done = live.cli("run", JOB)
    live.db.rows("select reveille.pause_job(%s, null)", JOB)
    assert done.code == 1 and "paused" in done.err


def test_json_is_one_document_and_nothing_else_on_stdout(live):
    for words in (["runs"], ["status"], ["verify"], ["why-open"], ["workers"], ["engines"]):
        done = live.cli(*words, "--json")
        assert json.loads(done.out) is not None and done.err == "", words


def test_a_database_out_of_reach_is_4_and_one_without_reveille_2_with_the_mend(live):
    away = live.cli("runs", DATABASE_URL="postgresql://nobody:sesame@127.0.0.1:1/x")
    assert away.code == 4 and "sesame" not in away.err
    bare = live.cli("runs", DATABASE_URL=live.cluster.postgres.url("postgres", "postgres"))
    assert bare.code == 2 and "reveille migrate" in bare.err
    assert live.cli("runs", DATABASE_URL="").code == 2


def test_r_x3_the_url_may_be_in_a_file_but_not_in_both(live, tmp_path):
    file = tmp_path / "url"
    file.write_text(live.db.url("reveille_operator") + "\n")
    assert live.cli("runs", DATABASE_URL_FILE=str(file)).code == 2, "both are set"
    assert live.cli("runs", DATABASE_URL=None, DATABASE_URL_FILE=str(file)).code == 0


def test_migrate_has_nothing_left_to_do(live):
    done = live.cli("migrate", "--dry-run", "--dir", MIGRATIONS, "--json", role=ADMIN)
    # The database is a copy of one that `reveille migrate` made, history and all.
    assert done.code == 0 and not done.json.get("pending") and not done.json.get("applied")
