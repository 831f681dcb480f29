"""Jobs of the sql engine: a slice is judged and settled by one call of judge_slices. No trigger
engine is started here; judges are SQL functions of the test, or the one that is shipped."""

import datetime

import pytest

from checker import assert_exact
from test_run import poison
from world import until

JOB = "sweep"
# A judge that takes its time, so that a test can meet it at work.
SLOW = """
create function public.slow_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language plpgsql as $$
begin
    perform pg_sleep({seconds});
    return query select * from reveille.judge_mentors(ids, on_date, params);
end $$"""


def sweep(world, judge="reveille.judge_mentors", scenarios=("inactivity",), page=10):
    """A job over the mentors for the sql engine, in slices of `page`."""
    world.db.rows("""
        insert into reveille.job(job_name, schedule, engine, source, lookup, judge, scenario_types,
                                 page_size, component)
        values (%s, '0 6 * * *', 'sql', 'reveille.source_mentors', 'reveille.lookup_mentors', %s,
                %s, %s, 'sweep')""", JOB, judge, list(scenarios), page)
    world.db.rows("select reveille.pause_job(%s, null)", JOB)


def active_today(world, mentors):
    world.db.rows("""
        insert into public.activities(user_id, activity_date)
        select user_id, current_date - 2 from public.peer_mentors where id = any(%s::uuid[])""",
                  sorted(mentors))


def told(world, run):
    """{mentor: class} of the log's mentor_evaluation_error lines; fails if one is told twice."""
    lines = [e for e in world.events("mentor_evaluation_error") if e["invocation_id"] == run]
    assert all(e["component"] == "sweep" for e in lines)
    found = {e["peer_mentor_id"]: e["error_type"] for e in lines}
    assert len(found) == len(lines), "told twice"
    return found


@pytest.fixture(scope="module")
def night(make_world):
    """250 mentors of whom 80 were active yesterday, and 50 who are not eligible; two workers. The
    tests below read its first run, and add runs."""
    world = make_world()
    roster = world.mentors(250, others=50)
    world.due = set(sorted(roster)[80:])
    active_today(world, roster - world.due)
    sweep(world, page=100)
    world.start_producer()
    world.start_workers(2)
    world.first = world.ask(JOB)
    world.ended(world.first)
    return world


def test_r_e3_a_sql_job_judges_in_bulk_and_its_totals_are_exact(night):
    summary = night.summary(night.first)
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (250, 170)
    assert summary["by_scenario"] == {
        "inactivity": {"evaluated": 250, "dispatched": 170, "suppressed": {}}}
    slices = night.slices(night.first)
    assert [len(s.subject_ids) for s in slices] == [100, 100, 50]
    assert {s.topic for s in slices} == {f"{night.prefix}.sql"}
    assert_exact(night, night.first)
    notified = {str(row.id) for row in night.db.rows("""
        select m.id from reveille.notification n join public.peer_mentors m using (user_id)
         where n.run_id = %s""", night.first)}
    assert notified == night.due


def test_r_d1_r_d2_a_second_sql_run_on_the_same_date_dispatches_nothing(night):
    day = night.summary(night.first)["evaluation_date"]
    run = night.ask(JOB, evaluation_date=day)
    summary = night.ended(run)
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (250, 0)
    assert summary["by_scenario"]["inactivity"]["suppressed"] == {"duplicate": 170}
    warnings = [e for e in night.events("duplicates_suppressed") if e["invocation_id"] == run]
    assert [e["level"] for e in warnings] == ["warn"] * 3, "one line a slice"
    assert sum(e["suppressed"] for e in warnings) == 170
    assert_exact(night, run)


def test_r_d3_another_days_sql_run_within_the_cooldown_dispatches_nothing(night):
    day = datetime.date.fromisoformat(night.summary(night.first)["evaluation_date"])
    run = night.ask(JOB, evaluation_date=str(day - datetime.timedelta(days=1)))
    summary = night.ended(run)
    assert summary["by_scenario"]["inactivity"] == {
        "evaluated": 250, "dispatched": 0, "suppressed": {"cooldown": 170}}
    assert_exact(night, run)


def test_r_e3_scenarios_are_counted_each_and_a_run_names_a_subset(world):
    """Everybody is due a milestone, the inactive ones inactivity; first a shadow run of both."""
    roster = world.mentors(40)
    active_today(world, sorted(roster)[:15])
    world.db.rows("update reveille.scenario_config set enabled = true"
                  " where scenario_type = 'milestone'")
    world.db.rows("""
        create function public.two_judges(ids uuid[], on_date date, params jsonb)
        returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid,
                      payload jsonb) language sql security definer as $$
            select * from reveille.judge_mentors(ids, on_date, params - 'milestone')
            union all
            select id, user_id, 'milestone', null, '{}' from public.peer_mentors
             where id = any(ids) and params ? 'milestone' $$""")
    sweep(world, "public.two_judges", ["inactivity", "milestone"])
    world.start_producer()
    world.start_workers(1)
    shadow = world.ask(JOB, shadow=True)
    assert world.ended(shadow)["by_scenario"] == {
        "inactivity": {"evaluated": 40, "dispatched": 0, "suppressed": {"shadow": 25}},
        "milestone": {"evaluated": 40, "dispatched": 0, "suppressed": {"shadow": 40}}}
    subset = world.ask(JOB, scenario_types=["milestone"])
    assert world.ended(subset)["by_scenario"] == {
        "milestone": {"evaluated": 40, "dispatched": 40, "suppressed": {}}}
    both = world.ask(JOB)
    assert world.ended(both)["by_scenario"] == {
        "inactivity": {"evaluated": 40, "dispatched": 25, "suppressed": {}},
        "milestone": {"evaluated": 40, "dispatched": 0, "suppressed": {"duplicate": 40}}}
    for run in (shadow, subset, both):
        assert_exact(world, run)


def test_r_e2_r_s4_a_row_that_the_judge_cannot_judge_costs_that_mentor_only(world):
    """In a slice each: one that divides by zero, one that is answered with nonsense, one that
    raises; and a slice that no worker has ever finished."""
    roster = sorted(world.mentors(40))
    zero, raises, nonsense, lost = roster[0], roster[20], roster[12], roster[30:]
    world.db.rows(f"""
        create function public.bad_judge(ids uuid[], on_date date, params jsonb)
        returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid,
                      payload jsonb) language plpgsql security definer as $$
        begin
            perform 1 / (id <> '{zero}')::int from unnest(ids) id;
            if '{raises}' = any(ids) then
                raise 'canary.wren@example.org is a row this judge does not understand';
            end if;
            return query select id, m.user_id,
                    case id when '{nonsense}' then 'unheard_of' else 'inactivity' end,
                    null::uuid, '{{}}'::jsonb
               from public.peer_mentors m where id = any(ids);
        end $$""")
    sweep(world, "public.bad_judge")
    world.start_producer()
    run = world.ask(JOB)
    until(lambda: world.state(run) == "running", 20, "the run is planned")
    poison(world, 3, run)
    world.start_workers(1)
    summary = world.ended(run)
    expected = {zero: "database_error", raises: "database_error",
                nonsense: "evaluation_logic_error"} | dict.fromkeys(lost, "worker_lost")
    assert {str(row.subject_id): row.error_class for row in world.db.rows(
        "select * from reveille.subject_error where run_id = %s", run)} == expected
    assert (summary["total_errors"], summary["total_dispatched"]) == (13, 27)
    assert summary["by_scenario"]["inactivity"]["evaluated"] == 27
    assert_exact(world, run)
    until(lambda: len(told(world, run)) == 13, 5, "each error is told")
    assert told(world, run) == expected


def test_r_e2_a_judge_that_is_refused_for_good_costs_its_subjects_and_no_other_jobs(world):
    """One judge may not be called, later it is gone; the engine's other job never notices."""
    roster = world.mentors(40)
    world.db.rows("""
        create function public.closed_judge(ids uuid[], on_date date, params jsonb)
        returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid,
                      payload jsonb) language sql as $$
            select * from reveille.judge_mentors(ids, on_date, params) $$;
        revoke all on function public.closed_judge(uuid[], date, jsonb) from public""")
    sweep(world, "public.closed_judge")
    world.start_producer()
    world.start_workers(1)
    for code in ("42501", "42883"):
        run, other = world.ask(JOB), world.ask("certification_expiry_check")
        assert world.ended(other)["status"] == "completed"
        summary = world.ended(run)
        assert (summary["status"], summary["total_errors"]) == ("completed", 40)
        assert told(world, run) == dict.fromkeys(roster, "database_error")
        assert [e["error_code"] for e in world.events("settle_retried")
                if e["invocation_id"] == run] == [code] * 5 * 4, "five times each slice"
        assert_exact(world, run)
        world.db.rows("drop function if exists public.closed_judge(uuid[], date, jsonb)")
    assert not world.events("engine_closed")


@pytest.mark.long
def test_r_p5_two_workers_share_the_slices_of_a_sql_job(world):
    world.mentors(400)
    world.db.rows(SLOW.format(seconds=0.05))
    sweep(world, "public.slow_judge")
    world.start_producer()
    workers = world.start_workers(2)
    run = world.ask(JOB)
    world.ended(run)
    for worker in workers:
        mine = world.settled_by(worker.daemon.pid(), run)
        assert len(mine) >= 8, f"{worker.name} did {len(mine)} of 40"
    assert_exact(world, run)


@pytest.mark.long
def test_r_d4_a_worker_killed_while_it_judges_in_bulk_costs_only_time(world):
    world.mentors(300)
    world.db.rows(SLOW.format(seconds=0.3))
    sweep(world, "public.slow_judge")
    world.start_producer()
    workers = world.start_workers(2)
    run = world.ask(JOB)
    victim = workers[0]

    def at_work():
        done = [s for s in world.slices(run) if s.state == "done"]
        return done and len(world.claimed_by(victim, run)) >= 3
    until(at_work, 60, "slices are done, and it has claimed more than it judges at a time")
    victim.kill()
    assert world.state(run) == "running"
    world.ended(run)
    assert max(s.attempt for s in world.slices(run)) >= 2, "somebody took over"
    summary = world.summary(run)
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (300, 300)
    assert_exact(world, run)


@pytest.mark.long
def test_r_d4_a_judges_backend_that_is_killed_is_looked_after_and_nothing_is_done_twice(world):
    world.mentors(100)
    world.db.rows(SLOW.format(seconds=0.3))
    sweep(world, "public.slow_judge")
    world.start_producer()
    world.start_workers(1)
    run = world.ask(JOB)
    killed = until(lambda: [row.pid for row in world.db.rows(
        "select pid, pg_terminate_backend(pid) from pg_stat_activity"
        " where query like '%%reveille.judge_slices(%%' and pid <> pg_backend_pid()"
        " and state = 'active' and datname = %s", world.db.name)], 30, "a judge is under way")
    summary = world.ended(run)
    assert killed and world.events("settle_retried")
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (100, 100)
    assert_exact(world, run)

