"""The directed scenarios: each a short history with just the fault that one kind of bug is sensitive
to, on real parts, and at its end the independent check. Without a planted bug each must hold.

A scenario is a function of a Stage; what it does not reach in its time (a run that never ends) it
leaves to the check. Time passes by moving rows back, as in tests/sql.
"""

import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import psycopg2

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parents[1] / "flow")]

from world import JOB, until, World     # noqa: E402

ENDS_S = 25         # for a run's end where nothing is wrong; two group joins fit in
WIDE = 200          # subjects a slice where settles are to meet: a settle then takes some 10 ms
SEED = 5
SETTLE = ("select evaluated from reveille.settle_slice(%s, %s, %s, '{}', %s, %s::uuid[], %s, %s, "
          "%s::uuid[], %s, p_careful => %s)")


class Stage:
    """A world with one planted bug, or none. `failed`: {invariant: the first that was found}."""

    def __init__(self, folder, cluster, brokers, planted):
        self.cluster = cluster
        self.world = World(folder, cluster, brokers, binaries=planted.binaries)
        self.db = self.world.db
        self.failed = {}
        for path in planted.migrations:
            cluster.postgres.psql(path.read_text(encoding="utf-8"), "reveille_admin", self.db.name,
                                  single=True)

    def close(self):
        for program in self.world.programs.values():
            program.kill()
        self.world.close()

    def programs(self, workers, page_size):
        self.world.start_producer(wait=False, PAGE_SIZE=str(page_size))
        self.world.start_workers(workers)
        self.world.programs["producer"].wait_ready()

    def limit(self, calls):
        self.db.rows("update reveille.engine set concurrency = %s, current = %s "
                     "where engine = 'http'", calls, calls)

    def try_until(self, condition, seconds):
        """Waits for what a planted bug may keep from ever coming."""
        try:
            return until(condition, seconds, "")
        except AssertionError:
            return None

    def rests(self):
        return self.try_until(lambda: not self.world.open_runs() and not self.db.value(
            "select count(*) from reveille.trigger_request where state = 'pending'"), ENDS_S)

    def check(self, *options, only=None):
        """Asks the check; of a run that is under way only some invariants can be judged."""
        world = self.world
        log = world.layout.log / "engine-calls.log"
        log.touch()
        if world.engine:
            world.engine.calls()        # waits until the log is whole
        done = subprocess.run(
            [HERE.parent / "check", "--database", self.cluster.postgres.url(database=self.db.name),
             "--engine-log", log, "--bootstrap", world.kafka, "--topic-prefix", world.prefix,
             "--group", f"{world.prefix}.workers", "--outputs", world.layout.log, "--json",
             *map(str, options)], text=True, capture_output=True, check=False, timeout=60)
        assert done.returncode in (0, 1), done.stderr
        for one in json.loads(done.stdout)["invariants"]:
            if not one["holds"] and (only is None or one["name"] in only):
                self.failed.setdefault(one["name"], one["violations"][0]["what"])


# --- with the programs

def calm(stage):
    """No fault at all: two workers, a small limit, a run of yesterday."""
    stage.world.mentors(60)
    stage.world.start_engine(latency=60)
    stage.limit(4)
    stage.programs(workers=2, page_size=2)
    stage.world.ask(evaluation_date=yesterday(stage))
    stage.rests()
    stage.check("--limit", 4, "--once")


def next_day(stage):
    """Everybody was told yesterday; the run of today finds them in their cooldown."""
    stage.world.mentors(20)
    stage.world.start_engine()
    stage.programs(workers=1, page_size=5)
    stage.world.ask(evaluation_date=yesterday(stage))
    stage.rests()
    stage.db.rows("""
        update reveille.run set dispatch_date = dispatch_date - 1;
        update reveille.notification set cooldown_window_start = cooldown_window_start - 1;
        update reveille.outbox set cooldown_window_start = cooldown_window_start - 1;
        update reveille.cooldown set until = until - 1""")
    stage.world.ask()
    stage.rests()
    stage.check()


def doubled(stage):
    """Each message is there twice, the second time in a partition of the other worker (they are
    given out in turn)."""
    stage.world.mentors(24)
    stage.world.start_engine(latency=500)
    stage.programs(workers=2, page_size=2)
    run = stage.world.ask()
    until(lambda: stage.world.slices(run)[-1:] and all(
        s.published_at or s.attempt for s in stage.world.slices(run)), 10, "all is published")
    address, topic = stage.world.kafka, f"{stage.world.prefix}.http"
    for partition in range(4):
        copied = subprocess.run(["kcat", "-C", "-b", address, "-t", topic, "-p", str(partition),
                                 "-e", "-q", "-f", "%R%s"], capture_output=True, check=True,
                                timeout=20).stdout
        send(address, topic, (partition + 1) % 4, values(copied), stage.world.layout.folder)
    stage.rests()
    stage.check("--once")


def held(stage):
    """A settle waits for a lock while offsets are committed; then its worker is killed, and what it
    has in the server with it."""
    stage.world.mentors(8)
    stage.world.start_engine()
    stage.programs(workers=1, page_size=2)
    with stage.db.transaction("lock table reveille.cooldown in exclusive mode"):
        stage.world.ask()
        until(lambda: stage.db.rows(
            "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like "
            "'%settle_slice%' and clock_timestamp() - query_start > interval '2 s'"), 20,
              "a settle has waited for longer than offsets are kept back")
        for name in ("producer", "worker-1"):
            stage.world.programs[name].kill()
        stage.db.rows("select pg_terminate_backend(pid) from pg_stat_activity where datname = "
                      "current_database() and application_name like 'reveille-%'")
    stage.db.rows("update reveille.slice set moved_at = moved_at - interval '1 h'")
    stage.check(only={"I5"})


def cancelled(stage):
    """A run is cancelled while some of its slices are done and others are not."""
    stage.world.mentors(40)
    stage.world.start_engine(latency=500)
    stage.limit(4)
    stage.programs(workers=1, page_size=2)
    run = stage.world.ask()
    until(lambda: {s.state for s in stage.world.slices(run)} == {"done", "pending"}, 20,
          "some are done")
    stage.db.rows("select reveille.cancel_run(%s)", run)
    stage.rests()
    stage.check("--limit", 4)


def dead_share(stage):
    """Both workers are killed with the whole limit in their hands; a third comes."""
    stage.world.mentors(40)
    stage.world.start_engine(latency=2000)
    stage.limit(4)
    stage.programs(workers=2, page_size=2)
    stage.world.ask()
    until(lambda: stage.world.engine.stats()["in_flight"] == 4, 20, "all the limit is in use")
    for name in ("worker-1", "worker-2"):
        stage.world.programs[name].kill()
    stage.db.rows("update reveille.engine_share set until = until - interval '11 s' "
                  "where worker <> ''")
    stage.db.rows("update reveille.slice set moved_at = moved_at - interval '11 s'")
    stage.world.engine.control(latency=10)
    stage.world.start_workers(1, first=3, wait=False)
    stage.rests()
    stage.check("--limit", 4)


def outage(stage):
    """The engine is away, back for one or two calls, away again for longer, and back. Everybody has
    had a first try by then (one slice, a limit as wide), so that only those that were struck count
    as first tries again, and close the engine again."""
    stage.world.mentors(80)
    stage.world.start_engine(latency=200)
    stage.limit(80)
    stage.programs(workers=1, page_size=80)
    stage.world.engine.control(mode="503")
    run = stage.world.ask()
    closed = "select closed_since is not null from reveille.engine where engine = 'http'"
    until(lambda: stage.db.value(closed), 20, "the engine is closed")
    stage.world.engine.control(mode="ok")
    until(lambda: not stage.db.value(closed), 20, "one call has succeeded")
    stage.world.engine.control(mode="503")
    stage.try_until(lambda: stage.db.value(closed) or stage.db.value(
        "select count(*) from reveille.subject_error where run_id = %s", run), 20)
    stage.world.engine.control(mode="ok")
    stage.rests()
    stage.check()


def queue(stage):
    """Two runs of a job are asked for at one time."""
    stage.world.mentors(12)
    stage.world.start_engine(latency=300)
    stage.programs(workers=1, page_size=2)
    for params in ({"evaluation_date": yesterday(stage)}, {"shadow": False}):
        answer = stage.world.http("POST", f"/v1/jobs/{JOB}/runs", params)
        assert answer.status in (200, 202), answer.bytes
    stage.rests()
    stage.check()


# --- with sessions that call the protocol's functions as the programs do

def two_leaders(stage):
    """A producer loses its lease between two pages, and wakes up when its heir has planned one."""
    stage.world.mentors(100)
    first = opened(stage, "a")
    plan(stage, first, "a", None)
    stage.db.rows("update reveille.run_lease set lease_until = clock_timestamp()")
    heir = stage.db.row("select * from reveille.open_run('b', 20)")
    cursor = plan(stage, heir, "b", heir.cursor).cursor
    plan(stage, first, "a", heir.cursor)        # that is where it fell asleep
    page = None
    while page is None or page.outcome != "last":
        page = plan(stage, heir, "b", cursor)
        cursor = page.cursor
    for s in stage.world.slices(heir.run_id):
        settle(stage.db.rows, claim(stage, heir.run_id, s.slice_no, "w"), "w")
    stage.db.rows("select reveille.close_run(%s, 'b', %s)", heir.run_id, heir.fence)
    stage.check()


def late(stage):
    """A worker's claim goes stale, another settles the slice, and then the first one settles it."""
    stage.world.mentors(20)
    run = planned(stage, "a")
    zombie = claim(stage, run.run_id, 0, "w1")
    heir = claim(stage, run.run_id, 0, "w2", stale="0 s")
    settle(stage.db.rows, heir, "w2")
    settle(stage.db.rows, zombie, "w1")
    stage.db.rows("select reveille.close_run(%s, 'a', %s)", run.run_id, run.fence)
    stage.check()


def crossed(stage):
    """Four workers settle slices of two runs about the same people at one time, each in an order of
    its own, fifteen times."""
    stage.world.mentors(30 * WIDE)
    stage.db.rows("""insert into reveille.job(job_name, schedule, engine, source, lookup,
                                              scenario_types)
                     select 'drill_too', schedule, engine, source, lookup, scenario_types
                       from reveille.job where job_name = 'drill'""")
    runs = [planned(stage, "a", job, WIDE) for job in ("drill", "drill_too")]
    claims = [[claim(stage, run.run_id, n, "w") for n in range(30)] for run in runs]
    links = [stage.cluster.connect(stage.db.name) for _ in range(4)]
    backends = [link.info.backend_pid for link in links]
    try:
        for n in range(0, 30, 2):
            at_once([(link, claims[k % 2][n + k // 2]) for k, link in enumerate(links)])
    finally:
        for link in links:
            link.close()
    until(lambda: not stage.db.rows("select pid from pg_stat_activity where pid = any(%s)", backends),
          20, "they have gone, and reported their deadlocks")
    for run in runs:
        stage.db.rows("select reveille.close_run(%s, 'a', %s)", run.run_id, run.fence)
    stage.check()


SCENARIOS = {one.__name__: one for one in (
    calm, next_day, doubled, held, cancelled, dead_share, outage, queue, two_leaders, late, crossed)}


# --- what they are made of

def yesterday(stage):
    return stage.db.value("select ((now() at time zone 'Europe/Oslo')::date - 1)::text")


def values(data):
    """kcat's %R%s: each value behind its length in four bytes."""
    while data:
        size = int.from_bytes(data[:4], "big")
        yield data[4:4 + size]
        data = data[4 + size:]


def send(address, topic, partition, messages, folder):
    files = []
    for n, message in enumerate(messages):
        files.append(folder / f"message-{partition}-{n}")
        files[-1].write_bytes(message)
    if files:
        subprocess.run(["kcat", "-P", "-b", address, "-t", topic, "-p", str(partition), *files],
                       check=True, timeout=20, stdin=subprocess.DEVNULL, capture_output=True)


def opened(stage, holder, job="drill", page_size=20):
    """A run that `holder` leads."""
    stage.db.rows("select reveille.request(%s, 'manual')", job)
    return stage.db.row("select * from reveille.open_run(%s, %s)", holder, page_size)


def plan(stage, run, holder, cursor, pages=1):
    return stage.db.row("select * from reveille.plan_page(%s, %s, %s, %s, %s, %s)", run.run_id,
                        holder, run.fence, cursor, pages, stage.world.prefix)


def planned(stage, holder, job="drill", page_size=20):
    run = opened(stage, holder, job, page_size)
    assert plan(stage, run, holder, None, pages=1000).outcome == "last"
    return run


def claim(stage, run, slice_no, worker, stale="10 s"):
    """(run, slice, users of its subjects in their order)"""
    row = stage.db.row("select outcome, user_ids from reveille.claim_slice(%s, %s, %s, %s)",
                       run, slice_no, worker, stale)
    assert row.outcome == "claimed"
    return run, slice_no, [str(user) for user in row.user_ids]


def settle(rows, claimed, worker, order=None, careful=False):
    """Everybody is to be told, in this order of positions."""
    run, slice_no, users = claimed
    order = order or range(len(users))
    return rows(SETTLE, run, slice_no, worker, [1 + n for n in order], [users[n] for n in order],
                ["inactivity"] * len(users), ["dispatch"] * len(users), [None] * len(users),
                [None] * len(users), careful)


def at_once(work):
    """Settles in threads that begin together, each of [(link, claim)]; raises what went wrong."""
    barrier = threading.Barrier(len(work))
    wrong = []

    def go(number, link, claimed):
        shuffled = list(range(len(claimed[2])))
        random.Random(SEED + number + 100 * claimed[1]).shuffle(shuffled)
        try:
            barrier.wait(20)
            settle_at_last(link, claimed, shuffled)
        except Exception as reason:     # told to the caller below
            wrong.append(reason)
    threads = [threading.Thread(target=go, args=(n, *one)) for n, one in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]


def settle_at_last(link, claimed, order):
    """As a worker would: again after a deadlock, carefully when somebody was first."""
    careful = False

    def rows(sql, *parameters):
        with link, link.cursor() as cursor:
            cursor.execute("set local deadlock_timeout = '20 ms'")
            cursor.execute(sql, parameters)
    while True:
        try:
            settle(rows, claimed, "w", order, careful)
            return
        except psycopg2.errors.DeadlockDetected:
            continue
        except psycopg2.errors.UniqueViolation:
            careful = True
