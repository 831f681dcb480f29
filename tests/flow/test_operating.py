"""What keeps an installation in order: corrections, patience, doctor, why, prune. What the verbs of a
run say is in test_cli.py."""

import os
import subprocess
import threading

import pytest

from parts import PROGRAMS
from stack.database import OPERATOR
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
                        (2, [one, "2026-02-30"]), (2, [one, "tomorrow"])):
        done = stack.cli("assignments", "set-contact", *words)
        assert done.code == code and done.err and not done.out, words
    assert stack.cli("assignments", "forget", one, "2026-03-04").code == 2


# ---- patience

def test_verify_outlasts_the_roles_time_out_and_says_that_it_is_at_work(stack):
    """The proof waits for a lock longer than the link's statement_timeout allows."""
    url = f"{stack.db.url(OPERATOR)}&options=-c%20statement_timeout%3D2s"
    said = []
    with stack.db.transaction("lock table reveille.notification in access exclusive mode"):
        with subprocess.Popen([PROGRAMS / "reveille", "verify", stack.first_run],
                              env={**os.environ, "DATABASE_URL": url}, text=True,
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
