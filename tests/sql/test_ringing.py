"""Sessions that ring for one slot at one time (T12, T13)."""

from test_concurrency import everywhere, fixture_cluster, fixture_db     # noqa: F401


def test_r_t13_ringing_a_slot_from_eight_sessions_is_one_request(db):
    db.rows("select test.job('bell')")
    answers = everywhere(db, 8, "select id, state from reveille.request('bell', 'http')")
    assert len({rows[0] for rows in answers}) == 1
    assert db.one("select count(*) from reveille.trigger_request") == 1


def test_r_t12_who_rings_again_waits_for_nobody(db):
    """Neither just after the first ring nor once there is a run; a thousand would wait in a row."""
    db.rows("select test.job('bell')")
    first = db.one("select id from reveille.request('bell', 'http')")
    db.rows("set lock_timeout = '1 s'")
    for state in ("pending", "opened"):
        holder = db.connect(autocommit=False)
        db.rows("select from reveille.trigger_request for update", on=holder)
        assert db.rows("select id, state from reveille.request('bell', 'http')") == [(first, state)]
        holder.close()
        db.rows("select reveille.open_run('p')")


def test_r_t12_the_same_idempotency_key_from_eight_sessions_is_one_request(db):
    db.rows("select test.job('bell')")
    answers = everywhere(
        db, 8, "select id, state from reveille.request('bell', 'manual', '{}', 'a-key')")
    assert len({rows[0] for rows in answers}) == 1
    assert db.one("select count(*) from reveille.trigger_request") == 1
