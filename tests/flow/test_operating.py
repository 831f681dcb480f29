"""What keeps an installation in order: corrections, patience, doctor, why, prune. What the verbs of a
run say is in test_cli.py."""

import os
import subprocess
import threading

import pytest

from parts import PROGRAMS
from stack.database import ADMIN, OPERATOR
from world import JOB, until


@pytest.fixture(scope="module")
def stack(make_world):
    """A producer, a worker, and 30 mentors; one run is there. Page size 10."""
    world = make_world()
    world.mentors(30)
    world.start_engine()
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(1)
    done = world.cli("run", JOB, "--wait", "--json")
    assert done.code == 0, done.err
    world.first_run = done.json["run_id"]
    return world


# ---- corrections

def test_r_e8_an_assignments_last_contact_is_corrected_and_kept(stack):
    one = str(stack.db.value("select min(id::text) from public.assignments"))
    done = stack.cli("assignments", "set-contact", one, "2026-03-04", "--json")
    assert (done.code, done.json) == (0, {"assignment_id": one, "last_contact_date": "2026-03-04"})
    row = stack.db.row("select contact_date::text, set_by from reveille.contact_override "
                       "where assignment_id = %s", one)
    assert (row.contact_date, row.set_by) == ("2026-03-04", OPERATOR)
    nobody = "00000000-0000-4000-8000-000000000000"
    for code, words in ((3, [nobody, "2026-03-04"]), (2, ["one", "2026-03-04"]),
                        (2, [one, "2026-02-30"]), (2, [one, "tomorrow"]),
                        (2, [one, "9999-12-31"])):
        done = stack.cli("assignments", "set-contact", *words)
        assert done.code == code and done.err and not done.out, words
    assert stack.cli("assignments", "forget", one, "2026-03-04").code == 2


# ---- why

def test_why_tells_one_mentors_way_through_a_run(stack):
    mentor, user = stack.db.row("select id::text, user_id::text from public.peer_mentors limit 1")
    done = stack.cli("why", mentor, "--run", "latest", "--json", role=OPERATOR)
    assert done.code == 0, done.err
    part, = done.json["runs"]
    assert (part["run_id"], part["outcome"]) == (stack.first_run, "evaluated")
    assert part["worker"].split(":")[1] == str(stack.programs["worker-1"].daemon.pid())
    assert part["scenarios"] == [{"scenario_type": "inactivity", "result": "dispatched"}]
    assert done.json["notifications"][0]["slice"] == part["slice"]
    text = stack.cli("why", user)
    assert text.code == 0 and f"mentor {mentor}" in text.out and "evaluated" in text.out
    assert "dispatched" in text.out and "cooldown until" in text.out
    assert stack.cli("why", "00000000-0000-4000-8000-000000000000").code == 3
    assert stack.cli("why", mentor, "--run", "ffffffff").code == 3
    assert stack.cli("why", "somebody").code == 2


# ---- prune

def test_prune_removes_what_is_old_keeps_the_rest_and_says_so_in_the_audit(stack):
    old = stack.cli("run", JOB, "--date", "2026-01-08", "--wait", "--json").json["run_id"]
    stack.db.rows("update reveille.run set started_at = started_at - interval '500 d', "
                  "finished_at = finished_at - interval '500 d' where run_id = %s", old)
    stack.db.rows("update reveille.trigger_request set requested_at = requested_at - interval "
                  "'500 d' where run_id = %s", old)
    for wrong in ("0d", "400", "a year", "-1d"):
        assert stack.cli("prune", "--older-than", wrong, role=ADMIN).code == 2
    assert stack.state(old) == "completed"
    done = stack.cli("prune", "--older-than", "400d", "--json", role=ADMIN)
    assert done.code == 0, done.err
    assert (done.json["slices"], done.json["runs"], done.json["requests"]) == (3, 1, 1)
    assert stack.cli("status", old).code == 3
    assert stack.cli("verify", stack.first_run).code == 0, "the young one is whole"
    assert stack.db.value("select detail from reveille.audit where action = 'prune'") == done.json
    again = stack.cli("prune", role=ADMIN)
    assert again.code == 0 and "runs" in again.out
    refused = stack.cli("prune", role="reveille_reader")
    assert refused.code == 2 and "another database role" in refused.err


def test_r_d4_a_run_whose_subjects_were_pruned_is_told_from_one_that_does_not_hold(stack):
    old = stack.cli("run", JOB, "--date", "2026-01-09", "--wait", "--json").json["run_id"]
    stack.db.rows("update reveille.run set started_at = started_at - interval '60 d', "
                  "finished_at = finished_at - interval '60 d' where run_id = %s", old)
    assert stack.cli("prune", role=ADMIN).code == 0
    said = stack.cli("verify", old)
    assert said.code == 1 and "cannot be proved any more" in said.out, said.out
    checks = stack.cli("verify", old, "--json").json["checks"]
    assert [(c["name"], c["expected"], c["actual"], c["holds"]) for c in checks] == [
        ("its subjects were pruned after 30 days", 3, 0, False)]
    assert stack.cli("status", old, "--json").json["total_evaluated"] == 30, "its totals stay"


# ---- how a run came to be

def test_r_t4_status_shows_how_the_doorbell_led_to_the_run(stack):
    """With a stand-in for the view, which says only what this test looks for."""
    assert "13:37" not in stack.cli("status", stack.first_run).out
    stack.db.rows("drop view if exists reveille.firing")
    stack.db.rows("create view reveille.firing as select run_id, 'a doorbell at 13:37' as fired "
                  "from reveille.run")
    stack.db.rows("grant select on reveille.firing to reveille_reader")
    assert "a doorbell at 13:37" in stack.cli("status", stack.first_run, role="reveille_reader").out
    stack.db.rows("revoke select on reveille.firing from reveille_reader")
    assert stack.cli("status", stack.first_run, role="reveille_reader").code == 0
    stack.db.rows("drop view reveille.firing")


# ---- patience

def test_verify_outlasts_the_roles_time_out_and_says_that_it_is_at_work(stack):
    """The proof waits for a lock longer than the link's statement_timeout allows. The link is no
    pooler's: those refuse options."""
    url = f"{stack.cluster.postgres.url(OPERATOR, stack.db.name)}&options=-c%20statement_timeout%3D2s"
    said = []
    with stack.db.transaction("lock table reveille.notification in access exclusive mode"):
        with subprocess.Popen([PROGRAMS / "reveille", "verify", stack.first_run],
                              env={"PATH": os.environ["PATH"], "DATABASE_URL": url}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as verify:
            reader = threading.Thread(target=lambda: said.extend(iter(verify.stderr.readline, "")))
            reader.start()
            until(lambda: said or verify.poll() is not None, 30, "it says something")
            stack.db.rows("select pg_terminate_backend(l.pid) from pg_locks l join pg_class c "
                          "on c.oid = l.relation and c.relname = 'notification' where l.granted "
                          "and l.mode = 'AccessExclusiveLock'")
            out = verify.stdout.read()
            reader.join()
    assert verify.returncode == 0, (out, said)
    assert "recounting" in said[0] and "holds" in out
