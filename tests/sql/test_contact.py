"""Contact dates when several sessions register and remove activity at one time (E8)."""

import random
import threading

from test_concurrency import (SEED, at_once, fixture_cluster, fixture_db,   # noqa: F401
                              wait_for_lock)

INSERT = ("insert into activities(user_id, assignment_id, activity_date) select test.person(i),"
          " test.mentor(i), current_date + %s from unnest(%s) with ordinality x(i, o) order by o")
CONTACT = "select last_contact_date - current_date from assignments where id = test.mentor(1)"


def test_r_e8_eight_sessions_write_activities_of_the_same_assignments_without_deadlock(db):
    """Each in an order of its own, and what they remove they have registered themselves."""
    db.rows("select test.mentors(1, 40)")

    def write(n):
        connection, chance = db.connect(), random.Random(SEED + n)
        for day in range(15):
            those = chance.sample(range(1, 41), 25)
            db.rows(INSERT, 100 * n + day, those, on=connection)
            if day % 3 == 1:
                db.rows("update activities set activity_date = activity_date - 1"
                        " where activity_date = current_date + %s", 100 * n + day, on=connection)
            elif day % 3 == 2:
                db.rows("delete from activities where activity_date = current_date + %s",
                        100 * n + day, on=connection)
        connection.close()

    at_once(*[lambda n=n: write(n) for n in range(8)])
    assert db.rows("""select a.id from assignments a
                       where a.last_contact_date is distinct from (
                             select max(c.activity_date) from activities c
                              where c.assignment_id = a.id)""") == []


def beside(db, first, second):
    """Runs `second` in a session that waits for `first`'s lock; then `first` commits."""
    holder, other = db.connect(autocommit=False), db.connect()
    db.rows(*first, on=holder)
    pid = db.one("select pg_backend_pid()", on=other)
    thread = threading.Thread(target=lambda: db.rows(*second, on=other))
    thread.start()
    wait_for_lock(db, pid)
    holder.commit()
    thread.join(60)
    assert not thread.is_alive()
    holder.close()
    other.close()


REMOVE = ("delete from activities where activity_date = current_date + 9",)


def test_r_e8_an_activity_registered_beside_the_removal_of_a_later_one_counts(db):
    db.rows("select test.mentors(1, 1)")
    db.rows(INSERT, 9, [1])
    beside(db, REMOVE, (INSERT, 5, [1]))
    assert db.one(CONTACT) == 5


def test_r_e8_a_removal_beside_a_registration_sees_what_was_registered(db):
    db.rows("select test.mentors(1, 1)")
    db.rows(INSERT, 9, [1])
    beside(db, (INSERT, 5, [1]), REMOVE)
    assert db.one(CONTACT) == 5


def test_r_e8_a_correction_beside_a_removal_replaces_the_date_that_is_left(db):
    db.rows("select test.mentors(1, 1)")
    db.rows(INSERT, 3, [1])
    db.rows(INSERT, 9, [1])
    beside(db, REMOVE, ("select reveille.set_contact(test.mentor(1), current_date + 1, 'anna')",))
    assert db.one("select replaced - current_date from reveille.contact_override") == 3


def test_r_e8_a_change_of_neither_assignment_nor_date_waits_for_no_assignment(db):
    db.rows("select test.mentors(1, 1)")
    db.rows(INSERT, 9, [1])
    holder, other = db.connect(autocommit=False), db.connect()
    db.rows("select from assignments for update", on=holder)
    db.rows("set lock_timeout = '100ms'", on=other)
    db.rows("update activities set path = 'proxy'", on=other)
    holder.close()
    other.close()
