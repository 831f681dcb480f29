"""The independent checker: it holds for a real history, and when one fact of that is damaged, in the
database, in the engine's log, in Kafka or in what was said, exactly what it belongs to fails.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psycopg2
import pytest

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "flow")]

import checker_kafka                                        # noqa: E402
import checker_run                                          # noqa: E402
from parts import Cluster, EmbeddedBrokers                  # noqa: E402
from world import until, World                              # noqa: E402

LIMIT = 10      # reveille.engine's concurrency of a new database

# Everything that counts from the day of dispatch, as if a day had passed since.
A_DAY_LATER = """
update reveille.run set dispatch_date = dispatch_date - 1;
update reveille.notification set cooldown_window_start = cooldown_window_start - 1;
update reveille.outbox set cooldown_window_start = cooldown_window_start - 1;
update reveille.cooldown set until = until - 1"""


@pytest.fixture(scope="module")
def history():
    """Three runs, ended: of yesterday, with mentors who are due, not due and failing; of today, in
    which the cooldown suppresses; and of an engine that is asked nothing. Nobody runs any more."""
    folder = Path(tempfile.mkdtemp(prefix="rv-check-", dir="/tmp"))
    folder.chmod(0o755)
    cluster, brokers, world = Cluster(folder / "pg"), EmbeddedBrokers(folder, stock=1), None
    try:
        cluster.start()
        world = World(folder / "world", cluster, brokers)
        happen(world)
        yield world
    finally:
        wrong = world.close() if world else []
        brokers.stop()
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    assert not wrong, "\n".join(wrong)


def happen(world):
    world.mentors(80, others=9)
    world.start_engine(latency=20, due=0.8, failures=0.3)
    world.start_producer(PAGE_SIZE="10")
    world.start_workers(2)
    yesterday = world.db.value("select ((now() at time zone 'Europe/Oslo')::date - 1)::text")
    for run in (lambda: world.ask(evaluation_date=yesterday), world.ask, lambda: world.ask("drill")):
        summary = world.ended(run())
        assert summary["completed"], summary
        if summary["evaluation_date"] == yesterday:
            assert summary["total_dispatched"] > 20 and summary["total_errors"] > 0
            world.db.rows(A_DAY_LATER)
    topics = [f"{world.prefix}.{engine}" for engine in ("http", "noop")]
    until(lambda: not any(place.lag for place in checker_kafka.places(
        world.kafka, f"{world.prefix}.workers", topics)), 20, "all is committed")
    for program in reversed(list(world.programs.values())):
        assert program.stop()
    world.engine.stop()
    world.db.close()        # so that it can be copied


class Copy:
    """The history again, to be damaged: its rows, its engine's log, what its programs said."""

    def __init__(self, world, folder):
        self.world, self.cluster = world, world.cluster
        self.name = world.cluster.copy(world.db.name)
        self.outputs = folder / "log"
        self.more, self.group = [], f"{world.prefix}.workers"
        self.rest_s = checker_run.REST_S
        shutil.copytree(world.layout.log, self.outputs)
        shutil.copytree(world.layout.secret, folder / "secret")
        self.log = self.outputs / "engine-calls.log"
        self.link = self.cluster.connect(self.name)
        self.link.autocommit = True

    def sql(self, text):
        with self.link.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []

    def arguments(self):
        return ["--database", self.cluster.postgres.url(database=self.name),
                "--engine-log", str(self.log), "--bootstrap", self.world.kafka, "--topic-prefix",
                self.world.prefix, "--group", self.group, "--outputs", str(self.outputs), "--json",
                *map(str, self.more)]

    def checked(self):
        """{invariant: what was found}, by the command's own parts."""
        self.link.close()
        options = checker_run.parse(self.arguments())
        return checker_run.judge(*checker_run.look(options, self.rest_s), options)


@pytest.fixture
def copy(history, tmp_path):
    made = Copy(history, tmp_path)
    yield made
    made.cluster.drop(made.name)


def command(*arguments):
    return subprocess.run([HERE / "check", *arguments], text=True, capture_output=True, check=False,
                          timeout=60)


def test_r_d4_the_checker_holds_for_a_history_without_a_fault(copy, tmp_path):
    copy.more = ["--limit", LIMIT, "--samples", samples(tmp_path, growth=0)]
    done = command(*copy.arguments())
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["holds"] and [one["name"] for one in told["invariants"]] == [
        f"I{n}" for n in range(1, 11)]


# --- damages: each takes a Copy

def damaged(text):
    return lambda copy: copy.sql("set session_replication_role = replica; " + text)


RUN = ("(select run_id from reveille.run where job_name = 'scenario_scheduler' "
       "order by started_at {})")
FIRST, SECOND = RUN.format("limit 1"), RUN.format("offset 1 limit 1")
DRILL = "(select run_id from reveille.run where job_name = 'drill')"
SLICE = f"run_id = {FIRST} and slice_no = 2"
WITHOUT_CHECK = "alter table reveille.slice drop constraint slice_identity;"
ONE = "(select ctid from reveille.{} limit 1)"
TOLD = f"""user_id = (select min(user_id::text)::uuid from reveille.notification
                       where run_id = {FIRST})"""


def without_answer(copy):
    """The lines of all calls about one who was told are gone."""
    mentor, = copy.sql(f"""
        select m.id::text from peer_mentors m
          join reveille.notification n using (user_id) where n.run_id = {FIRST} limit 1""")[0]
    keep = [line for line in copy.log.read_text().splitlines(True) if f" {mentor} " not in line]
    copy.log.write_text("".join(keep))


def other_decision(copy):
    """The engine's log says `none` where it said `dispatch`, for one call that was good."""
    text = copy.log.read_text()
    copy.log.write_text(re.sub(r"^(.* 200 .*) dispatch$", r"\1 none", text, count=1, flags=re.M))


def of_another_day(copy):
    """One call's key bears a day of which there is no run."""
    text = copy.log.read_text()
    line = next(line for line in text.splitlines() if " 200 " in line)
    copy.log.write_text(text + re.sub(r"/\d{4}-\d\d-\d\d/", "/2020-02-02/", line) + "\n")


def charged_in_an_outage(copy):
    """A failing mentor's slice ends while the engine refuses everybody, and has done so for 3 s."""
    slice_no, done = copy.sql(f"""
        select s.slice_no, extract(epoch from s.done_at)::float8
          from reveille.subject_error e join reveille.slice s using (run_id, slice_no)
         where run_id = {SECOND} and error_class = 'network_error' limit 1""")[0]
    copy.sql(f"""update reveille.slice set done_at = done_at + interval '1 h'
                  where run_id = {SECOND} and slice_no = {slice_no};
                 update reveille.run set finished_at = finished_at + interval '1 h'
                  where run_id = {SECOND}""")
    words = copy.log.read_text().splitlines()[-1].split(" ")
    with open(copy.log, "a", encoding="utf-8") as log:
        for (other,) in copy.sql("select id::text from public.peer_mentors limit 20"):
            key = "/".join([*words[2].split("/")[:3], other])
            log.write(f"{int((done + 3597) * 1e6)} {other} {key} 503 {words[4]} 1 503\n")


def said(text):
    def write(copy):
        with open(copy.outputs / "worker-1.log", "a", encoding="utf-8") as log:
            log.write(text(copy) + "\n")
    return write


def deadlock(copy):
    """Two sessions that take two locks in opposite order."""
    links = [copy.cluster.connect(copy.name) for _ in range(2)]
    for link, job in zip(links, ("drill", "gated")):
        link.cursor().execute("set deadlock_timeout = 10; update reveille.job set schedule = schedule "
                              "where job_name = %s", [job])
    other = threading.Thread(target=cross, args=(links[0], "gated"))
    other.start()
    cross(links[1], "drill")
    other.join()
    until(lambda: copy.sql("select deadlocks from pg_stat_database where datname = "
                           "current_database()")[0][0], 20, "it is counted")


def cross(link, job):
    try:
        link.cursor().execute("update reveille.job set schedule = schedule where job_name = %s", [job])
    except psycopg2.errors.DeadlockDetected:
        pass
    finally:
        link.close()


def samples(folder, growth, threads=0):
    """30 minutes of a process, a sample each 10 s; rss grows by so many kB a sample, and there are
    so many threads more in the second half."""
    path = folder / "samples"
    path.write_text("".join(json.dumps({
        "t": 10 * n, "name": "worker-1", "pid": 7, "rss_kb": 30000 + growth * n, "fds": 40,
        "threads": 9 + threads * (n >= 90)}) + "\n" for n in range(180)))
    return path


def leaking(copy):
    copy.more = ["--samples", samples(copy.outputs.parent, growth=100)]


def threads_left(copy):
    copy.more = ["--samples", samples(copy.outputs.parent, growth=0, threads=2)]


def narrower(copy):
    copy.more = ["--limit", "1"]


def failed_twice(copy):
    """A failing mentor was asked more than once: three tries."""
    copy.more = ["--once"]


def stranger(copy):
    copy.group = "nobody"       # it has committed nothing, and the logs are not empty
    copy.rest_s = 1


# (the invariant, what is damaged, what its rule says, how, what else must fail)
DAMAGES = [
    ("I1", "a subject is in two slices, another in none",
     "planned twice", damaged(f"""
        update reveille.slice set subject_ids[1] =
            (select subject_ids[1] from reveille.slice where run_id = {DRILL} and slice_no = 1)
         where run_id = {DRILL} and slice_no = 2""")),
    ("I1", "somebody eligible was not planned",
     "eligible, and not planned", damaged("""
        with m as (insert into public.peer_mentors(user_id, status)
                       values (gen_random_uuid(), 'active') returning id)
        insert into public.assignments(peer_mentor_id, status) select id, 'active' from m""")),
    ("I1", "a slice is not settled, and its run has ended",
     "without an outcome", damaged(
        f"{WITHOUT_CHECK} update reveille.slice set state = 'pending', published_offset = null "
        f"where run_id = {DRILL} and slice_no = 2")),
    ("I1", "a slice is gone",
     "slices were planned", damaged(
        f"delete from reveille.slice where run_id = {DRILL} and slice_no = 2"), {"I2"}),
    ("I1", "an error of somebody of another slice",
     "not in the slice", damaged(
        f"update reveille.subject_error set slice_no = (slice_no + 1) % 8 where ctid = "
        f"{ONE.format('subject_error')}")),
    ("I1", "the engine was asked about another day",
     "planned by no run of that day", of_another_day),
    ("I2", "1 is added to a total",
     "the run's evaluated is", damaged(f"""
        update reveille.run set totals = jsonb_set(totals, '{{evaluated}}',
            to_jsonb((totals ->> 'evaluated')::int + 1)) where run_id = {FIRST}""")),
    ("I2", "1 is added to a slice's dispatches",
     "dispatched is", damaged(
        f"update reveille.slice set dispatched = dispatched + 1 where {SLICE}")),
    ("I2", "an error is counted as evaluated",
     "the engine gave no good answer", damaged(
        f"delete from reveille.subject_error where ctid = {ONE.format('subject_error')}")),
    ("I2", "an evaluated mentor is counted as an error",
     "errors is 0, counted 1", damaged(f"""
        insert into reveille.subject_error(run_id, subject_id, slice_no, error_class, attempt)
        select run_id, subject_ids[1], slice_no, 'evaluation_logic_error', 1
          from reveille.slice where run_id = {DRILL} and slice_no = 2""")),
    ("I2", "the engine gave no answer about one who is evaluated",
     "the engine gave no good answer", without_answer, {"I3"}),
    ("I2", "a mentor pays for the engine's absence",
     "away for everybody", charged_in_an_outage),
    ("I2", "the execution log tells of another end",
     "in the execution log", damaged(
        "update reveille.scheduler_execution_log set status = 'partial' where ctid = "
        + ONE.format("scheduler_execution_log"))),
    ("I2", "a notification is gone",
     "dispatched is", damaged(
        f"delete from reveille.notification where {TOLD}"), {"I3"}),
    ("I3", "the engine decided otherwise",
     "the engine did not decide dispatch", other_decision, {"I2"}),
    ("I3", "nothing explains why somebody was not told",
     "not told, and nothing explains it", damaged(f"""
        update reveille.notification set cooldown_days = 1 where {TOLD};
        update reveille.cooldown set until = until - 29 where {TOLD};
        update reveille.run set scenarios = jsonb_set(scenarios, '{{inactivity,cooldown_days}}', '1')
         where run_id = {FIRST}""")),
    ("I3", "somebody was told twice within the cooldown",
     "told again on", damaged(f"""
        insert into reveille.notification(user_id, scenario_type, evaluation_date,
            cooldown_window_start, cooldown_days, slice_no, run_id, created_at)
        select n.user_id, n.scenario_type, r.evaluation_date, r.dispatch_date, 30, n.slice_no,
               r.run_id, n.created_at
          from reveille.notification n join reveille.run r on r.run_id = {SECOND} where {TOLD}"""),
     {"I2"}),
    ("I3", "a notification bears another day than its run",
     "its dates are", damaged(
        f"update reveille.notification set evaluation_date = evaluation_date - 1 where {TOLD}")),
    ("I3", "a cooldown is gone",
     "no cooldown, or another", damaged(f"delete from reveille.cooldown where {TOLD}")),
    ("I3", "a cooldown stands for nothing",
     "a cooldown that no notification explains", damaged(f"""
        insert into reveille.cooldown(user_id, about_id, scenario_type, until)
            values (gen_random_uuid(), gen_random_uuid(), 'inactivity', current_date)""")),
    ("I3", "a notification is not in the outbox",
     "notifications to send", damaged(
        f"delete from reveille.outbox where {TOLD}")),
    ("I3", "a notification is in the outbox twice",
     "2 times in the outbox", damaged(f"""
        insert into reveille.outbox(cooldown_window_start, user_id, scenario_type, about_id)
        select cooldown_window_start, user_id, scenario_type, about_id from reveille.outbox
         where {TOLD}""")),
    ("I4", "two runs of a job were active at a time",
     "was active", damaged(f"""
        update reveille.run set started_at = (select finished_at - interval '1 us' from reveille.run
            where run_id = {FIRST}) where run_id = {SECOND}""")),
    ("I4", "a slot had two runs",
     "a second run of the slot", damaged("""
        drop index reveille.run_slot;
        update reveille.run set slot = '2026-01-01 06:00+00' where job_name <> 'drill'""")),
    ("I5", "the committed offset has passed an undone slice",
     "has passed it", damaged(f"""
        {WITHOUT_CHECK} update reveille.slice
            set state = 'pending', moved_at = now() - interval '1 h', published_offset = 0
         where run_id = {DRILL} and slice_no = 2;
        update reveille.run set state = 'running', finished_at = null where run_id = {DRILL}"""),
     {"I6"}),
    ("I6", "a run is still open",
     "still running", damaged(
        f"update reveille.run set state = 'running', finished_at = null where run_id = {SECOND}")),
    ("I6", "a request waits",
     "still waits", damaged(
        "insert into reveille.trigger_request(job_name, source) values ('drill', 'manual'); "
        "update reveille.job set paused_at = null")),
    ("I6", "the group lags behind",
     "a lag of", stranger),
    ("I7", "a log tells a secret",
     "tells the secret operator", said(lambda copy: "key " + copy.world.secret("operator"))),
    ("I7", "a log tells a user's id",
     "tells the user's id", said(
        lambda copy: copy.sql("select user_id::text from public.peer_mentors limit 1")[0][0])),
    ("I7", "a log shows a stack",
     "stack trace", said(lambda _: "    #1 0x55d0c0ffee in settle worker/settle.c:1")),
    ("I7", "a sanitizer complains",
     "runtime error", said(lambda _: "x.c:1:2: runtime error: load of misaligned")),
    ("I8", "a process grows",
     "rss_kb grew", leaking),
    ("I8", "a worker keeps threads",
     "threads grew", threads_left),
    ("I9", "more calls in flight than the limit",
     "are allowed", narrower),
    ("I10", "a deadlock",
     "1 deadlocks", deadlock),
    ("I11", "somebody was asked about twice",
     "asked about", failed_twice),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: f"{d[0]}-{d[1].replace(' ', '_')}")
def test_r_d4_one_damaged_fact_fails_exactly_what_it_belongs_to(copy, damage):
    name, _, says, do, *also = damage
    do(copy)
    found = {one: what for one, what in copy.checked().items() if what}
    assert set(found) == {name}.union(*also), found
    assert any(says in str(one) for one in found[name]), found[name]


def test_every_invariant_has_a_damage():
    assert {damage[0] for damage in DAMAGES} == {f"I{n}" for n in range(1, 12)}


def test_a_failure_ends_with_1_and_says_where(copy):
    narrower(copy)
    copy.sql(f"update reveille.slice set dispatched = dispatched + 1 where {SLICE}")
    done = command(*copy.arguments())
    assert done.returncode == 1
    failed = {one["name"]: one["violations"] for one in json.loads(done.stdout)["invariants"]
              if not one["holds"]}
    assert set(failed) == {"I2", "I9"}
    assert {(one["run"] is not None, one["slice"], one["subject"]) for one in failed["I2"]} == {
        (True, 2, None)}
    copy.more = ["--limit", "1"]
    words = command(*[one for one in copy.arguments() if one != "--json"]).stdout
    assert re.search(r"^I2  FAILS \d+ times: .*\n +dispatched is \d+, counted \d+ "
                     r"\(run \S+, slice 2\)$", words, re.M), words


def test_the_checker_says_when_it_cannot_look(copy):
    url = copy.cluster.postgres.url
    for bootstrap, database in (("127.0.0.1:1", copy.name), (copy.world.kafka, "nowhere")):
        done = command("--database", url(database=database), "--engine-log", copy.log, "--bootstrap",
                       bootstrap, "--topic-prefix", "p", "--group", "g", "--outputs", copy.outputs)
        assert done.returncode == 2 and done.stderr.startswith("cannot look: "), done.stderr
    assert command("--database").returncode == 2
