"""Slots: a firing that was missed, lost, late or failed, and who makes up for it. A slot is made due
by giving the job a schedule that fired some minutes ago, never by waiting for the clock."""

import psycopg2
import pytest

from checker import assert_exact
from world import JOB, until

RING = f"/v1/jobs/{JOB}/runs"
LOOK = 45   # seconds: the watchdog looks every 30


def due(world, minutes, job=JOB):
    """The job's newest slot was so many minutes ago, and nobody has rung for it."""
    world.db.rows(
        "update reveille.job set enabled_since = '-infinity', schedule = to_char(clock_timestamp() "
        "at time zone 'UTC' - make_interval(mins => %s), 'MI HH24 * * *') where job_name = %s",
        minutes, job)


def runs(world, job=JOB):
    return world.db.rows("select * from reveille.run where job_name = %s order by started_at", job)


def start_and_look(world, *names, **environment):
    """Starts producers together; returns them when the watchdog of each has looked. It does so when
    it starts, and tells of a job whose slot is overdue, and too old to be caught up."""
    world.db.rows("update reveille.job set catchup_window = '1 min' where job_name = 'drill'")
    due(world, 40, "drill")
    programs = [world.start_producer(name, wait=False, **environment) for name in names]
    for program in programs:
        program.wait_ready()
        until(lambda program=program: world.metric(
            program, 'reveille_alerts{job="drill",kind="slot"}'), 20, f"{program.name} has looked")
    return programs


def test_r_t13_a_firing_missed_while_everything_was_down_is_made_up_once_and_marked(world):
    world.mentors(15)
    world.start_engine()
    due(world, 10)
    world.start_workers(1, wait=False)
    world.start_producer()
    run, = until(lambda: runs(world), 20, "the slot has its run")
    summary = world.ended(run.run_id)
    assert (summary["triggered_by"], summary["total_evaluated"]) == ("catchup", 15)
    assert run.slot == world.db.value("select reveille.slot_of(schedule, clock_timestamp()) from "
                                      "reveille.job where job_name = %s", JOB), "the newest slot"
    assert_exact(world, run.run_id)
    told, = world.events("scheduler_slot_caught_up")
    assert (told["job_name"], told["reason"]) == (JOB, "nobody rang for it")
    start_and_look(world, "another")
    assert len(runs(world)) == 1, "once"
    assert world.http("POST", RING, {}, secret="scheduler").json["run_id"] == str(run.run_id)


def test_r_t13_of_two_producers_one_makes_up_for_a_missed_firing(world):
    world.mentors(5)
    due(world, 10)
    start_and_look(world, "producer", "another")
    until(lambda: runs(world), 20, "the slot has its run")
    assert [run.triggered_by for run in runs(world)] == ["catchup"]
    assert len(world.events("scheduler_slot_caught_up")) == 1
    told = [e["job_name"] for e in world.events("scheduler_slot_overdue")]
    assert told.count("drill") == 1, "an alert is told by one of them"


def test_r_t13_a_slot_that_is_too_old_or_from_before_the_job_was_enabled_is_left_alone(world):
    due(world, 10)
    world.db.rows("update reveille.job set enabled_since = now() where job_name = %s", JOB)
    due(world, 10, "gated")
    world.db.rows("update reveille.job set catchup_window = '5 min' where job_name = 'gated'")
    start_and_look(world, "producer")
    assert not runs(world) and not runs(world, "gated")


def test_r_t4_a_request_whose_notify_and_post_were_lost_is_found(world):
    world.mentors(5)
    world.start_producer()
    world.db.rows("insert into reveille.trigger_request(job_name, slot, source) select job_name, "
                  "reveille.slot_of(schedule, clock_timestamp()), 'pg_cron' from reveille.job "
                  "where job_name = %s", JOB)
    run, = until(lambda: runs(world), 20, "the request is found")
    assert run.triggered_by == "pg_cron"


def test_r_t13_of_the_slots_that_wait_behind_a_run_only_the_newest_runs(world):
    world.mentors(5)
    world.start_producer()
    first = world.http("POST", RING, {}, secret="scheduler").json["run_id"]
    for _ in range(2):      # as if an hour had passed since each ring
        world.db.rows("update reveille.trigger_request set slot = slot - interval '1 hour'")
        world.db.rows("update reveille.run set slot = slot - interval '1 hour'")
        answer = world.http("POST", RING, {}, secret="scheduler")
        assert (answer.status, answer.json["status"], answer.json["behind"]) == (
            202, "queued", first)
    assert world.open_runs() == [first]
    world.http("POST", f"/v1/runs/{first}/cancel")
    second, = until(world.open_runs, 20, "the newest slot is opened")
    states = world.db.rows("select slot, state, run_id from reveille.trigger_request order by slot")
    assert [row.state for row in states] == ["opened", "coalesced", "opened"]
    assert str(states[2].run_id) == second and states[1].run_id is None
    assert world.db.value("select count(*) from reveille.scheduler_execution_log where job_name = "
                          "%s and status = 'coalesced'", JOB) == 1


def test_r_t8_a_pause_holds_for_every_doorbell(world):
    world.mentors(5)
    world.start_producer()
    world.http("PATCH", f"/v1/jobs/{JOB}", {"paused": True})
    due(world, 10)
    assert world.http("POST", RING, {}, secret="scheduler").status == 409
    assert world.http("POST", RING, {"shadow": True}).status == 409
    assert world.cli("run", JOB).code == 1
    assert world.db.value("select state from reveille.request(%s, 'pg_cron')", JOB) == "refused"
    world.db.rows("insert into reveille.trigger_request(job_name, source) values (%s, 'manual')",
                  JOB)     # one that was waiting when the pause came
    world.db.rows("notify reveille_trigger")
    start_and_look(world, "another")
    assert world.ask("gated") and not runs(world), "others run, the paused one does not"
    world.http("PATCH", f"/v1/jobs/{JOB}", {"paused": False})
    run, = until(lambda: runs(world), 20, "what waited is opened when the job is resumed")
    assert run.triggered_by == "manual", "and the slot of the pause is not made up"


def paused(world):
    """The jobs of which a producer has said that they are paused, for it runs on a copy."""
    return sorted(event["job_name"] for event in world.events("job_paused_on_copy"))


def test_r_t13_a_copy_of_the_database_wakes_up_paused_and_says_why(cluster, make_world):
    source = cluster.new()
    world = make_world(database=cluster.copy(source))
    cluster.drop(source)
    world.mentors(5)
    due(world, 10)
    world.start_producer()
    jobs = {row.job_name for row in world.db.rows("select job_name from reveille.job")}
    until(lambda: paused(world) == sorted(jobs), 20, "each job's pause is told")
    reason = "this is a copy of the database; resume the job to run it here"
    for job in world.http("GET", "/v1/jobs").json["jobs"]:
        assert (job["paused"], job["paused_reason"]) == (True, reason)
    assert {row.paused_reason for row in world.db.rows("select * from reveille.job")} == {reason}
    refused = world.http("POST", RING, {}, secret="scheduler")
    assert (refused.status, refused.json["title"]) == (409, reason)
    assert not runs(world)
    world.http("PATCH", f"/v1/jobs/{JOB}", {"paused": False})
    answer = world.http("POST", RING, {}, secret="scheduler")
    assert (answer.status, answer.json["triggered_by"]) == (202, "http")
    assert paused(world) == sorted(jobs), "once"


BROKEN = """
create function public.broken_source(p_cursor uuid, n int, on_date date)
returns table(subject_id uuid) language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    if p_cursor is not null then
        perform 1 / 0;
    end if;
    return query select s.subject_id from reveille.source_mentors(p_cursor, n, on_date) s;
end $$;
update reveille.job set source = 'public.broken_source' where job_name = 'scenario_scheduler';
"""


def let_pass(world, minutes):
    """As if so much time had passed since the last failed run."""
    world.db.rows("update reveille.run set finished_at = finished_at - make_interval(mins => %s) "
                  "where state = 'failed'", minutes)


@pytest.mark.long
def test_r_s3_r_t13_a_source_that_fails_for_good_fails_the_run_and_the_slot_is_tried_again(world):
    world.mentors(25)
    world.db.rows(BROKEN)
    due(world, 1)       # a slot that the watchdog may try again, and leaves to its doorbell for now
    world.start_producer(PAGE_SIZE="10")
    answer = world.http("POST", "/scenario-scheduler", secret="scheduler")
    assert (answer.status, answer.json["status"], answer.json["completed"]) == (
        200, "failed", False), "not at its deadline, and not only when the time is up"
    run, = runs(world)
    assert run.error_message == "22012: division by zero"
    logged = world.db.row("select * from reveille.scheduler_execution_log")
    assert (logged.status, logged.error_message) == ("failed", run.error_message)
    told = until(lambda: world.events("scheduler_run_failed"), 10, "it is told")
    assert (told[0]["invocation_id"], told[0]["error_message"]) == (
        str(run.run_id), run.error_message)
    assert {s.state for s in world.slices(run.run_id)} == {"unreached"}
    for tries, minutes in enumerate((2, 6, 16), start=1):
        let_pass(world, minutes)
        world.start_producer(f"look-{tries}", PAGE_SIZE="10")    # the watchdog looks at the start
        until(lambda tries=tries: len(runs(world)) == tries + 1
              and runs(world)[-1].state == "failed", LOOK, f"try {tries} has failed, too")
    assert {run.triggered_by for run in runs(world)[1:]} == {"catchup"}
    world.start_producer("look-4", PAGE_SIZE="10")
    alert, = until(lambda: world.events("scheduler_slot_failed"), LOOK, "it is an alert now")
    assert alert["invocation_id"] == str(runs(world)[-1].run_id)
    let_pass(world, 60)
    start_and_look(world, "another", PAGE_SIZE="10")
    assert len(runs(world)) == 4 and len(world.events("scheduler_slot_failed")) == 1


def test_r_s7_a_run_over_its_alert_after_is_told_once_and_seen_without_any_producer(world):
    world.mentors(5)
    world.db.rows("update reveille.job set alert_after = '1 ms' where job_name = %s", JOB)
    producer = world.start_producer()
    run = world.ask()
    another = world.start_producer("another")      # it looks when it starts
    for program in (another, producer):
        assert until(lambda program=program: world.metric(
            program, f'reveille_alerts{{job="{JOB}",kind="run"}}'), LOOK, "the metric is set") == 1
    told, = world.events("scheduler_run_overdue")
    assert (told["invocation_id"], told["job_name"]) == (run, JOB)
    for program in (another, producer):
        program.kill()
    row = world.db.row("select * from reveille.run_alert where kind = 'run'")
    assert str(row.run_id) == run and row.age > row.alert_after


def test_a_lease_given_up_wakes_the_next_producer(world):
    world.mentors(5)
    first = world.start_producer()
    run = world.ask()
    until(lambda: world.state(run) == "running", 20, "it is planned")
    link = psycopg2.connect(world.db.cluster.postgres.url("postgres", world.db.name))
    link.autocommit = True
    try:
        link.cursor().execute("listen reveille_trigger")
        first.stop()
        until(lambda: link.poll() or link.notifies, 5, "the next producer would be woken")
    finally:
        link.close()
    world.start_producer("another")
    until(lambda: world.events("scheduler_run_taken_over", "another"), 20, "it goes on")


@pytest.mark.long
def test_topic_partitions_raised_while_a_producer_runs_are_used_at_once(world):
    if world.brokers.kind != "kafka":
        pytest.skip("the embedded broker has no admin API")
    world.mentors(40)
    world.start_engine()
    world.start_producer(PAGE_SIZE="2")
    world.start_workers(1)
    world.db.rows("select reveille.set_engine('http', null, 8)")
    run = world.ask()
    world.ended(run)
    assert_exact(world, run)
    offsets = {}
    for s in world.slices(run):
        offsets.setdefault(s.partition, []).append(s.published_offset)
    assert set(offsets) == set(range(8))
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in offsets.values()), (
        "each slice lies in its own partition's log")
    assert 8 in {e["partitions"] for e in world.events("topic_ready", "producer")}
