"""The jobs that are judged in the database: certifications that end, reminders, and the mentors of
scenario_scheduler when its engine is `sql`. Who is due is worked out here, from the host's rows."""

import datetime
import random
import types

import pytest

from checker import assert_exact
from parts import GATE
from world import JOB, until

CERTIFICATIONS = "certification_expiry_check"
REMINDERS = "reminder_eval"
SQL_JOBS = [CERTIFICATIONS, REMINDERS, JOB]
SEED = 6

# A judge that waits while a test holds the gate, and then is the certifications' own.
GATED_JUDGE = f"""
create function public.gated_judge(ids uuid[], on_date date, params jsonb)
returns table(subject_id uuid, user_id uuid, scenario_type text, about_id uuid, payload jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
begin
    perform pg_advisory_xact_lock_shared({GATE});
    return query select * from reveille.judge_certifications(ids, on_date, params);
end $$;
update reveille.job set judge = 'public.gated_judge' where job_name = '{CERTIFICATIONS}';
"""


def furnish(world, eligible=120, others=30):
    """Mentors with certifications, activities, contact dates and corrections; the same each time,
    but for the ids. Every date is within two months of today, before or after."""
    world.mentors(eligible, others)
    day, chance = world.db.value("select current_date"), random.Random(SEED)
    mentors = world.db.rows("select m.id, m.user_id, a.id assignment from peer_mentors m"
                            " join assignments a on a.peer_mentor_id = m.id order by m.id")

    def about(spread):
        return day + datetime.timedelta(days=chance.randint(-spread, spread))

    def load(statement, rows):
        world.db.rows(statement, *[list(column) for column in zip(*rows)])

    load("insert into certifications(peer_mentor_id, expires_on)"
         " select * from unnest(%s::uuid[], %s::date[])",
         [(str(m.id), about(60)) for m in mentors for _ in range(2)])
    load("insert into activities(user_id, assignment_id, activity_date)"
         " select * from unnest(%s::uuid[], %s::uuid[], %s::date[])",
         [(str(m.user_id), str(m.assignment), about(70)) for m in mentors if chance.random() < 0.7])
    for m in chance.sample(mentors, 20):
        world.db.rows("select reveille.set_contact(%s, %s, 'test')", str(m.assignment), about(30))
    world.db.rows(f"update reveille.job set engine = 'sql' where job_name = '{JOB}'")


def eligible_mentors(world):
    return {m.id: m.user_id for m in world.db.rows(
        "select m.id, m.user_id from peer_mentors m join assignments a on a.peer_mentor_id = m.id"
        " where m.status = 'active' and a.status = 'active'")}


def certifications_due(world, day):
    """{certification: whether it is due} of those that the job must look at on that day."""
    mentors, last = eligible_mentors(world), day + datetime.timedelta(days=30)
    return {str(c.id): c.expires_on <= last
            for c in world.db.rows("select * from certifications where expires_on >= %s", day)
            if c.peer_mentor_id in mentors}


def reminders_due(world, day):
    """The same for assignments."""
    mentors, last = eligible_mentors(world), day - datetime.timedelta(days=14)
    corrections = {o.assignment_id: o
                   for o in world.db.rows("select * from reveille.contact_override")}

    def contact(assignment):
        date, o = assignment.last_contact_date, corrections.get(assignment.id)
        if o is None or date is not None and date > max(o.contact_date, o.replaced or date.min):
            return date
        return o.contact_date

    return {str(a.id): contact(a) is None or contact(a) <= last
            for a in world.db.rows("select * from assignments where status = 'active'")
            if a.peer_mentor_id in mentors}


def mentors_due(world, day):
    """The same for mentors."""
    last = day - datetime.timedelta(days=60)
    active = {}
    for a in world.db.rows("select * from activities where activity_date <= %s", day):
        active[a.user_id] = max(a.activity_date, active.get(a.user_id, a.activity_date))
    return {str(mentor): active.get(user, last) <= last
            for mentor, user in eligible_mentors(world).items()}


DUE = {CERTIFICATIONS: certifications_due, REMINDERS: reminders_due, JOB: mentors_due}


@pytest.fixture(scope="module", name="night")
def fixture_night(make_world):
    """Each of the jobs, rung by the scheduler. No trigger engine runs at all."""
    world = make_world()
    furnish(world)
    world.start_producer(PAGE_SIZE="20")
    world.start_workers(2)
    answers = {job: world.http("POST", "/nightly-scheduler", {"job_name": job}, "scheduler").json
               for job in SQL_JOBS}
    return types.SimpleNamespace(world=world, answers=answers, due={
        job: DUE[job](world, datetime.date.fromisoformat(answers[job]["evaluation_date"]))
        for job in SQL_JOBS})


@pytest.mark.parametrize("job", SQL_JOBS)
def test_r_e3_r_e7_r_e8_a_job_looks_at_its_subjects_and_tells_of_those_that_are_due(night, job):
    answer, due = night.answers[job], night.due[job]
    assert answer["status"] == "completed"
    outcomes = assert_exact(night.world, answer["run_id"])
    assert set(outcomes) == set(due)
    assert 0 < answer["total_dispatched"] == sum(due.values()) < len(due)


@pytest.mark.parametrize("job", [CERTIFICATIONS, REMINDERS])
def test_r_d1_each_subject_that_is_due_has_its_own_notification(night, job):
    told = night.world.db.rows("select about_id from reveille.notification where run_id = %s",
                               night.answers[job]["run_id"])
    assert sorted(str(one.about_id) for one in told) == sorted(
        subject for subject, is_due in night.due[job].items() if is_due)


@pytest.mark.parametrize("job", SQL_JOBS)
def test_r_d2_a_job_that_is_run_again_for_the_day_tells_nobody(night, job):
    world, first = night.world, night.answers[job]
    run = world.ask(job, evaluation_date=first["evaluation_date"])
    summary = world.ended(run)
    assert (summary["total_dispatched"], summary["total_suppressed"]) == (
        0, first["total_dispatched"])
    (numbers,) = summary["by_scenario"].values()
    assert numbers["suppressed"] == {"duplicate": first["total_dispatched"]}
    assert_exact(world, run)


@pytest.mark.parametrize("job", SQL_JOBS)
def test_r_d3_another_days_run_tells_nobody_within_the_cooldown(night, job):
    world, first = night.world, night.answers[job]
    day = datetime.date.fromisoformat(first["evaluation_date"]) - datetime.timedelta(days=1)
    run = world.ask(job, evaluation_date=day.isoformat())
    summary = world.ended(run)
    again = {subject for subject, is_due in DUE[job](world, day).items() if is_due}
    assert summary["total_dispatched"] + summary["total_suppressed"] == len(again)
    new = again - {subject for subject, is_due in night.due[job].items() if is_due}
    assert summary["total_dispatched"] == len(new), "only who was not due on the day that was told"
    assert_exact(world, run)


@pytest.mark.parametrize("job", SQL_JOBS)
def test_r_d3_a_shadow_run_counts_and_tells_nobody(night, job):
    world, first = night.world, night.answers[job]
    run = world.ask(job, shadow=True, evaluation_date=first["evaluation_date"])
    summary = world.ended(run)
    (numbers,) = summary["by_scenario"].values()
    assert numbers["dispatched"] == 0
    assert numbers["suppressed"] == {"shadow": first["total_dispatched"]}
    assert_exact(world, run)


def test_r_d4_a_worker_killed_while_the_database_judges_costs_only_time(world):
    furnish(world)
    world.db.rows(GATED_JUDGE)
    world.start_producer(PAGE_SIZE="20")
    victim, _heir = world.start_workers(2)
    with world.db.transaction(f"select pg_advisory_xact_lock({GATE})"):
        run = world.ask(CERTIFICATIONS)
        until(lambda: world.db.value("select count(*) from pg_locks where locktype = 'advisory'"
                                     " and not granted") >= 2, 30, "both workers' judges wait")
        victim.kill()
    summary = world.ended(run)
    due = certifications_due(world, datetime.date.fromisoformat(summary["evaluation_date"]))
    assert (summary["total_evaluated"], summary["total_dispatched"]) == (
        len(due), sum(due.values()))
    assert_exact(world, run)


def test_r_e2_a_row_that_the_database_refuses_costs_itself(world):
    furnish(world)
    day = world.db.value("select (now() at time zone 'Europe/Oslo')::date")
    poison = next(one for one, is_due in certifications_due(world, day).items() if is_due)
    world.db.rows(f"""
        create function public.refuse() returns trigger language plpgsql as $$
        begin
            if new.about_id = '{poison}' then
                raise data_exception;
            end if;
            return new;
        end $$;
        create trigger refuse before insert on reveille.notification
            for each row execute function public.refuse()""")
    world.start_producer(PAGE_SIZE="20")
    world.start_workers(1)
    run = world.ask(CERTIFICATIONS, evaluation_date=day.isoformat())
    summary = world.ended(run)
    assert summary["total_errors"] == 1
    outcomes = assert_exact(world, run)
    assert outcomes[poison] == "error"
    assert summary["total_dispatched"] == sum(certifications_due(world, day).values()) - 1


def test_r_p1_what_is_paused_between_plan_and_claim_is_skipped(world):
    furnish(world)
    world.start_producer(PAGE_SIZE="20")
    run = world.ask(REMINDERS)
    until(lambda: world.state(run) == "running", 30, "the run is planned")
    paused = world.db.value("""
        update peer_mentors set status = 'paused'
         where id = (select peer_mentor_id from assignments
                      where id = (select min(subject_ids[1]::text)::uuid from reveille.slice))
        returning id""")
    world.start_workers(1)
    assert world.ended(run)["total_skipped"] == 1
    skipped = [str(one) for s in world.slices(run) for one in s.skipped_ids]
    assert skipped == [str(a.id) for a in world.db.rows(
        "select id from assignments where peer_mentor_id = %s", paused)]
    assert_exact(world, run)


def test_r_e3_a_scenario_that_is_disabled_is_not_judged(world):
    furnish(world)
    world.db.rows("update reveille.scenario_config set enabled = scenario_type = 'milestone'")
    world.start_producer()
    world.start_workers(1)
    summary = world.ended(world.ask(JOB))
    assert summary["by_scenario"] == {
        "milestone": {"evaluated": 120, "dispatched": 0, "suppressed": {}}}
    assert world.ended(world.ask(REMINDERS))["by_scenario"] == {}
