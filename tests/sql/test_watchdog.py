"""Watchdogs of several producers that look for missed slots at one time (T13)."""

import threading

from test_concurrency import fixture_cluster, fixture_db, wait_for_lock     # noqa: F401


def test_r_t13_a_watchdog_looks_again_once_it_has_the_job(db):
    """It stands at a request that somebody else may be writing, and meanwhile the next job's slot
    is made up for."""
    for name in ("job_a", "job_b"):
        db.rows("select test.job(%s)", name)
    db.rows("update reveille.job set schedule = to_char(clock_timestamp() at time zone 'UTC'"
            " - interval '10 min', 'MI HH24 * * *') where job_name like 'job__'")
    holder, late, early = db.connect(autocommit=False), db.connect(), db.connect()
    db.rows("select reveille.request('job_a', 'http')", on=holder)
    pid = db.one("select pg_backend_pid()", on=late)
    found = []
    thread = threading.Thread(target=lambda: found.extend(
        db.rows("select job_name, what from reveille.catch_up()", on=late)))
    thread.start()
    wait_for_lock(db, pid)                      # it has seen both jobs due
    assert db.rows("select job_name from reveille.catch_up()", on=early) == [("job_b",)]
    holder.rollback()
    thread.join(60)
    assert found == [("job_a", "missed")]
    for connection in (holder, late, early):
        connection.close()
