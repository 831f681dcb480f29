"""One test's world: a database, topics, a scripted engine, and the programs the test starts.

Whatever a world starts it stops, also when the test fails or Ctrl-C comes, and then it looks at all
that was said: no sanitizer's complaint, no secret, no user's id (outputs.py).
"""

import contextlib
import dataclasses
import http.client
import json
import os
import subprocess
import time
import uuid
from pathlib import Path

import psycopg2
import psycopg2.extras

import outputs
from contract import Contract
from parts import ENGINE_PROGRAMS, PROGRAMS, free_port
from stack import programs
from stack.database import OPERATOR, PRODUCER, WORKER
from stack.layout import Layout
from stack.net import http_request

POLL_SECONDS = 0.03
RUN_SECONDS = 90   # for a run's end: a busy machine, and a takeover may be in it
JOB = "scenario_scheduler"


def until(condition, seconds, what):
    """The first true value of condition(); fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(POLL_SECONDS)
    return value


class Database:
    """The test's own eyes: a superuser's link, each statement its own transaction. A link that was
    lost (the server was restarted) is made anew at the next statement."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self._link = None

    def rows(self, sql, *values):
        """What the statement returns, as named tuples; [] if it returns nothing."""
        try:
            return self._rows(sql, values)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            if self._link is None or not self._link.closed:
                raise
            return self._rows(sql, values)

    def _rows(self, sql, values):
        if self._link is None or self._link.closed:
            self._link = self.cluster.connect(self.name)
            self._link.autocommit = True
            psycopg2.extras.register_uuid(conn_or_curs=self._link)
        with self._link.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def row(self, sql, *values):
        rows = self.rows(sql, *values)
        assert len(rows) == 1, f"{len(rows)} rows: {sql}"
        return rows[0]

    def value(self, sql, *values):
        return self.row(sql, *values)[0]

    def url(self, role):
        return self.cluster.url(role, self.name)

    @contextlib.contextmanager
    def transaction(self, sql, *values):
        """A second link that has executed this, and holds its locks until the end of the block."""
        link = self.cluster.connect(self.name)
        try:
            with link.cursor() as cursor:
                cursor.execute(sql, values or None)
            yield
        finally:
            link.close()

    def close(self):
        if self._link is not None:
            self._link.close()


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    bytes: bytes

    @property
    def type(self):
        return self.headers.get("Content-Type", "").split(";")[0]

    @property
    def json(self):
        return json.loads(self.bytes)


@dataclasses.dataclass
class Done:
    """How the CLI ended."""
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class World:
    """Parts are started by methods: mentors, start_engine, start_producer, start_workers.
    binaries: where the producer and the workers are, if not where all are."""

    def __init__(self, folder, cluster, brokers, database=None, binaries=PROGRAMS):
        self.layout = Layout(folder)
        self.layout.create()
        programs.create_secrets(self.layout)
        self.cluster = cluster
        self.brokers = brokers
        self.kafka, self.prefix = brokers.take()
        self.db = Database(cluster, database or cluster.new())
        self.contract = Contract()
        self.binaries = binaries
        self.programs = {}     # name → programs.Program, in the order of their start
        self.engine = None
        self.said = []         # what the CLI and HTTP said
        self.engine_port = free_port()
        self.producer_port = free_port()

    # --- the roster

    def mentors(self, eligible, others=0):
        """Adds mentors with random ids; returns the eligible ones' ids as a set of strings.
        `others` are paused, deactivated and without an active assignment, in turn."""
        kinds = ["active"] * eligible
        kinds += [("paused", "deactivated", "unassigned")[n % 3] for n in range(others)]
        rows = [(str(uuid.uuid4()), str(uuid.uuid4()), kind) for kind in kinds]
        self.db.rows("""
            with x as materialized (
                select * from unnest(%s::uuid[], %s::uuid[], %s::text[]) x(id, u, kind)),
            m as (insert into public.peer_mentors(id, user_id, status)
                  select id, u, case kind when 'unassigned' then 'active' else kind end from x)
            insert into public.assignments(peer_mentor_id, status)
            select id, case kind when 'unassigned' then 'completed' else 'active' end from x""",
                     *[list(column) for column in zip(*rows)])
        return {row[0] for row in rows[:eligible]}

    # --- programs

    def start_engine(self, latency=2, due=1, failures=0, arguments=()):
        self.engine = Engine(self, latency, due, failures, arguments)
        return self.engine

    def start_producer(self, name="producer", wait=True, **environment):
        """Another name than the first: one more, at an address of its own."""
        port = self.producer_port if name == "producer" else free_port()
        return self._start(programs.producer(
            self.layout, name, self.binaries, f"127.0.0.1:{port}", self.db.url(PRODUCER),
            self.environment(environment)), wait)

    def start_workers(self, count=1, first=1, wait=True, **environment):
        """All at once, so that one rebalance is enough; returns them in order."""
        workers = [programs.worker(self.layout, f"worker-{first + n}", self.binaries,
                                   self.engine_url, self.db.url(WORKER),
                                   self.environment(environment))
                   for n in range(count)]
        for worker in workers:
            self._start(worker, wait=False)
        for worker in workers if wait else ():
            worker.wait_ready()
        return workers

    @property
    def engine_url(self):
        return f"http://127.0.0.1:{self.engine_port}/evaluate"

    def environment(self, more=None):
        return {**self.brokers.environment, "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
                "KAFKA_TOPIC_PREFIX": self.prefix, "LOG_LEVEL": "debug", **(more or {})}

    def _start(self, program, wait):
        self.programs[program.name] = program
        program.start()
        if wait:
            program.wait_ready()
        return program

    # --- asking

    def secret(self, name):
        """One of stack.programs.SECRETS."""
        return (self.layout.secret / name).read_text(encoding="utf-8").strip()

    def http(self, method, path, body=None, secret="operator", headers=None, seconds=40,
             program="producer"):
        """A request to a producer, with the secret of that name (None: without one). Its answer has
        been held against openapi.yaml."""
        sent = dict(headers or {})
        if secret is not None:
            sent.setdefault("X-Scheduler-Secret", self.secret(secret))
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        link = http.client.HTTPConnection(self.programs[program].address(), timeout=seconds)
        try:
            link.request(method, path, body, sent)
            response = link.getresponse()
            answer = Answer(response.status, dict(response.headers.items()), response.read())
        finally:
            link.close()
        self.said.append(answer.bytes.decode(errors="replace"))
        wrong = self.contract.check(method, path, answer)
        assert not wrong, f"{method} {path}: {answer.status}: {'; '.join(wrong)}"
        return answer

    def cli(self, *words, role=OPERATOR, **environment):
        """`reveille WORDS`, as a user would call it; a variable that is None is not set."""
        variables = {name: os.environ.get(name) for name in programs.INHERITED}
        variables |= {"DATABASE_URL": self.db.url(role), **environment}
        done = subprocess.run(
            [str(PROGRAMS / "reveille"), *map(str, words)], text=True, capture_output=True,
            check=False, timeout=RUN_SECONDS,
            env={name: value for name, value in variables.items() if value is not None})
        self.said += [done.stdout, done.stderr]
        return Done(done.returncode, done.stdout, done.stderr)

    # --- runs

    def ask(self, job=JOB, secret="operator", **params):
        """A run by hand over HTTP; returns its id, or fails if it is not there at once."""
        params = params or {"shadow": False}
        answer = self.http("POST", f"/v1/jobs/{job}/runs", params, secret)
        assert answer.status in (200, 202) and answer.json["run_id"], answer.bytes
        return answer.json["run_id"]

    def state(self, run):
        return self.db.value("select state from reveille.run where run_id = %s", run)

    def open_runs(self):
        return [str(row.run_id) for row in self.db.rows(
            "select run_id from reveille.run where state in ('planning', 'running')")]

    def ended(self, run, seconds=RUN_SECONDS):
        """Waits for the run's end; returns its summary."""
        until(lambda: self.state(run) not in ("planning", "running"), seconds,
              f"run {run} has ended")
        return self.summary(run)

    def summary(self, run):
        return self.db.value("select reveille.summary(%s)", run)

    def slices(self, run):
        return self.db.rows("select * from reveille.slice where run_id = %s order by slice_no", run)

    def claimed_by(self, worker, run):
        """The pending slices that this worker holds."""
        return [s for s in self.slices(run) if s.state == "pending"
                and f":{worker.daemon.pid()}:" in (s.claimed_by or "")]

    def settled_by(self, pid, run):
        """The slices settled by the worker with this process id."""
        return [s for s in self.slices(run) if s.state == "done" and f":{pid}:" in s.worker]

    def metrics(self, program):
        """What a worker or producer says at /metrics: {series as it stands there: number}."""
        status, text = http_request("GET", f"http://{program.address()}/metrics")
        assert status == 200, text
        self.said.append(text)
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in text.splitlines() if line and not line.startswith("#")}

    def metric(self, program, series):
        return self.metrics(program).get(series, 0)

    # --- what was said

    def events(self, name=None, program=None):
        """The log events of all programs, or of one; `name`: only these events."""
        found = []
        for one in [program] if program else self.programs:
            found += outputs.events(self.programs[one].daemon.log)
        return [event for event in found if name in (None, event["event"])]

    def tails(self):
        """(heading, last lines) of each program's log, for a failed test's report."""
        return [(f"log of {name}", program.daemon.log_tail(30))
                for name, program in self.programs.items()]

    # --- the end

    def close(self):
        """Stops everything. Returns what is wrong with how it ended or with what was said."""
        alive = [p for p in self.programs.values() if p.daemon.alive()]
        for program in alive:
            program.daemon.ask_to_end()
        wrong = [f"{program.name} did not end by itself" for program in alive
                 if not ends(program.daemon)]
        if self.engine is not None:
            self.engine.stop()
        wrong += outputs.complaints(self)
        self.db.close()
        self.cluster.drop(self.db.name)
        return wrong


def ends(daemon, seconds=30):
    """Whether a program that was asked to ends by itself; if not, it is killed. One that has left
    main and is being looked through for leaks has ended: LeakSanitizer, which traces all threads
    for that, now and then waits for ever for one that was just going."""
    pid = daemon.pid()
    deadline = time.monotonic() + seconds
    while daemon.alive() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if not daemon.alive():
        return daemon.wait_ended()
    traced = any(line.startswith("TracerPid:") and line.split()[1] != "0"
                 for status in Path("/proc", str(pid), "task").glob("*/status")
                 for line in status.read_text(encoding="utf-8").splitlines())
    stopped = [event["event"] for event in outputs.events(daemon.log)][-1:] == ["process_stopped"]
    daemon.kill()
    return traced and stopped


class Engine:
    """The scripted engine of a world: started, told, asked. `calls` reads its log file, which all
    its incarnations append to."""

    def __init__(self, world, latency, due, failures, arguments):
        self._program = programs.engine(world.layout, ENGINE_PROGRAMS, world.engine_port, latency,
                                        due, failures, arguments)
        self._address = f"127.0.0.1:{world.engine_port}"
        self.log = world.layout.log / "engine-calls.log"
        self._before = self._lines()    # of its earlier incarnations
        self._program.start()
        self._program.wait_ready()

    def stop(self):
        self._program.stop()

    def stats(self):
        return self._ask("GET", "/stats")

    def control(self, **change):
        self._ask("POST", "/control", json.dumps(change))

    def calls(self):
        """Every call that has ended, as Call."""
        flushed = self.stats()
        until(lambda: self._lines() - self._before >= flushed["requests"] - flushed["in_flight"], 5,
              "the engine has written its log")
        return [Call.read(line) for line in self.log.read_text().splitlines()]

    def _lines(self):
        return self.log.read_text().count("\n") if self.log.exists() else 0

    def _ask(self, method, path, body=None):
        link = http.client.HTTPConnection(self._address, timeout=10)
        try:
            link.request(method, path, body)
            text = link.getresponse().read()
            return json.loads(text) if text.strip() else None
        finally:
            link.close()


@dataclasses.dataclass(frozen=True)
class Call:
    """A line of the scripted engine's log (tests/support/scripted_engine_calls.h)."""
    at_us: int
    mentor: str
    key: str
    status: int
    types: str
    in_flight: int
    action: str

    @classmethod
    def read(cls, line):
        at, mentor, key, status, types, in_flight, action = line.split(" ")
        return cls(int(at), mentor, key, int(status), types, int(in_flight), action)

    @property
    def day(self):
        return self.key.split("/")[1]
