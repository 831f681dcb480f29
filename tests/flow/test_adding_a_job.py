"""CONTRIBUTING.md says that adding a job is adding a row: this does what it says, word for word, on
a stack that runs already."""

import re
import shlex

import pytest

from checker import assert_exact
from parts import ROOT
from stack.database import ADMIN

ADDED = "newcomer_check"


def block(language):
    """The one block of that language in CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks of {language}"
    return found[0]


@pytest.fixture
def live(world):
    """A producer and a worker that were there before the job; 30 mentors, 12 of them with an
    activity."""
    world.mentors(30)
    world.db.rows("""
        insert into public.activities(user_id, assignment_id, activity_date)
        select m.user_id, a.id, current_date - 20
          from public.peer_mentors m join public.assignments a on a.peer_mentor_id = m.id
         order by m.id limit 12""")
    world.start_producer(PAGE_SIZE="5")
    world.start_workers(1)
    return world


def add_the_job(world):
    for _twice in range(2):   # a migration is re-runnable
        world.cluster.postgres.psql(block("sql"), ADMIN, world.db.name, single=True)


def test_r_t11_adding_a_job_is_a_row_and_the_programs_know_it_at_once(live):
    before = {name: program.daemon.pid() for name, program in live.programs.items()}
    unknown = live.http("POST", "/nightly-scheduler", {"job_name": ADDED}, secret="scheduler")
    assert unknown.status == 422
    add_the_job(live)
    program, *words = shlex.split(block("sh"))
    assert program == "reveille"
    done = live.cli(*words, "--json")
    assert done.code == 0, done.err
    assert (done.json["job_name"], done.json["status"]) == (ADDED, "completed")
    assert (done.json["total_active_mentors"], done.json["total_evaluated"]) == (18, 18)
    assert (done.json["pages_processed"], done.json["total_errors"]) == (4, 0)
    assert done.json["total_dispatched"] == 0
    assert_exact(live, done.json["run_id"])
    assert before == {name: p.daemon.pid() for name, p in live.programs.items()}, "no restart"


def test_r_t11_an_added_job_is_rung_over_http_by_its_name_like_the_others(live):
    add_the_job(live)
    answer = live.http("POST", "/nightly-scheduler", {"job_name": ADDED}, secret="scheduler")
    assert answer.status == 200
    assert (answer.json["job_name"], answer.json["triggered_by"]) == (ADDED, "http")
    again = live.http("POST", "/nightly-scheduler", {"job_name": ADDED}, secret="scheduler")
    assert again.json["run_id"] == answer.json["run_id"], "its slot has one run"
    live.ended(answer.json["run_id"])
    assert_exact(live, answer.json["run_id"])


def test_r_t11_nobody_but_the_owner_may_call_the_functions_of_an_added_job(live):
    add_the_job(live)
    for function in ("source_newcomers(uuid, int, date)", "lookup_newcomers(uuid[])"):
        allowed = {row.rolname for row in live.db.rows("""
            select rolname from pg_roles
             where rolname in ('reveille_owner', 'reveille_producer', 'reveille_worker',
                               'reveille_reader', 'reveille_invoker', 'reveille_app')
               and has_function_privilege(rolname, %s, 'execute')""", f"reveille.{function}")}
        assert allowed == {"reveille_owner"}, function
