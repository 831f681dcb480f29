"""Two operators who replay one run at one time (X1)."""

import threading

from test_concurrency import fixture_cluster, fixture_db, wait_for_lock     # noqa: F401

OPEN = "select outcome from reveille.open_replay(%s, '{\"unreached\": true}')"


def test_r_x1_two_who_replay_a_run_at_one_time_open_one(db):
    """The second waits for the first, and is told; it does not run into a constraint."""
    db.rows("select test.job('r'), test.mentors(1, 9)")
    run = db.one("select test.run('r', 3)")
    db.rows("select reveille.cancel_run(%s)", run)
    first, second = db.connect(autocommit=False), db.connect()
    assert db.one(OPEN, run, on=first) == "opened"
    pid = db.one("select pg_backend_pid()", on=second)
    told = []
    thread = threading.Thread(target=lambda: told.append(attempt(db, run, second)))
    thread.start()
    wait_for_lock(db, pid)
    first.commit()
    thread.join(60)
    assert told == ["replaying"]
    assert db.one("select count(*) from reveille.run where replay_of = %s", run) == 1
    for connection in (first, second):
        connection.close()


def attempt(db, run, link):
    try:
        return db.one(OPEN, run, on=link)
    except Exception as error:      # noqa: B036: told to the test
        return error
