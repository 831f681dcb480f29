"""What several sessions do to the protocol at one time: who wins, that nobody deadlocks, and that the
counts are exact afterwards. Every test ends with the proof of its runs (verify_run)."""

import os
import random
import select
import threading
import uuid

import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest
from psycopg2 import errorcodes

from scratch import Cluster

DSN = os.environ["REVEILLE_SQL_DSN"]
SEED = int(os.environ.get("REVEILLE_SEED", random.randrange(2 ** 31)))
SETTLE = ("select evaluated, skipped, errors, dispatched, suppressed"
          "  from reveille.settle_slice(%s, %s, %s, '{}', %s, %s::uuid[], %s, %s, %s::uuid[],"
          " %s, p_careful => %s)")
psycopg2.extras.register_uuid()


@pytest.fixture(scope="module", name="cluster")
def fixture_cluster():
    with Cluster(DSN) as cluster:
        yield cluster


class Database:
    """Connections to one database; each thread takes its own."""

    def __init__(self, dsn):
        self.dsn = dsn
        self._main = self.connect()

    def connect(self, autocommit=True):
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = autocommit
        return connection

    def rows(self, statement, *values, on=None):
        with (on or self._main).cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement, *values, on=None):
        return self.rows(statement, *values, on=on)[0][0]

    def holds(self, run):
        assert self.rows("select name, expected, actual from reveille.verify_run(%s)"
                         " where not holds", run) == []

    def close(self):
        self._main.close()


@pytest.fixture(name="db")
def fixture_db(cluster):
    db = Database(cluster.dsn_of(cluster.migrated()))
    print("seed", SEED)
    yield db
    db.close()


def at_once(*tasks):
    """Runs the tasks in threads that begin together; their results in order. Re-raises."""
    barrier = threading.Barrier(len(tasks))
    results = [None] * len(tasks)

    def go(number, task):
        barrier.wait(60)
        try:
            results[number] = task()
        except BaseException as error:      # noqa: B036: told to the caller below
            results[number] = error

    threads = [threading.Thread(target=go, args=pair) for pair in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a session hangs"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def everywhere(db, n, statement, *values):
    """The same statement in n sessions at once: their rows."""
    connections = [db.connect() for _ in range(n)]
    try:
        return at_once(*[lambda c=c: db.rows(statement, *values, on=c) for c in connections])
    finally:
        for connection in connections:
            connection.close()


def a_run(db, mentors, page, job="race"):
    db.rows("select test.job(%s)", job)
    db.rows("select test.mentors(1, %s)", mentors)
    return db.one("select test.run(%s, %s)", job, page)


# ---- settling -----------------------------------------------------------------------------------

def contended_runs(db, slices, size):
    """Six open runs of six jobs, with dispatch dates of three days and older evaluation dates: what
    they notify collides in every way. Their subjects are nobody's; decisions name the users."""
    runs = []
    for n, (evaluated, dispatched) in enumerate([(0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]):
        db.rows("select test.job(%s)", f"job_{'abcdef'[n]}")
        run = db.one(
            """insert into reveille.run(job_name, state, evaluation_date, dispatch_date, scenarios,
                   triggered_by, page_size, deadline_at, slices, planned)
               values (%s, 'running', current_date + %s, current_date + %s,
                   '{"inactivity": {"cooldown_days": 2}, "milestone": {"cooldown_days": 1}}', 'manual',
                   %s, now() + interval '1 h', %s, %s) returning run_id""",
            f"job_{'abcdef'[n]}", evaluated, dispatched, size, slices, slices * size)
        db.rows("insert into reveille.run_lease(run_id, holder, lease_until)"
                " values (%s, 'p', now() + interval '1 h')", run)
        db.rows("""insert into reveille.slice(run_id, slice_no, subject_ids, topic, partition)
                   select %s, s, array_agg(gen_random_uuid()), 't', 0
                     from generate_series(0, %s) s, generate_series(1, %s) group by s""",
                run, slices - 1, size)
        runs.append(run)
    return runs


class Settler:
    """A worker that settles a list of slices with shuffled decisions about few users."""

    def __init__(self, db, slices, users, size, seed):
        self.db, self.slices, self.users, self.size = db, slices, users, size
        self.random = random.Random(seed)
        self.deadlocks = self.again = 0
        self.dispatched = 0

    def decisions(self):
        pairs = [(user, scenario) for user in self.users for scenario in ("inactivity", "milestone")]
        chosen = self.random.sample(pairs, self.size)
        return ([1 + n for n in range(self.size)], [str(user) for user, _ in chosen],
                [scenario for _, scenario in chosen], ["dispatch"] * self.size,
                [None] * self.size, [None] * self.size)

    def settle(self, connection, run, slice_no, decisions):
        careful = False
        while True:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(SETTLE, (run, slice_no, "w", *decisions, careful))
                    row = cursor.fetchone()
                if self.random.random() < 0.1:
                    connection.rollback()       # a worker that dies before its COMMIT
                    continue
                connection.commit()
                return row
            except psycopg2.errors.UniqueViolation:
                connection.rollback()
                self.again += 1
                careful = True
            except psycopg2.errors.DeadlockDetected:
                connection.rollback()
                self.deadlocks += 1

    def __call__(self):
        connection = self.db.connect(autocommit=False)
        try:
            for run, slice_no in self.slices:
                evaluated, skipped, errors, dispatched, suppressed = self.settle(
                    connection, run, slice_no, self.decisions())
                assert (evaluated, skipped, errors) == (self.size, 0, 0)
                assert dispatched + suppressed == self.size
                self.dispatched += dispatched
        finally:
            connection.close()


def test_r_d4_eight_sessions_settle_contended_keys_without_deadlock_and_every_count_is_exact(db):
    slices, size = 24, 30
    runs = contended_runs(db, slices, size)
    work = [(run, slice_no) for run in runs for slice_no in range(slices)]
    random.Random(SEED).shuffle(work)
    users = [uuid.UUID(int=n) for n in range(1, 41)]
    settlers = [Settler(db, work[n::8], users, size, SEED + n) for n in range(8)]
    at_once(*settlers)
    assert sum(settler.deadlocks for settler in settlers) == 0
    for run in runs:
        db.rows("select reveille.close_run(%s, 'p', 1)", run)
        db.holds(run)
    rows = db.one("select count(*) from reveille.notification")
    assert sum(settler.dispatched for settler in settlers) == rows > 0
    assert db.one("select count(*) from reveille.outbox") == rows
    # D3, without verify's own query: no pair of a key closer than the first one's cooldown
    assert db.one("""select count(*) from reveille.notification a join reveille.notification b
                       on a.user_id = b.user_id and a.scenario_type = b.scenario_type
                      and a.about_id = b.about_id
                      and b.cooldown_window_start >= a.cooldown_window_start
                      and b.cooldown_window_start < a.cooldown_window_start + a.cooldown_days
                      and (a.cooldown_window_start, a.evaluation_date)
                          <> (b.cooldown_window_start, b.evaluation_date)""") == 0
    assert db.one("""select count(*) from reveille.cooldown c where until <> (
                        select max(cooldown_window_start + cooldown_days) from reveille.notification n
                         where n.user_id = c.user_id and n.scenario_type = c.scenario_type)""") == 0


def test_r_d4_a_slice_settled_by_eight_workers_at_once_is_settled_once(db):
    run = a_run(db, 20, 20)
    people = db.one("select array(select test.person(i)::text from generate_series(1, 20) i)")
    decisions = (list(range(1, 21)), people, ["inactivity"] * 20, ["dispatch"] * 20,
                 [None] * 20, [None] * 20)
    answers = everywhere(db, 8, SETTLE, run, 0, "w", *decisions, False)
    assert sorted(len(rows) for rows in answers) == [0] * 7 + [1]
    assert db.one("select count(*) from reveille.notification") == 20
    db.rows("select reveille.close_run(%s, 'p', 1)", run)
    db.holds(run)


def test_r_d4_a_worker_killed_before_its_commit_leaves_nothing_and_the_next_one_settles(db):
    run = a_run(db, 3, 3)
    people = db.one("select array(select test.person(i)::text from generate_series(1, 3) i)")
    decisions = ([1, 2, 3], people, ["inactivity"] * 3, ["dispatch"] * 3, [None] * 3, [None] * 3)
    dying = db.connect(autocommit=False)
    assert db.rows(SETTLE, run, 0, "w", *decisions, False, on=dying)
    heir = db.connect()
    pid = db.one("select pg_backend_pid()", on=heir)
    result = []
    thread = threading.Thread(
        target=lambda: result.extend(db.rows(SETTLE, run, 0, "w2", *decisions, False, on=heir)))
    thread.start()
    wait_for_lock(db, pid)                      # the heir waits for the dying one's slice
    db.rows("select pg_terminate_backend(%s)", dying.get_backend_pid())
    thread.join(60)
    assert result == [(3, 0, 0, 3, 0)]
    assert db.one("select worker from reveille.slice") == "w2"
    dying.close()
    heir.close()
    db.rows("select reveille.close_run(%s, 'p', 1)", run)
    db.holds(run)


def wait_for_lock(db, pid):
    """Until the backend waits for somebody; bounded by the test's own patience."""
    for _ in range(100000):
        if db.one("select cardinality(pg_blocking_pids(%s)) > 0", pid):
            return
    raise AssertionError("nobody waits")


# ---- cancel against settle ----------------------------------------------------------------------

@pytest.mark.parametrize("attempt", range(4))
def test_r_d4_a_cancel_in_the_middle_of_settling_leaves_every_subject_with_one_outcome(db, attempt):
    run = a_run(db, 300, 5)
    connections = [db.connect() for _ in range(4)]
    slices = list(range(60))
    random.Random(SEED + attempt).shuffle(slices)
    started = threading.Event()

    def settle(n):
        for i, slice_no in enumerate(slices[n::4]):
            if i == 2:
                started.set()
            if db.one("select outcome from reveille.claim_slice(%s, %s, %s)", run, slice_no, str(n),
                      on=connections[n]) == "done":
                continue
            db.rows("select reveille.settle_slice(%s, %s, %s, '{}', '{}', '{}', '{}', '{}', '{}', '{}',"
                    " '{1}', '{network_error}', '{x}')", run, slice_no, str(n), on=connections[n])

    def cancel():
        started.wait(60)
        return db.one("select reveille.cancel_run(%s)", run)

    summary = at_once(*[lambda n=n: settle(n) for n in range(4)], cancel)[-1]
    assert summary["status"] == "cancelled"
    assert db.one("select reveille.summary(%s)", run) == summary, "totals moved after the close"
    assert summary["total_active_mentors"] == 300 == (
        summary["total_evaluated"] + summary["total_errors"] + summary["remaining_unprocessed_count"])
    db.holds(run)
    for connection in connections:
        connection.close()


def test_r_d4_a_cancel_waits_for_the_page_that_is_being_planned(db):
    db.rows("select test.job('plan')")
    db.rows("select test.mentors(1, 30)")
    db.rows("select reveille.request('plan', 'manual')")
    run = db.one("select run_id from reveille.open_run('p', 10)")
    planner, operator = db.connect(autocommit=False), db.connect()
    db.rows("select reveille.plan_page(%s, 'p', 1, null)", run, on=planner)
    pid = db.one("select pg_backend_pid()", on=operator)
    thread = threading.Thread(
        target=lambda: db.rows("select reveille.cancel_run(%s)", run, on=operator))
    thread.start()
    wait_for_lock(db, pid)
    planner.commit()
    thread.join(60)
    assert db.rows("select state, unreached from reveille.slice") == [("unreached", 10)]
    db.holds(run)
    planner.close()
    operator.close()


# ---- claims -------------------------------------------------------------------------------------

def test_r_d4_of_eight_workers_that_claim_a_slice_one_gets_it(db):
    run = a_run(db, 5, 5)
    connections = [db.connect() for _ in range(8)]
    outcomes = at_once(*[
        lambda n=n: db.one("select outcome from reveille.claim_slice(%s, 0, %s)", run, f"w{n}",
                           on=connections[n]) for n in range(8)])
    assert sorted(outcomes) == ["busy"] * 7 + ["claimed"]
    db.rows("update reveille.slice set moved_at = clock_timestamp() - interval '11 s'")
    outcomes = at_once(*[
        lambda n=n: db.one("select outcome from reveille.claim_slice(%s, 0, %s)", run, f"v{n}",
                           on=connections[n]) for n in range(8)])
    assert sorted(outcomes) == ["busy"] * 7 + ["claimed"]
    assert db.one("select attempt from reveille.slice") == 2
    for connection in connections:
        connection.close()


# ---- producers ----------------------------------------------------------------------------------

def test_r_t13_eight_producers_open_a_request_once(db):
    for name in ("a", "b", "c"):
        db.rows("select test.job(%s)", f"job_{name}")
        db.rows("select reveille.request(%s, 'http')", f"job_{name}")
    for _ in range(3):
        everywhere(db, 8, "select run_id from reveille.open_run('p')")
    assert db.rows("select job_name, count(*) from reveille.run group by 1 order by 1") == [
        ("job_a", 1), ("job_b", 1), ("job_c", 1)]


def test_r_t13_a_producer_looks_again_once_it_has_the_job(db):
    """A producer reads the jobs ten at a time, so it locks the eleventh later than it has seen it."""
    for name in "abcdefghijk":
        db.rows("select test.job(%s)", f"job_{name}")
        db.rows("select reveille.request(%s, 'manual')", f"job_{name}")
    db.rows("select reveille.request('job_k', 'manual')")
    holder, late, early = db.connect(autocommit=False), db.connect(), db.connect()
    db.rows("update reveille.trigger_request set state = 'refused' where job_name <> 'job_k'",
            on=holder)
    pid = db.one("select pg_backend_pid()", on=late)
    found = []
    thread = threading.Thread(target=lambda: found.extend(
        db.rows("select job_name from reveille.open_run('late')", on=late)))
    thread.start()
    wait_for_lock(db, pid)                      # it stands at job_a, and has seen job_k free
    assert db.rows("select job_name from reveille.open_run('early')", on=early) == [("job_k",)]
    holder.commit()
    thread.join(60)
    assert found == []
    assert db.rows("""select state, run_id is not null from reveille.trigger_request
                       where job_name = 'job_k' order by id""") == [("opened", True),
                                                                    ("pending", False)]
    for connection in (holder, late, early):
        connection.close()


def test_r_p4_a_run_without_a_leader_is_taken_over_by_one_producer(db):
    run = a_run(db, 5, 5)
    db.rows("select reveille.give_up_lease(%s, 'p', 1)", run)
    answers = everywhere(db, 8, "select run_id, fence, takeover from reveille.open_run('q')")
    assert sorted(answers) == [[]] * 7 + [[(run, 2, True)]]


def test_r_p4_two_leaders_of_one_run_plan_nothing_twice(db):
    db.rows("select test.job('plan')")
    db.rows("select test.mentors(1, 2000)")
    db.rows("select reveille.request('plan', 'manual')")
    run = db.one("select run_id from reveille.open_run('a', 10)")
    db.rows("update reveille.run_lease set lease_until = clock_timestamp() - interval '1 s'")
    fence = db.one("select fence from reveille.open_run('b', 10)")

    def plan(holder, own_fence):
        connection = db.connect()
        cursor, outcomes = None, []
        while True:
            ((outcome, cursor, state),) = db.rows(
                "select outcome, cursor, state from reveille.plan_page(%s, %s, %s, %s)",
                run, holder, own_fence, cursor, on=connection)
            outcomes.append(outcome)
            if state != "planning":
                connection.close()
                return outcomes

    old, new = at_once(lambda: plan("a", 1), lambda: plan("b", fence))
    assert set(old) == {"stale"}, "the fence is not looked at"
    assert new == ["planned"] * 200 + ["last"]
    assert db.rows("""select count(*), count(distinct id) from reveille.slice, unnest(subject_ids) id
                    """) == [(2000, 2000)]


def test_r_p4_two_calls_with_one_cursor_plan_the_page_once(db):
    db.rows("select test.job('plan')")
    db.rows("select test.mentors(1, 100)")
    db.rows("select reveille.request('plan', 'manual')")
    run = db.one("select run_id from reveille.open_run('a', 10)")
    answers = everywhere(
        db, 8, "select outcome from reveille.plan_page(%s, 'a', 1, null)", run)
    assert sorted(answers) == [[("planned",)]] + [[("stale",)]] * 7


# ---- the outbox, the limit, the bell ------------------------------------------------------------

def test_claims_on_the_outbox_are_disjoint(db):
    run = a_run(db, 200, 100)
    db.rows("select test.finish(%s)", run)
    taken = everywhere(db, 8, "select id from reveille.claim_notifications(25)")
    ids = [row[0] for rows in taken for row in rows]
    assert len(ids) == len(set(ids)) == 200
    sent = everywhere(db, 4, "select reveille.mark_sent(%s)", ids)
    assert sum(rows[0][0] for rows in sent) == 200


def test_r_e1_whatever_workers_ask_at_once_never_more_than_the_limit_is_lent(db):
    lent = "select coalesce(sum(granted), 0) from reveille.engine_share where worker <> ''"
    done = threading.Event()
    most = []

    def watch():
        connection = db.connect()
        while not done.is_set():
            most.append(db.one(lent, on=connection))
        connection.close()

    def ask(n):
        connection, chance = db.connect(), random.Random(SEED + n)
        held = 0
        for seq in range(60):
            (held, *_), = db.rows(
                "select * from reveille.ask_share('http', %s, %s, jsonb_build_object("
                "'seq', %s::int, 'busy', %s::int))", f"w{n}", chance.choice([0, 1, 3, 50]), seq,
                chance.randint(0, held), on=connection)
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    at_once(*[lambda n=n: ask(n) for n in range(12)])
    done.set()
    watcher.join(60)
    assert 0 < max(most) <= 10


def test_r_t4_a_request_and_the_end_of_a_run_wake_who_listens(db):
    listener = db.connect()
    db.rows("listen reveille_trigger", on=listener)

    def rung():
        assert select.select([listener], [], [], 30)[0], "nobody rang"
        listener.poll()
        return [listener.notifies.pop().payload for _ in list(listener.notifies)]

    db.rows("select test.job('bell')")
    db.rows("select reveille.request('bell', 'http')")
    assert rung() == [""]
    run = db.one("select run_id from reveille.open_run('p')")
    db.rows("select reveille.cancel_run(%s)", run)
    assert rung() == [""]
    listener.close()


def test_every_refusal_of_a_lock_is_one_that_a_caller_tries_again(db):
    """A cancel that waits longer than lock_timeout is 55P03, which the programs retry."""
    run = a_run(db, 3, 3)
    holder, other = db.connect(autocommit=False), db.connect()
    db.rows("select 1 from reveille.slice for update", on=holder)
    db.rows("set lock_timeout = '50ms'", on=other)
    with pytest.raises(psycopg2.Error) as refused:
        db.rows("select reveille.cancel_run(%s)", run, on=other)
    assert refused.value.pgcode == errorcodes.LOCK_NOT_AVAILABLE
    holder.close()
    assert db.one("select reveille.cancel_run(%s)", run, on=other)["status"] == "cancelled"
    db.holds(run)
    other.close()
