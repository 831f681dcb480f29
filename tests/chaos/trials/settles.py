"""Sessions that settle slices about the same users at one time, each in an order of its own: nobody
waits for somebody who waits for him, and every count is exact."""

import random
import threading
import time
import uuid
from types import SimpleNamespace

import psycopg2.errors

from stand import Result

SHORT = SimpleNamespace(settles=2000, sessions=8)
LONG = SimpleNamespace(settles=100000, sessions=8)
RUNS = 5
SIZE = 8          # decisions a slice
WINDOW = 5        # users that the slices of a number are about, one slice of each run: they share keys
STEP = 2          # … and by so many the next number's users are others: new keys all the time
COMMIT_S = 0.002  # from the settle to its COMMIT, as over a network
SCENARIOS = ("inactivity", "milestone")

MAKE_RUN = """
insert into reveille.job(job_name, schedule, engine, source, lookup, scenario_types)
values (%(job)s, '0 6 * * *', 'http', 'reveille.source_mentors', 'reveille.lookup_mentors',
        '{inactivity,milestone}');
insert into reveille.run(job_name, state, evaluation_date, dispatch_date, scenarios, triggered_by,
                         page_size, deadline_at, slices, planned)
values (%(job)s, 'running', current_date + %(day)s, current_date + %(day)s,
        '{"inactivity": {"cooldown_days": 2}, "milestone": {"cooldown_days": 1}}', 'manual',
        %(size)s, now() + interval '10 h', %(slices)s, %(slices)s * %(size)s);
insert into reveille.run_lease(run_id, holder, lease_until)
select run_id, 'trial', now() + interval '10 h' from reveille.run where job_name = %(job)s;
insert into reveille.slice(run_id, slice_no, subject_ids, topic, partition)
select r.run_id, s, array(select gen_random_uuid() from generate_series(1, %(size)s + 0 * s)),
       't.http', 0
  from reveille.run r, generate_series(0, %(slices)s - 1) s where r.job_name = %(job)s
"""
SETTLE = ("select evaluated, dispatched, suppressed from reveille.settle_slice("
          "%s, %s, %s, '{}', %s, %s::uuid[], %s, %s, %s::uuid[], %s)")


def measure(stand, size, rng):
    stand.progress.expect(size.settles)
    with stand.world() as world:
        runs = make_runs(world, size.settles // RUNS)
        before = deadlocks(world)
        tasks = [(run, number) for number in range(size.settles // RUNS) for run in runs]
        sessions = [Session(world, tasks[n::size.sessions], rng.random())
                    for n in range(size.sessions)]
        started = time.monotonic()
        waiting = settle_all(world, sessions, stand.progress)
        seconds = time.monotonic() - started
        wrong = [row for run in runs for row in ending(world, run)]
        counted = deadlocks(world) - before
        settled = sum(one.settled for one in sessions)
        refused = sum(one.deadlocks for one in sessions)
        dispatched = sum(one.dispatched for one in sessions)
        rows = world.db.value("select count(*) from reveille.notification")
    return Result(
        {"settles": settled, "sessions": size.sessions, "deadlocks": max(counted, refused),
         "waiting_on_average": waiting, "dispatched": dispatched,
         "settles_a_second": settled / seconds},
        [(f"{size.settles} settles", settled == size.settles),
         ("0 deadlocks", counted == 0 and refused == 0), ("they did wait", waiting > 0.1),
         ("every count exact", dispatched == rows and not wrong)])


def make_runs(world, slices):
    """Open runs of as many jobs, whose dates lie days apart: what they notify collides."""
    for number in range(RUNS):
        link = world.cluster.connect(world.db.name)
        with link, link.cursor() as cursor:
            cursor.execute(MAKE_RUN, {"job": f"job_{'abcde'[number]}", "day": number % 3, "size": SIZE,
                                      "slices": slices})
        link.close()
    return [row[0] for row in world.db.rows("select run_id from reveille.run order by job_name")]


def deadlocks(world):
    return world.db.value("select deadlocks from pg_stat_database where "
                          "datname = current_database()")


def ending(world, run):
    """Closes the run; what verify finds wrong in it."""
    world.db.rows("select reveille.close_run(%s, 'trial', 1)", run)
    return world.db.rows("select * from reveille.verify_run(%s) where not holds", run)


def settle_all(world, sessions, progress):
    """Returns how many of them were waiting for a lock, on an average of many looks."""
    for session in sessions:
        session.start()
    looks = []
    while any(session.is_alive() for session in sessions):
        looks.append(world.db.value("select count(*) from pg_stat_activity where "
                                    "datname = current_database() and wait_event_type = 'Lock'"))
        progress.add(sum(session.settled for session in sessions) - progress.done)
        time.sleep(0.05)
    for session in sessions:
        session.join()
    return sum(looks) / len(looks)


class Session(threading.Thread):
    """Settles its tasks, (run, slice), one after the other; a refused one again."""

    def __init__(self, world, tasks, seed):
        super().__init__()
        self._link = world.cluster.connect(world.db.name)
        self._tasks = tasks
        self._random = random.Random(seed)
        self.settled = self.dispatched = self.deadlocks = 0

    def run(self):
        for run, number in self._tasks:
            decisions = self._decisions(number * STEP)
            while not self._settle(run, number, decisions):
                pass
        self._link.close()

    def _decisions(self, first):
        pairs = [(str(uuid.UUID(int=1 + first + n)), scenario)
                 for n in range(WINDOW) for scenario in SCENARIOS]
        chosen = self._random.sample(pairs, SIZE)    # in no order
        return (list(range(1, SIZE + 1)), [user for user, _ in chosen],
                [scenario for _, scenario in chosen], ["dispatch"] * SIZE, [None] * SIZE,
                [None] * SIZE)

    def _settle(self, run, number, decisions):
        try:
            with self._link, self._link.cursor() as cursor:
                cursor.execute(SETTLE, (run, number, "trial", *decisions))
                evaluated, dispatched, suppressed = cursor.fetchone()
                time.sleep(COMMIT_S)
        except psycopg2.errors.DeadlockDetected:
            self.deadlocks += 1
            return False
        assert (evaluated, dispatched + suppressed) == (SIZE, SIZE)
        self.settled += 1
        self.dispatched += dispatched
        return True
