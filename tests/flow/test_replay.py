"""Replays: what went wrong in a run is judged again in a run of its own, by hand or over HTTP. Each
run, parent and replay, is proved alone."""

import itertools
from collections import Counter

import pytest

from checker import assert_exact
from world import JOB, until

MENTORS = 40    # in slices of 10: four of them, over all four partitions
LONG_AGO, FAR_AHEAD = "2020-01-01", "2999-12-31"
NOBODY = "00000000-0000-4000-8000-000000000000"


class Stage:
    """A producer, a worker, mentors, and an engine that is told for whom it fails."""

    def __init__(self, world, mentors=MENTORS, workers=1):
        self.world = world
        self.roster = sorted(world.mentors(mentors))
        self.days = (f"2026-{month:02}-{day:02}" for month, day in
                     itertools.product(range(1, 7), range(1, 29)))
        world.start_engine()
        world.start_producer(PAGE_SIZE="10")
        world.start_workers(workers, TRIGGER_ENGINE_TIMEOUT_MS="1000")

    def engine(self, actions=(), latency=2):
        """From now on the engine does this for these mentors: {mentor: action}; else it answers."""
        script = self.world.layout.folder / "script"
        script.write_text("".join(f"{m} {a}\n" for m, a in dict(actions).items()))
        self.world.engine.stop()
        self.world.start_engine(latency=latency, arguments=["--script", script])

    def parent(self, actions):
        """A run of a day of its own that has ended with these failures."""
        self.engine(actions)
        run = self.world.ask(evaluation_date=next(self.days))
        self.world.ended(run)
        return run

    def cancelled(self):
        """A run of a day of its own that was cancelled before anybody was judged."""
        self.engine(latency=3000)
        run = self.world.ask(evaluation_date=next(self.days))
        until(lambda: self.world.engine.stats()["in_flight"] > 0, 20, "calls are in flight")
        assert self.world.cli("cancel", run).code == 0
        until(lambda: self.world.engine.stats()["in_flight"] == 0, 20, "late answers have come")
        self.engine()
        return run

    def replay(self, run, *words):
        """The id of a replay that has ended."""
        done = self.world.cli("replay", run, *words, "--json")
        assert done.code == 0, done.err
        self.world.ended(done.json["run_id"])
        return done.json["run_id"]

    def subjects(self, run):
        return {str(one) for s in self.world.slices(run) for one in s.subject_ids}

    def forecast(self, run, *words):
        done = self.world.cli("replay", run, *words, "--dry-run", "--json")
        assert done.code == 0, done.err
        return done.json


@pytest.fixture(scope="module")
def shared(make_world):
    return Stage(make_world())


@pytest.fixture
def stage(shared):
    """The same stage, with nothing open and nobody told."""
    world = shared.world
    world.db.rows("truncate reveille.notification, reveille.cooldown, reveille.outbox")
    yield shared
    for run in world.open_runs():
        world.cli("cancel", run)
    world.db.rows("update reveille.job set engine = 'http' where job_name = %s", JOB)
    world.db.rows("select reveille.pause_job(%s, null)", JOB)


def failing(stage):
    """Six whom the engine cannot judge and three whom the network keeps from it."""
    wrong, cut = stage.roster[0:30:5], stage.roster[32:35]
    return wrong, cut, {m: "400" for m in wrong} | {m: "reset" for m in cut}


def test_r_x1_errors_are_judged_again_and_each_run_is_proved_alone(stage):
    world = stage.world
    wrong, cut, actions = failing(stage)
    run = stage.parent(actions)
    assert world.summary(run)["total_errors"] == 9
    stage.engine()
    told = stage.forecast(run, "--errors")
    assert (told["subjects"], told["errors"], told["unreached"]) == (
        9, {"evaluation_logic_error": 6, "network_error": 3}, 0)
    assert (told["forecast"]["exact"], told["forecast"]["dispatched"]) == (False, 9)
    done = world.cli("replay", run, "--errors", "--reason", "the engine is back", "--json")
    assert done.code == 0, done.err
    replay = done.json["run_id"]
    assert (done.json["replay_of"], done.json["triggered_by"]) == (run, "replay")
    summary = world.ended(replay)
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (9, 9)
    assert stage.subjects(replay) == {*wrong, *cut}
    assert_exact(world, run)
    assert_exact(world, replay)
    keys = Counter(call.key for call in world.engine.calls()
                   if call.mentor == wrong[0] and call.day == summary["evaluation_date"])
    assert len(keys) == 1 and max(keys.values()) == 2, "one key, in the parent and in the replay"
    started = [e for e in world.events("scheduler_run_started") if e["invocation_id"] == replay]
    assert [e["triggered_by"] for e in started] == ["replay"]
    assert not [e for e in world.events("scheduler_run_taken_over") if e["invocation_id"] == replay]
    audit = world.db.row("select actor, detail from reveille.audit where action = 'replay' "
                         "and object = %s", run)
    assert audit.detail == {"errors": True, "reason": "the engine is back", "run_id": replay}
    again = world.cli("replay", run, "--errors", "--unreached")
    assert again.code == 1 and "nothing that is selected is left" in again.err and not again.out


def test_r_x1_a_runs_status_tells_its_replays_and_what_is_unresolved(stage):
    world = stage.world
    wrong, cut, actions = failing(stage)
    run = stage.parent(actions)
    stage.engine({wrong[0]: "400"})
    replay = stage.replay(run, "--error-class", "evaluation_logic_error", "--reason", "a try")
    status = world.cli("status", run, "--json")
    assert status.json["replays"] == {
        "runs": [{"run_id": replay, "status": "completed", "subjects": 6, "evaluated": 5,
                  "skipped": 0, "errors": 1, "remaining": 0, "reason": "a try"}],
        "unresolved": {"errors": 1 + len(cut), "unreached": 0}}
    assert world.http("GET", f"/v1/runs/{run}", secret="scheduler").json == status.json
    assert world.http("GET", f"/v1/runs/{replay}").json["replays"] is None
    text = world.cli("status", run).out
    assert replay in text and "unresolved: 4 errors, 0 unreached" in text
    assert f"of run {run}" in world.cli("status", replay).out
    listed = {one["run_id"]: one["replay_of"] for one in world.cli("runs", "--json").json}
    assert (listed[replay], listed[run]) == (run, None)
    assert run[:8] in next(line for line in world.cli("runs").out.splitlines()
                           if line.startswith(replay[:8]))
    stage.engine()
    stage.replay(replay, "--errors")
    assert "nothing is unresolved" in world.cli("status", run).out
    assert world.cli("status", run, "--json").json["replays"]["unresolved"] == {
        "errors": 0, "unreached": 0}


def test_r_x1_by_partition_slice_error_class_and_time(stage):
    """The engine goes on failing, so that each selection finds them all again."""
    world = stage.world
    _wrong, cut, actions = failing(stage)
    run = stage.parent(actions)
    slices = world.slices(run)
    of_slice = {s.slice_no: {str(one) for one in s.subject_ids} & set(actions) for s in slices}
    of_partition = {s.partition: of_slice[s.slice_no] for s in slices}
    assert len(of_partition) == 4
    middle = sorted(s.done_at for s in slices)[2]
    late = {m for s in slices if s.done_at >= middle for m in of_slice[s.slice_no]}
    one, two = slices[0], slices[3]
    for words, expected in (
            (["--slice", 0], of_slice[0]),
            (["--slice", 0, "--slice", 3], of_slice[0] | of_slice[3]),
            (["--partition", one.partition], of_partition[one.partition]),
            (["--partition", one.partition, "--partition", two.partition, "--error-class",
              "network_error"], (of_slice[0] | of_slice[3]) & set(cut)),
            (["--error-class", "network_error"], set(cut)),
            (["--since", middle.isoformat()], late),
            (["--since", LONG_AGO, "--until", FAR_AHEAD, "--errors"], set(actions))):
        assert stage.forecast(run, *words)["subjects"] == len(expected), words
        replay = stage.replay(run, *words)
        assert stage.subjects(replay) == expected, words
        assert_exact(world, replay)
    assert stage.forecast(run, "--until", LONG_AGO)["subjects"] == 0
    assert stage.forecast(run, "--unreached")["subjects"] == 0
    assert_exact(world, run)


def test_r_x1_the_unreached_of_a_cancelled_run_are_judged(stage):
    run = stage.cancelled()
    unreached = stage.world.summary(run)["remaining_unprocessed_count"]
    assert unreached == MENTORS
    replay = stage.replay(run, "--unreached", "--slice-size", 7)
    assert [len(s.subject_ids) for s in stage.world.slices(replay)] == [7, 7, 7, 7, 7, 5]
    assert stage.world.summary(replay)["total_evaluated"] == MENTORS
    assert_exact(stage.world, replay)
    assert_exact(stage.world, run, state="cancelled")


def test_r_x1_a_dry_run_of_the_sql_engine_tells_what_then_happens(stage):
    world = stage.world
    run = stage.cancelled()
    paused, busy, told = stage.roster[0], stage.roster[1:6], stage.roster[10:30]
    world.db.rows("update reveille.job set engine = 'sql' where job_name = %s", JOB)
    world.db.rows("insert into public.activities(user_id, activity_date) select user_id, "
                  "(select evaluation_date from reveille.run where run_id = %s) "
                  "from public.peer_mentors where id = any(%s::uuid[])", run, busy)
    world.db.rows("insert into reveille.cooldown(user_id, scenario_type, about_id, until) "
                  "select user_id, 'inactivity', %s, 'infinity' from public.peer_mentors "
                  "where id = any(%s::uuid[])", NOBODY.replace("4", "0").replace("8", "0"), told)
    world.db.rows("update public.peer_mentors set status = 'paused' where id = %s", paused)
    before = stage.forecast(run, "--unreached")
    assert before["subjects"] == MENTORS and before["forecast"]["exact"]
    assert before["forecast"]["by_scenario"]["inactivity"] == {
        "evaluated": 39, "dispatched": 14, "suppressed": {"cooldown": 20}}
    text = world.cli("replay", run, "--unreached", "--dry-run")
    assert text.code == 0 and "suppressed (cooldown) 20" in text.out
    replay = stage.replay(run, "--unreached")
    after = world.summary(replay)
    assert {name: after[f"total_{name}"] for name in
            ("evaluated", "skipped", "errors", "dispatched", "suppressed")} == {
                name: before["forecast"][name] for name in
                ("evaluated", "skipped", "errors", "dispatched", "suppressed")}
    assert after["by_scenario"] == before["forecast"]["by_scenario"]
    assert_exact(world, replay)
    world.db.rows("update public.peer_mentors set status = 'active' where id = %s", paused)


def test_r_x1_over_http_the_same(stage):
    world = stage.world
    wrong, cut, actions = failing(stage)
    run = stage.parent(actions)
    stage.engine()
    path = f"/v1/runs/{run}/replay"
    body = {"error_classes": ["evaluation_logic_error"], "slice_size": 4, "reason": "healed"}
    assert world.http("POST", path, body, secret="scheduler").status == 401
    told = world.http("POST", path, {**body, "dry_run": True})
    assert (told.status, told.json["subjects"], told.json["slices"]) == (200, 6, 2)
    assert world.db.value("select count(*) from reveille.run where replay_of = %s", run) == 0
    answer = world.http("POST", path, body)
    replay = answer.json["run_id"]
    assert (answer.status, answer.headers["Location"]) == (202, f"/v1/runs/{replay}")
    world.ended(replay)
    assert stage.subjects(replay) == set(wrong)
    assert_exact(world, replay)
    audit = world.db.row("select actor, detail from reveille.audit where action = 'replay' "
                         "and object = %s", run)
    assert (audit.actor, audit.detail["reason"]) == ("operator over HTTP", "healed")
    nothing = world.http("POST", path, body)
    assert (nothing.status, nothing.json["type"]) == (409, "urn:reveille:problem:nothing-left")
    rest = world.http("POST", f"/v1/runs/{replay}/replay", {"errors": True, "dry_run": False})
    assert rest.json["replay_of"] == run, "a replay of a replay is one of its parent"
    world.ended(rest.json["run_id"])
    assert stage.subjects(rest.json["run_id"]) == set(cut)
    assert_exact(world, run)


def test_r_x1_what_cannot_be_meant_or_not_now_is_refused_and_opens_nothing(stage):
    world = stage.world
    run = stage.cancelled()
    before = world.db.value("select count(*) from reveille.run")
    for words in ([], ["--reason", "x"], ["--slice", "one"], ["--error-class", "bad_luck"],
                  ["--errors", "--slice-size", 0], ["--errors", "--slice-size", 1001],
                  ["--errors", "--rate", 0], ["--errors", "--rate", 5, "--slice-size", 6],
                  ["--since", "yesterday"], ["--errors", "--reason", "x" * 501],
                  ["--since", FAR_AHEAD, "--until", LONG_AGO], ["--unreached", "--rate", "many"]):
        done = world.cli("replay", run, *words)
        assert (done.code, done.out) == (2, "") and done.err, words
    assert world.cli("replay", "ffffffff", "--errors").code == 3
    path = f"/v1/runs/{run}/replay"
    for body in ({}, {"reason": "x"}, {"slices": []}, {"slices": "1"}, {"errors": 1},
                 {"error_classes": ["bad_luck"]}, {"errors": True, "slice_size": 0},
                 {"errors": True, "rate": 0}, {"since": "yesterday"}, {"errors": True, "x": 1},
                 {"errors": True, "dry_run": "yes"}, {"errors": False, "unreached": False}):
        answer = world.http("POST", path, body)
        assert (answer.status, answer.json["type"]) == (
            422, "urn:reveille:problem:wrong-fields"), body
    assert world.http("POST", path, "{").status == 400
    assert world.http("POST", f"/v1/runs/{NOBODY}/replay", {"errors": True}).status == 404
    world.db.rows("select reveille.pause_job(%s, 'a test')", JOB)
    refused(world, run, "paused", "refused")
    world.db.rows("select reveille.pause_job(%s, null)", JOB)
    assert world.db.value("select count(*) from reveille.run") == before
    stage.engine(latency=3000)
    replay = world.cli("replay", run, "--unreached").out.strip()
    refused(world, run, "a replay of it has not ended", "replay-open")
    assert world.cli("cancel", replay).code == 0
    parent = world.ask(evaluation_date=next(stage.days))
    refused(world, parent, "it has not ended", "run-open")


def refused(world, run, words, problem):
    for more in ([], ["--dry-run"]):
        done = world.cli("replay", run, "--unreached", *more)
        assert (done.code, done.out) == (1, "") and words in done.err, done.err
    answer = world.http("POST", f"/v1/runs/{run}/replay", {"unreached": True})
    assert (answer.status, answer.json["type"]) == (409, f"urn:reveille:problem:{problem}")


def test_r_x1_a_shadow_parents_replay_dispatches_nothing(stage):
    world = stage.world
    stage.engine({stage.roster[0]: "400"})
    run = world.ask(shadow=True, evaluation_date=next(stage.days))
    world.ended(run)
    stage.engine()
    summary = world.summary(stage.replay(run, "--errors"))
    assert (summary["total_dispatched"], summary["by_scenario"]["inactivity"]["suppressed"]) == (
        0, {"shadow": 1})


def test_r_x1_a_replay_touches_no_offset_and_its_messages_are_addresses(stage, kcat):
    """What the group has read stays read: the replay's slices are new messages."""
    world = stage.world
    run = stage.parent({stage.roster[0]: "400"})
    before = len(kcat(world, "http"))
    stage.engine()
    stage.replay(run, "--errors")
    assert len(kcat(world, "http")) == before + 1


def calls_of(world, day):
    return sorted(call.at_us for call in world.engine.calls() if call.day == day)


def assert_rate(times, rate):
    """Never more in a second than the rate, what a late step may make up for, and one slice: as
    design and limits.h have it. Twice the rate is far above that, and far below no rate at all."""
    for first in times:
        assert sum(first <= t < first + 1_000_000 for t in times) <= 2 * rate


def test_r_x1_a_rate_is_held(stage):
    world = stage.world
    run = stage.cancelled()
    day = str(world.summary(run)["evaluation_date"])
    until(lambda: world.engine.stats()["in_flight"] == 0, 20, "no call of the parent is left")
    before = len(calls_of(world, day))
    replay = stage.replay(run, "--unreached", "--rate", 10, "--slice-size", 2)
    times = calls_of(world, day)[before:]
    assert len(times) == MENTORS
    assert_rate(times, 10)
    assert times[-1] - times[0] >= 2_000_000, "40 at 10 a second"
    assert_exact(world, replay)


def test_r_x1_a_producer_killed_in_mid_replay_is_followed_by_another_at_the_same_rate(stage):
    world = stage.world
    run = stage.cancelled()
    day = str(world.summary(run)["evaluation_date"])
    before = len(calls_of(world, day))
    replay = world.cli("replay", run, "--unreached", "--rate", 10, "--slice-size", 1).out.strip()
    until(lambda: sum(s.state == "done" for s in world.slices(replay)) >= 5, 30, "some are done")
    world.programs["producer"].kill()
    assert any(s.published_at is None for s in world.slices(replay)), "killed in the middle"
    world.db.rows("update reveille.run_lease set lease_until = clock_timestamp() where run_id = %s",
                  replay)
    world.start_producer(PAGE_SIZE="10")
    summary = world.ended(replay)
    assert summary["total_evaluated"] == MENTORS
    assert [e["state"] for e in world.events("scheduler_run_taken_over")
            if e["invocation_id"] == replay] == ["running"]
    assert_rate(calls_of(world, day)[before:], 10)
    assert_exact(world, replay)


def test_r_x1_in_slices_of_one_the_poison_is_found(world):
    """A slice that no worker has survived is an error, all of it; in slices of one only its poison
    is."""
    world.start_engine()
    roster = sorted(world.mentors(20))
    world.start_producer(PAGE_SIZE="10")
    run = world.ask()
    until(lambda: world.state(run) == "running", 20, "it is planned")
    died_of(world, run, 1)
    worker, = world.start_workers(1)
    world.ended(run)
    worker.stop()
    words = ["--error-class", "worker_lost", "--slice-size", "1"]
    assert world.cli("replay", run, *words, "--dry-run", "--json").json["slices"] == 10
    replay = world.cli("replay", run, *words).out.strip()
    poison = roster[13]
    died_of(world, replay, next(s.slice_no for s in world.slices(replay)
                                if str(s.subject_ids[0]) == poison))
    world.start_workers(1)
    summary = world.ended(replay)
    assert (summary["total_evaluated"], summary["total_errors"]) == (9, 1)
    error = world.db.row("select * from reveille.subject_error where run_id = %s", replay)
    assert (str(error.subject_id), error.error_class) == (poison, "worker_lost")
    assert_exact(world, run)
    assert_exact(world, replay)


def died_of(world, run, slice_no):
    """As if five workers had died of this slice."""
    world.db.rows("update reveille.slice set attempt = 5 where run_id = %s and slice_no = %s",
                  run, slice_no)
