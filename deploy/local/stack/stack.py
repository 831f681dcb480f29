"""A whole local stack: PostgreSQL, broker, scripted engine, producers and workers in one folder.

A stack is described by its Plan, kept in DIR/stack.json: the options it was asked for, and the
addresses chosen for it, so that another command finds it, and what is started again comes back at
its old address. What runs at the moment is not in the plan but in DIR/run.
"""

import dataclasses
import json
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

from . import programs
from .broker import EmbeddedBroker, Kafka, RunningBroker
from .build import PROGRAMS, RELEASE, missing
from .daemon import Daemon
from .database import NAME, OPERATOR, PRODUCER, WORKER, Database
from .kafka_jars import DEFAULT_VERSION
from .layout import Layout, StackError
from .net import free_port
from .postgres import Postgres, closed_to
from .roster import load_roster

ENGINES = ("http", "sql", "dynamics", "noop")  # each has its topic
PARTITIONS = 12                                # reveille.engine.topic_partitions of a new database
DEFAULT_PREFIX = "reveille.slices"
NAMES = re.compile(r"postgres|broker|engine|producer(-[1-9][0-9]?)?|worker-[1-9][0-9]?")

# A crashed worker is noticed after 6 s, the least that a broker's default allows, instead of 10 s.
KAFKA_ENVIRONMENT = {"KAFKA_SESSION_TIMEOUT_MS": "6000", "KAFKA_HEARTBEAT_INTERVAL_MS": "1000"}
# The embedded broker answers a fetch only when its wait is over, and is back at once or never.
EMBEDDED_ENVIRONMENT = {"KAFKA_FETCH_WAIT_MAX_MS": "20", "KAFKA_RECONNECT_BACKOFF_MAX_MS": "1000"}


@dataclasses.dataclass
class Options:
    """What a stack is asked to be."""

    mentors: int = 500           # eligible ones; a fifth more are not
    workers: int = 2
    broker: str = "embedded"     # or "kafka", or "running": the one at KAFKA_BOOTSTRAP_SERVERS
    kafka_version: str = DEFAULT_VERSION
    engine_latency: int = 20     # milliseconds
    engine_failures: float = 0   # share of mentors
    due: float = 1               # share of mentors
    engine_arguments: list = dataclasses.field(default_factory=list)  # more for the engine
    environment: dict = dataclasses.field(default_factory=dict)  # more for producer and workers


@dataclasses.dataclass
class Plan:
    """Options, and what was chosen for them: all that another command needs to know."""

    options: Options
    programs: str
    postgres_home: str
    postgres_port: int
    broker_port: int
    controller_port: int
    engine_port: int
    producer_ports: dict
    topic_prefix: str
    running_broker: dict  # the caller's KAFKA_* when the broker is somebody else's

    @classmethod
    def new(cls, layout, options, folder):
        running = {}
        prefix = DEFAULT_PREFIX
        if options.broker == "running":
            running = {key: value for key, value in os.environ.items() if key.startswith("KAFKA_")}
            # Other stacks may use the same broker; the topics stay there when this one goes.
            own = f"reveille.local-{secrets.token_hex(4)}.slices"
            prefix = running.pop("KAFKA_TOPIC_PREFIX", own)
        return cls(options=options, programs=str(folder), postgres_home=str(_cluster_home(layout)),
                   postgres_port=free_port(), broker_port=free_port(),
                   controller_port=free_port(), engine_port=free_port(),
                   producer_ports={"producer": free_port()}, topic_prefix=prefix,
                   running_broker=running)

    @classmethod
    def read(cls, path):
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**raw, "options": Options(**raw["options"])})

    def write(self, path):
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")
        draft.rename(path)


def _cluster_home(layout):
    """Where the cluster goes: into the stack's folder, unless its user cannot get there (root's
    own home is closed to the user postgres)."""
    if os.geteuid() == 0 and closed_to("postgres", layout.folder) is not None:
        return tempfile.mkdtemp(prefix="reveille-", dir="/var/tmp")
    return layout.postgres


class Stack:
    """Stack.up(…) starts a new one, Stack.open(…) finds one that was started; start() and down().
    The parts are there for tests: postgres, database, broker, engine, program(name)."""

    def __init__(self, layout, plan):
        self.layout = layout
        self.plan = plan
        self.folder = Path(plan.programs)
        self.postgres = Postgres(layout, home=plan.postgres_home, port=plan.postgres_port)
        self.database = Database(self.postgres)
        self.broker = self._make_broker()
        self.engine_url = f"http://127.0.0.1:{plan.engine_port}"

    # --- the verbs

    @classmethod
    def up(cls, folder, options, programs_folder=RELEASE, say=lambda text: None):
        """Start a new stack in `folder` and return it when its workers hold their partitions. If
        anything fails, all that was started is stopped, and only the logs are left."""
        absent = missing(programs_folder)
        if absent:
            raise StackError(f"{absent[0]} is not built: cmake --preset release && "
                             f"cmake --build --preset release --target {' '.join(PROGRAMS)}")
        layout = Layout(folder)
        layout.check()
        with layout.locked():
            if layout.status.exists():
                cls._clear_leftovers(layout, say)
            layout.create()
            stack = cls(layout, Plan.new(layout, options, programs_folder))
            stack.plan.write(layout.status)
            try:
                stack._start_all(say)
            except BaseException:  # Ctrl-C too
                stack._end(say, keep_logs=True)
                raise
        return stack

    @classmethod
    def open(cls, folder):
        """The stack that was started in `folder`."""
        layout = Layout(folder)
        if not layout.status.exists():
            raise StackError(f"no stack in {layout.folder}: start one with deploy/local/up")
        return cls(layout, Plan.read(layout.status))

    def start(self, name, **engine_options):
        """Start NAME: again at the same address if it was stopped, killed, or still runs; a worker
        or producer that was not there before is one more. Returns when it is ready.
        `engine_options`: engine_latency, engine_failures, due, engine_arguments."""
        if not NAMES.fullmatch(name):
            raise StackError(f"{name} is none of: postgres broker engine producer[-N] worker-N")
        if engine_options and name != "engine":
            raise StackError(f"{', '.join(engine_options)}: options of the engine only")
        with self.layout.locked():
            if name in ("postgres", "broker"):
                getattr(self, name).restart()
                return
            if name != "engine":
                self._check_needs(name)
            if name.startswith("producer"):
                self.plan.producer_ports.setdefault(name, free_port())
            self.plan.options = dataclasses.replace(self.plan.options, **engine_options)
            self.plan.write(self.layout.status)
            program = self.program(name)
            program.stop()
            program.start()
            program.wait_ready()

    def down(self, say=lambda text: None, keep_logs=False):
        """Stop everything and delete the stack's files."""
        with self.layout.locked():
            self._end(say, keep_logs)

    def _check_needs(self, name):
        """Our programs wait for what they need, but nobody could start it while we wait."""
        needs = ["postgres"] if self.plan.options.broker == "running" else ["postgres", "broker"]
        for need in needs:
            if not Daemon(self.layout, need).alive():
                raise StackError(f"{name} needs {need}, which does not run: first "
                                 f"deploy/local/start {need}")

    # --- the parts

    def program(self, name):
        """The producer, worker or engine NAME, running or not, as programs.Program."""
        options = self.plan.options
        if name == "engine":
            return programs.engine(self.layout, self.folder, self.plan.engine_port,
                                   options.engine_latency, options.due, options.engine_failures,
                                   options.engine_arguments)
        environment = {**self._kafka_environment(), **options.environment}
        if name.startswith("producer"):
            return programs.producer(self.layout, name, self.folder, self._producer_address(name),
                                     self.database.url(PRODUCER), environment)
        return programs.worker(self.layout, name, self.folder, f"{self.engine_url}/evaluate",
                               self.database.url(WORKER), environment)

    @property
    def engine(self):
        return self.program("engine")

    def running(self):
        """The names of what runs, in the order in which it is to be stopped."""
        order = {"worker": 0, "producer": 1, "engine": 2, "broker": 3, "postgres": 4}
        names = [path.stem for path in self.layout.run.glob("*.pid")]
        alive = [name for name in names if Daemon(self.layout, name).alive()]
        return sorted(alive, key=lambda name: (order.get(name.split("-")[0], 0), name))

    def secret(self, name):
        """One of programs.SECRETS."""
        return (self.layout.secret / name).read_text(encoding="utf-8").strip()

    def exports(self):
        """The variables of the public interface, for a shell or for a test's subprocesses."""
        variables = {
            "DATABASE_URL": self.database.url(OPERATOR),
            "REVEILLE_URL": f"http://{self._producer_address('producer')}",
            "SCHEDULER_SECRET": self.secret("scheduler"),
            "OPERATOR_SECRET": self.secret("operator"),
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
            "TRIGGER_ENGINE_URL": f"{self.engine_url}/evaluate",
            "ENGINE_STATS_URL": f"{self.engine_url}/stats",
        }
        if self.plan.topic_prefix != DEFAULT_PREFIX:
            variables["KAFKA_TOPIC_PREFIX"] = self.plan.topic_prefix
        return variables

    def tcp_url(self, role=OPERATOR):
        """The database over 127.0.0.1 with a password, where DATABASE_URL is the socket."""
        return self.postgres.tcp_url(role, self.secret("database"), NAME)

    # --- inside

    def _start_all(self, say):
        options = self.plan.options
        programs.create_secrets(self.layout)
        say(f"PostgreSQL in {self.postgres.home}")
        self.postgres.create(NAME)
        self.postgres.start()
        self.database.create(self.secret("database"), self.folder / "reveille")
        say(f"{options.mentors} eligible mentors, and {options.mentors // 5} who are not")
        load_roster(self.database, options.mentors)
        say(self.broker.about)
        self.broker.start()
        names = ["producer", *(f"worker-{number + 1}" for number in range(options.workers))]
        say(f"scripted engine, {', '.join(names)}: until the workers hold their partitions")
        # All at once: one rebalance, and each waits for what it needs.
        started = [self.program(name) for name in ("engine", *names)]
        for program in started:
            program.start()
        for program in started:
            program.wait_ready()

    def _end(self, say, keep_logs=False):
        names = self.running()
        if names:
            say(f"stopping {', '.join(names)}")
        daemons = [Daemon(self.layout, name) for name in names
                   if name not in ("postgres", "broker")]
        for daemon in daemons:
            daemon.ask_to_end()
        for daemon in daemons:
            if not daemon.wait_ended():
                say(f"{daemon.name} did not end by itself and was killed")
        self.broker.stop()
        self.postgres.stop()
        if Path(self.plan.postgres_home) != self.layout.postgres:
            shutil.rmtree(self.plan.postgres_home, ignore_errors=True)
        if self.layout.remove(keep_logs):
            say(f"what they logged stays in {self.layout.log}")

    @classmethod
    def _clear_leftovers(cls, layout, say):
        """What is left of a stack whose processes have all ended, as when the machine restarts."""
        stack = cls.open(layout.folder)
        if stack.running():
            raise StackError(f"a stack runs in {layout.folder} ({', '.join(stack.running())}): "
                             "stop it with deploy/local/down, or name another folder in "
                             "REVEILLE_LOCAL")
        say(f"removing what an earlier stack left in {layout.folder}")
        stack._end(say)

    def _make_broker(self):
        plan = self.plan
        if plan.options.broker == "running":
            return RunningBroker(plan.running_broker["KAFKA_BOOTSTRAP_SERVERS"],
                                 security="KAFKA_SECURITY_PROTOCOL" in plan.running_broker)
        if plan.options.broker == "kafka":
            return Kafka(self.layout, plan.options.kafka_version, plan.broker_port,
                         plan.controller_port)
        topics = {f"{plan.topic_prefix}.{engine}": PARTITIONS for engine in ENGINES}
        return EmbeddedBroker(self.layout, self.folder / "reveille-embedded-broker", topics,
                              plan.broker_port)

    def _kafka_environment(self):
        environment = {**KAFKA_ENVIRONMENT, "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
                       "KAFKA_TOPIC_PREFIX": self.plan.topic_prefix}
        if self.plan.options.broker == "embedded":
            environment.update(EMBEDDED_ENVIRONMENT)
        return {**environment, **self.plan.running_broker}

    def _producer_address(self, name):
        return f"127.0.0.1:{self.plan.producer_ports[name]}"
