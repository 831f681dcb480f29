"""What the checker goes by: the rows of one instant, and the engine's own log. Reads, judges nothing.

Of Reveille's schema it reads tables, never a function or a view: the sums that are to be judged are
made elsewhere, from these facts.
"""

import bisect
from collections import defaultdict
from dataclasses import dataclass, field

import psycopg2
import psycopg2.extras

NIL = "00000000-0000-0000-0000-000000000000"
OPEN = ("planning", "running")

# Times as seconds since 1970, to be held against the engine's clock; ids as text.
RUNS = """
select r.run_id::text as id, r.job_name, j.engine, j.source, r.state, r.slot, r.scenarios, r.shadow,
       r.evaluation_date, r.dispatch_date, r.replay_of::text, r.selection, r.slices, r.planned,
       r.totals, extract(epoch from r.started_at)::float8 as started,
       extract(epoch from r.finished_at)::float8 as finished
  from reveille.run r join reveille.job j using (job_name) order by r.started_at, r.run_id"""
SLICES = """
select run_id::text as run, slice_no as no, subject_ids::text[] as subjects,
       skipped_ids::text[] as skipped_ids, topic, partition, state, attempt, published_offset,
       evaluated, skipped, errors, unreached, dispatched, suppressed, by_scenario, worker,
       extract(epoch from done_at)::float8 as done,
       extract(epoch from clock_timestamp() - moved_at)::float8 as unmoved
  from reveille.slice order by run_id, slice_no"""
ERRORS = """
select run_id::text as run, slice_no, subject_id::text as subject, error_class, error_message
  from reveille.subject_error"""
NOTIFICATIONS = """
select run_id::text as run, slice_no, user_id::text as user, scenario_type as scenario,
       about_id::text as about, evaluation_date, cooldown_window_start as start, cooldown_days as days,
       external, extract(epoch from created_at)::float8 as created
  from reveille.notification"""
COOLDOWNS = """
select user_id::text as user, scenario_type as scenario, about_id::text as about, until
  from reveille.cooldown"""
OUTBOX = """
select user_id::text as user, scenario_type as scenario, about_id::text as about,
       cooldown_window_start as start from reveille.outbox"""
LOGGED = """
select run_id::text as run, status from reveille.scheduler_execution_log where run_id is not null"""
WAITING = """
select t.id, t.job_name from reveille.trigger_request t join reveille.job j using (job_name)
 where t.state = 'pending' and j.paused_at is null"""
# The roster by the rule of the requirement, on the host's tables, wherever they are.
MENTORS = """
select m.id::text, m.user_id::text as user, m.status = 'active' and exists (
           select from {assignments} a where a.peer_mentor_id = m.id and a.status = 'active')
       as eligible
  from {peer_mentors} m"""
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


@dataclass(frozen=True)
class Call:
    """A line of the scripted engine's log (tests/support/scripted_engine_calls.h)."""
    at: float           # when it had arrived, seconds since 1970
    mentor: str
    key: str
    status: int         # 0: the client got no whole answer
    types: tuple        # scenario types asked for, sorted
    in_flight: int
    action: str         # what the engine meant to do

    @classmethod
    def read(cls, line):
        at, mentor, key, status, types, in_flight, action = line.split(" ")
        return cls(int(at) / 1e6, mentor, key, int(status), tuple(sorted(types.split(","))),
                   int(in_flight), action)

    @property
    def good(self):
        """Whether a client that got this answer has a judgement."""
        return self.status == 200 and self.verb in (
            "dispatch", "dispatched", "suppress", "none", "slow-drip", "two-decisions")

    @property
    def refused(self):
        """Whether the engine would not judge: that is nobody's own fault, and is tried again. What a
        client did not wait for (status 0 of another action) is neither good, refused nor wrong."""
        return self.status == 429 or self.status >= 500 or self.verb in ("hang", "reset")

    @property
    def wrong(self):
        """Whether it was an answer that no judgement can be read from."""
        return self.status > 0 and not self.good and not self.refused

    @property
    def verb(self):
        return self.action.partition(":")[0]

    @property
    def told(self):
        """What stands behind the action's colon: a reason, or an about_id."""
        return self.action.partition(":")[2]


def read_calls(paths):
    """The calls of all files in the order of their arrival. A last line without its end was being
    written: it is not there yet."""
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        found += [Call.read(line) for line in text.split("\n")[:-1]]
    return sorted(found, key=lambda call: call.at)


@dataclass
class Facts:
    """All of one instant. Lists of named tuples as above; by run where that is how it is used."""
    runs: list
    slices: dict                # run → its slices, in order
    errors: dict                # run → {subject: its row}
    notifications: list
    cooldowns: list
    outbox: list
    logged: dict                # run → statuses in the execution log
    waiting: list
    users: dict                 # mentor → user
    roster: set                 # mentors who are eligible now
    deadlocks: int
    calls: list
    _asked: dict = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self):
        for call in self.calls:
            self._asked[address_of(call)].append(call)
        self.told = defaultdict(list)       # (user, scenario, about) → notifications
        self.by_slice = defaultdict(list)   # (run, slice) → notifications
        for n in self.notifications:
            self.told[n.user, n.scenario, n.about].append(n)
            self.by_slice[n.run, n.slice_no].append(n)

    def ended(self):
        """Runs that have ended, and whose slices have all got an outcome."""
        return [run for run in self.runs if run.state not in OPEN
                and all(s.state != "pending" for s in self.slices[run.id])]

    def calls_for(self, run, subject, until):
        """The calls about a subject that this run may have made by then, in order: those of its day
        and key since it started. (A replay, or a run after it, has the same key at another time.)"""
        calls = self._asked.get((run.job_name, str(run.evaluation_date), types_of(run), run.shadow,
                                 subject), [])
        return calls[bisect.bisect_left(calls, run.started, key=_at):
                     bisect.bisect_right(calls, until, key=_at)]


def _at(call):
    return call.at


def types_of(run):
    return tuple(sorted(run.scenarios))


def address_of(call):
    """(job, day, types, shadow, subject) that a call's key names; None: it is no key of ours."""
    words = call.key.split("/")
    shadow = words[4:] == ["dry-run"]
    if len(words) != 4 + shadow or words[3] != call.mentor:
        return None
    return words[0], words[1], call.types, shadow, words[3]


def read_facts(url, logs):
    """The rows first, in one snapshot; then the log, which lags behind by up to 50 ms and so has at
    least what the rows rest on when nothing is under way."""
    link = psycopg2.connect(url)
    try:
        link.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with link.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor:
            rows = _Reader(cursor)
            tables = {row.name: row.rel for row in rows("select name, rel from reveille.host_table")}
            mentors = rows(MENTORS.format(**tables))
            facts = {
                "runs": rows(RUNS), "slices": _grouped(rows(SLICES)),
                "errors": _by_subject(rows(ERRORS)), "notifications": rows(NOTIFICATIONS),
                "cooldowns": rows(COOLDOWNS), "outbox": rows(OUTBOX),
                "logged": _grouped(rows(LOGGED)), "waiting": rows(WAITING),
                "users": {m.id: m.user for m in mentors},
                "roster": {m.id for m in mentors if m.eligible},
                "deadlocks": rows(DEADLOCKS)[0].deadlocks}
    finally:
        link.close()
    return Facts(**facts, calls=read_calls(logs))


class _Reader:
    def __init__(self, cursor):
        self._cursor = cursor

    def __call__(self, sql):
        self._cursor.execute(sql)
        return self._cursor.fetchall()


def _grouped(rows):
    found = defaultdict(list)
    for row in rows:
        found[row.run].append(row)
    return found


def _by_subject(rows):
    found = defaultdict(dict)
    for row in rows:
        found[row.run][row.subject] = row
    return found
