"""Runs that meet no accident: who is looked at, what is counted, what is told."""

import re
import types

import pytest

from checker import assert_exact
from world import JOB, World, until

SUMMARY_INTEGERS = ["total_active_mentors", "total_evaluated", "total_dispatched",
                    "total_suppressed", "total_skipped", "total_errors",
                    "remaining_unprocessed_count", "pages_processed", "duration_ms"]


@pytest.fixture(scope="module")
def night(make_world):
    """250 mentors, and 50 who are not eligible, looked at by two workers: rung as pg_cron would,
    and waited for. The tests below read it, and may add runs."""
    world = make_world()
    roster = world.mentors(250, others=50)
    world.start_engine()
    world.start_producer()
    world.start_workers(2)
    answer = world.http("POST", "/scenario-scheduler", secret="scheduler")
    return types.SimpleNamespace(world=world, roster=roster, answer=answer,
                                 run=answer.json["run_id"])


def test_r_p3_pages_250_mentors_in_3_slices_of_100(night):
    sizes = [len(s.subject_ids) for s in night.world.slices(night.run)]
    assert sizes == [100, 100, 50]
    assert night.answer.json["pages_processed"] == 3


def test_r_d4_every_planned_mentor_has_exactly_one_outcome(night):
    outcomes = assert_exact(night.world, night.run, limit=10)
    assert set(outcomes) == night.roster


def test_r_p1_only_active_mentors_with_an_active_assignment_are_looked_at(night):
    asked = {call.mentor for call in night.world.engine.calls()}
    assert asked == night.roster


def test_r_s1_r_s2_the_scheduler_waits_and_gets_the_summary(night):
    answer = night.answer
    assert answer.status == 200
    summary = answer.json
    assert all(type(summary[name]) is int and summary[name] >= 0 for name in SUMMARY_INTEGERS)
    assert (summary["total_active_mentors"], summary["total_evaluated"]) == (250, 250)
    assert (summary["total_dispatched"], summary["total_suppressed"]) == (250, 0)
    assert (summary["total_skipped"], summary["total_errors"]) == (0, 0)
    assert summary["remaining_unprocessed_count"] == 0
    assert summary["status"] == "completed"
    assert summary["completed"] and not summary["partial"]
    assert summary["by_scenario"] == {
        "inactivity": {"evaluated": 250, "dispatched": 250, "suppressed": {}}}
    assert summary["triggered_by"] == "http"
    assert not re.search("user|peer", answer.bytes.decode()), "aggregates only"


def test_r_s3_the_execution_log_has_a_row_of_the_run(night):
    row = night.world.db.row("select * from reveille.scheduler_execution_log where run_id = %s",
                             night.run)
    assert (row.job_name, row.status, row.error_message) == (JOB, "completed", None)
    assert row.started_at < row.finished_at


def test_r_s4_a_run_is_told_by_its_two_events_once(night):
    started, completed = (
        [e for e in night.world.events(name) if e["invocation_id"] == night.run]
        for name in ("scheduler_run_started", "scheduler_run_completed"))
    assert len(started) == len(completed) == 1
    assert started[0]["triggered_by"] == "http"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", started[0]["timestamp"])
    assert started[0]["component"] == completed[0]["component"] == "scenario-scheduler"
    told = {name: completed[0][name] for name in [*SUMMARY_INTEGERS, "completed", "by_scenario"]}
    assert told == {name: night.answer.json[name] for name in told}


def test_r_t13_the_same_slot_asked_again_is_the_same_run(night):
    again = night.world.http("POST", f"/v1/jobs/{JOB}/runs", {}, secret="scheduler")
    assert again.status == 200
    assert again.json == {**night.answer.json, "duration_ms": again.json["duration_ms"]}


def test_r_e1_the_idempotency_key_names_job_day_scenarios_and_mentor(night):
    day = night.answer.json["evaluation_date"]
    calls = [call for call in night.world.engine.calls() if call.day == day]
    assert len(calls) >= 250
    for call in calls:
        job, _day, scenarios, mentor = call.key.split("/")
        assert (job, mentor) == (JOB, call.mentor)
        assert re.fullmatch("[0-9a-f]+", scenarios)
        assert call.types == "inactivity"


def test_r_d1_r_d2_a_second_run_on_the_same_date_dispatches_nothing(night):
    world = night.world
    run = world.ask(evaluation_date=night.answer.json["evaluation_date"])
    summary = world.ended(run)
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (250, 0)
    assert summary["total_suppressed"] == 250
    assert summary["by_scenario"]["inactivity"]["suppressed"] == {"duplicate": 250}
    warnings = [e for e in world.events("duplicates_suppressed") if e["invocation_id"] == run]
    assert [e["level"] for e in warnings] == ["warn"] * 3, "one line a slice"
    assert sum(e["suppressed"] for e in warnings) == 250
    assert sum(e["dispatched"] for e in warnings) == 0
    assert not [e for e in world.events("mentor_evaluation_error") if e["invocation_id"] == run]
    assert_exact(world, run)


def test_r_d3_another_days_run_within_the_cooldown_dispatches_nothing(night):
    run = night.world.ask(evaluation_date="2026-01-05")
    summary = night.world.ended(run)
    assert (summary["total_dispatched"], summary["total_suppressed"]) == (0, 250)
    assert summary["by_scenario"]["inactivity"]["suppressed"] == {"cooldown": 250}
    assert_exact(night.world, run)


def test_a_shadow_run_judges_and_dispatches_nothing(night):
    world = night.world
    world.db.rows("delete from reveille.cooldown")
    run = world.ask(evaluation_date="2026-01-06", shadow=True)
    summary = world.ended(run)
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (250, 0)
    assert summary["by_scenario"]["inactivity"]["suppressed"] == {"shadow": 250}
    dry = [call for call in world.engine.calls() if call.day == "2026-01-06"]
    assert len(dry) == 250 and all(call.key.endswith("/dry-run") for call in dry)


def test_the_message_is_a_slices_address_and_nothing_more(night, kcat):
    """Interface 5: at most 64 bytes, no key; PostgreSQL has everything else."""
    messages = kcat(night.world, "http")
    assert len(messages) >= 3
    run = bytes.fromhex(night.run.replace("-", ""))
    mine = [m for m in messages if run in m]
    assert sorted(m[-1] for m in mine) == [0, 1, 2]
    assert all(len(m) <= 64 for m in messages)


def test_r_p1_50_mentors_and_the_engine_gets_exactly_those_50(world):
    roster = world.mentors(50, others=30)
    world.start_engine()
    world.start_producer()
    world.start_workers(1)
    run = world.ask()
    summary = world.ended(run)
    assert (summary["total_active_mentors"], summary["total_evaluated"]) == (50, 50)
    calls = world.engine.calls()
    assert len(calls) == 50 and {call.mentor for call in calls} == roster
    assert_exact(world, run, limit=10)


def test_r_p3_zero_mentors_are_a_completed_run_of_zeros(world):
    """Without a worker: nothing is there for one."""
    world.mentors(0, others=6)
    world.start_producer()
    answer = world.http("POST", "/scenario-scheduler", secret="scheduler")
    assert (answer.status, answer.json["status"]) == (200, "completed")
    zeros = {name for name in SUMMARY_INTEGERS if name != "duration_ms"}
    assert all(answer.json[name] == 0 for name in zeros)
    assert answer.json["completed"] and not answer.json["partial"]
    assert answer.json["by_scenario"] == {
        "inactivity": {"evaluated": 0, "dispatched": 0, "suppressed": {}}}
    until(lambda: world.events("scheduler_run_completed"), 5, "the run is logged")
    assert_exact(world, answer.json["run_id"])


def poison(world, slice_no, run):
    """As if five workers had died of this slice."""
    world.db.rows("update reveille.slice set attempt = 5 where run_id = %s and slice_no = %s",
                  run, slice_no)


def refuse_notifications(world, mentors, name="refused_by_a_test"):
    """The database refuses to write what these mentors are due (a data error of theirs alone), in
    the name of this constraint."""
    users = world.db.rows("select user_id from public.peer_mentors where id = any(%s::uuid[])",
                          sorted(mentors))
    world.db.rows(f'alter table reveille.notification add constraint "{name}" '
                  "check (user_id <> all(%s::uuid[]))", [str(user.user_id) for user in users])


def script(world, actions):
    """{mentor: action} as the scripted engine's file; returns its options."""
    path = world.layout.folder / "script"
    path.write_text("".join(f"{mentor} {action}\n" for mentor, action in actions.items()))
    return ["--script", path]


def test_r_e2_a_tenth_failing_in_each_class_leaves_the_rest_unharmed(world: World):
    """100 mentors in slices of 10: the first slice no worker has ever finished, of the others 10
    each fail by the network, by time, by nonsense, and in the database."""
    roster = sorted(world.mentors(100))
    lost, network, timeout, nonsense, database = (roster[10 * n:10 * n + 10] for n in range(5))
    actions = {mentor: "reset" for mentor in network} | {mentor: "hang" for mentor in timeout}
    wrong = ["garbage", "wrong-id", "400", "huge", "unknown-action", "foreign-type", "404",
             "409", "422", "truncated"]
    # Whole answers cut short are the network's fault; the other nine are the engine's.
    actions |= dict(zip(nonsense, wrong))
    refuse_notifications(world, database)
    world.start_engine(arguments=script(world, actions))
    world.start_producer(PAGE_SIZE="10")
    run = world.ask()
    until(lambda: world.state(run) == "running", 20, "the run is planned")
    poison(world, 0, run)
    world.start_workers(1, TRIGGER_ENGINE_TIMEOUT_MS="300")
    summary = world.ended(run)
    of = {str(row.subject_id): row.error_class for row in world.db.rows(
        "select * from reveille.subject_error where run_id = %s", run)}
    assert {of[mentor] for mentor in lost} == {"worker_lost"}
    assert {of[mentor] for mentor in network} == {"network_error"}
    assert {of[mentor] for mentor in timeout} == {"timeout_error"}
    assert {of[mentor] for mentor in database} == {"database_error"}
    assert [of[mentor] for mentor in nonsense] == ["evaluation_logic_error"] * 9 + ["network_error"]
    assert len(of) == summary["total_errors"] == 50
    assert summary["total_evaluated"] == summary["total_dispatched"] == 50
    assert (summary["status"], summary["completed"]) == ("completed", True)
    outcomes = assert_exact(world, run)
    assert {m for m, outcome in outcomes.items() if outcome == "evaluated"} == set(roster[50:])
    assert_errors_are_told(world, run, of)


def assert_errors_are_told(world, run, of):
    """R-S4: a line an error, by the worker whose settle or claim wrote it, naming mentor and class."""
    lines = [e for e in world.events("mentor_evaluation_error") if e["invocation_id"] == run]
    assert all(e["component"] == "scenario-scheduler" for e in lines)
    told = {e["peer_mentor_id"]: e["error_type"] for e in lines}
    assert len(told) == len(lines), "told twice"
    assert told == of


def test_r_d1_a_notification_whose_cooldown_row_was_deleted_is_still_not_doubled(world):
    """A mistake by hand: the notification itself has the last word, and the run ends."""
    world.mentors(20)
    world.start_engine()
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(1)
    assert world.ended(world.ask())["total_dispatched"] == 20
    world.db.rows("delete from reveille.cooldown where ctid = any(array("
                  "select ctid from reveille.cooldown limit 3))")
    run = world.ask(evaluation_date="2026-01-05")
    summary = world.ended(run)
    assert (summary["total_dispatched"], summary["total_suppressed"]) == (0, 20)
    assert summary["total_errors"] == 0
    assert_exact(world, run)


def test_r_p1_somebody_paused_between_plan_and_claim_is_skipped_and_named(world):
    roster = sorted(world.mentors(30))
    world.start_engine()
    world.start_producer(PAGE_SIZE="10")
    run = world.ask()
    until(lambda: world.state(run) == "running", 20, "the run is planned")
    paused = {roster[0], roster[15], roster[29]}
    world.db.rows("update public.peer_mentors set status = 'paused' where id = any(%s::uuid[])",
                  sorted(paused))
    world.start_workers(1)
    summary = world.ended(run)
    assert (summary["total_skipped"], summary["total_evaluated"]) == (3, 27)
    named = {str(one) for s in world.slices(run) for one in s.skipped_ids}
    assert named == paused
    assert not paused & {call.mentor for call in world.engine.calls()}
    assert_exact(world, run)


def test_a_job_of_another_engine_goes_its_own_way(world):
    """The job `drill` is judged by the engine noop, over a topic of its own."""
    world.mentors(30)
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(1)
    run = world.ask("drill")
    summary = world.ended(run)
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (30, 0)
    assert {s.topic for s in world.slices(run)} == {f"{world.prefix}.noop"}
    assert_exact(world, run)
