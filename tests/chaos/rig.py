"""A world under attack: a PostgreSQL and a broker of its own, and Toxiproxy in each of the links
programs → PostgreSQL, programs → broker, workers → engine.

It starts the parts, has the verbs to hurt each of them and to make all of them whole again, and
waits for quiet. What is hurt when is the nemesis's (nemesis.py); whether all was well, the
checker's. Built on the flow tests' World: everything that is there (mentors, ask, http, cli, db …)
is here. The rig's own eyes and the CLI do not go through the proxies.

    with Rig(folder, "kafka", workers=4) as rig:
        rig.begin(mentors=2000)
        run = rig.ask()
        rig.kill("worker-2"); rig.links["postgres"].half_open(); …
        rig.heal()
        rig.quiet()
"""

import os
import re
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Release programs, unless somebody chooses others: what is attacked is what is shipped.
os.environ.setdefault("REVEILLE_FLOW_PROGRAMS", str(ROOT / "build" / "release" / "bin"))
sys.path.insert(0, str(ROOT / "tests" / "flow"))

from parts import (  # noqa: E402
    Cluster, EMBEDDED_ENVIRONMENT, EmbeddedBroker, ENGINES, free_port, Kafka, KAFKA_ENVIRONMENT,
    Layout, PROGRAMS)
from world import Engine, JOB, POLL_SECONDS, until, World  # noqa: E402
from stack.database import PRODUCER, WORKER        # noqa: E402

import checker_kafka                               # noqa: E402
import kafka_topic                                 # noqa: E402
from disk import SmallDisk                         # noqa: E402
from toxiproxy import Toxiproxy                    # noqa: E402

PARTITIONS = 12         # as in production: every worker has some
LIMIT = 10              # calls at a time: reveille.engine's concurrency of a new database
PREFIX = "chaos.slices"
QUIET_SECONDS = 120     # from the heal to the end of all runs; a ring's back-off is in it


class ChaosCluster(Cluster):
    """The programs come by TCP, through a proxy; everybody else by the socket."""

    def __init__(self, folder):
        super().__init__(folder)
        self.proxy = None
        self.password = None

    def url(self, role, name):
        if role not in (PRODUCER, WORKER):
            return super().url(role, name)
        return f"postgresql://{role}:{self.password}@{self.proxy.address}/{name}"

    def protect(self, password, proxy):
        """The programs' roles get this password, and their address leads to the proxy."""
        self.password, self.proxy = password, proxy
        for role in (PRODUCER, WORKER):
            self.postgres.psql(f"alter role {role} password '{password}'")


class ChaosBroker:
    """One broker of its own whose clients come through a proxy; the `brokers` of a World."""

    def __init__(self, kind, folder, toxiproxy):
        layout = Layout(folder)
        layout.create()
        self.kind = kind
        self.environment = dict(KAFKA_ENVIRONMENT)
        port = free_port()
        self.proxy = toxiproxy.add("kafka", f"127.0.0.1:{port}")
        if kind == "kafka":
            self.broker = Kafka(layout, port=port, settings={
                "advertised.listeners": f"PLAINTEXT://{self.proxy.address}"})
        else:
            self.environment |= EMBEDDED_ENVIRONMENT
            self.broker = EmbeddedBroker(
                layout, PROGRAMS / "reveille-embedded-broker",
                {f"{PREFIX}.{engine}": PARTITIONS for engine in ENGINES}, port,
                self.proxy.address.rpartition(":")[2])

    def take(self):
        return self.proxy.address, PREFIX


class ChaosEngine(Engine):
    """The scripted engine, which can be started anew with other options. It is always asked to
    end: killed, it would lose the last lines of its log, and the log is the witness."""

    def __init__(self, world, latency, due, failures, arguments):
        self._usual = (world, latency, due, failures, arguments)
        self._as_usual = True
        super().__init__(*self._usual)

    def anew(self, arguments=()):
        """Ended and started, with these options beside the usual ones."""
        self.stop()
        *given, usual = self._usual
        self._as_usual = not arguments
        super().__init__(*given, [*usual, *arguments])

    def usual(self):
        """As it was at first."""
        if not self._as_usual or not self._program.daemon.alive():
            self.anew()
        self.control(mode="ok")


class Rig(World):
    """kind: "kafka" or "embedded". Made, it has PostgreSQL, the broker and the proxies running;
    `begin` starts the rest. Leaving the block stops all of it."""

    def __init__(self, folder, kind="kafka", workers=3, producers=2):
        folder = Path(folder)
        self.kind = kind
        self.group = f"{PREFIX}.workers"
        self._workers, self._producers = workers, producers
        self.stubborn = []         # who did not end when asked to
        self.disks = {}            # part → SmallDisk, where the machine allows it
        self._stoppers = []        # what to call at the end, last first
        try:
            self._start_parts(folder)
        except BaseException:
            self._stop_parts()
            raise

    def _start_parts(self, folder):
        layout = Layout(folder / "proxy")
        layout.create()
        self.toxiproxy = Toxiproxy(layout)
        self._started(self.toxiproxy)
        cluster = ChaosCluster(folder / "pg")
        self._on_small_disk("postgres", cluster.postgres.home)
        self._started(cluster)
        brokers = ChaosBroker(self.kind, folder / "broker", self.toxiproxy)
        if self.kind == "kafka":
            self._on_small_disk("broker", brokers.broker.folder)
        self._started(brokers.broker)
        super().__init__(folder / "world", cluster, brokers)
        cluster.protect(self.secret("database"), self.toxiproxy.add(
            "postgres", f"127.0.0.1:{cluster.postgres.port}"))
        self.toxiproxy.add("engine", f"127.0.0.1:{self.engine_port}")
        self.links = self.toxiproxy.proxies
        self.db.rows("update reveille.engine set topic_partitions = %s", PARTITIONS)

    def _on_small_disk(self, name, folder):
        """Where the machine does not allow it, the part keeps to the disk that is there."""
        disk = SmallDisk(folder)
        if disk.mount():
            self._stoppers.append(disk.unmount)
            self.disks[name] = disk

    def _started(self, part):
        self._stoppers.append(part.stop)
        part.start()

    def _stop_parts(self):
        while self._stoppers:
            self._stoppers.pop()()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wrong = self.end()

    # --- the parts

    @property
    def engine_url(self):
        return f"http://{self.links['engine'].address}/evaluate"

    @property
    def sanitized(self):
        """Whether the programs carry a sanitizer, which must come before any other library."""
        return b"__asan_init" in (PROGRAMS / "reveille-worker").read_bytes()

    @property
    def postgres(self):
        return self.cluster.postgres

    @property
    def broker(self):
        return self.brokers.broker

    @property
    def workers(self):
        return [name for name in self.programs if name.startswith("worker")]

    @property
    def producers(self):
        return [name for name in self.programs if name.startswith("producer")]

    def environment(self, more=None):
        return super().environment({"LOG_LEVEL": "info", "PAGE_SIZE": "20", **(more or {})})

    def start_engine(self, latency=2, due=1, failures=0, arguments=()):
        self.engine = ChaosEngine(self, latency, due, failures, list(arguments))
        return self.engine

    def begin(self, mentors, latency=20, due=1, engine_arguments=(), **environment):
        """Mentors, engine, producers, workers; returns when the workers hold their partitions.
        environment: more of it, for producers and workers alike."""
        eligible = self.mentors(mentors, mentors // 5)
        self.start_engine(latency=latency, due=due, arguments=engine_arguments)
        for number in range(1, self._producers + 1):
            self.start_producer("producer" if number == 1 else f"producer-{number}", **environment)
        self.start_workers(self._workers, **environment)
        return eligible

    # --- hurting programs

    def kill(self, name):
        """SIGKILL. Whatever it has sent is still executed."""
        self.programs[name].kill()

    def freeze(self, name):
        """SIGSTOP: it lives, and does nothing until `thaw`."""
        self.programs[name].daemon.send(signal.SIGSTOP)

    def thaw(self, name):
        self.programs[name].daemon.send(signal.SIGCONT)

    def drain(self, name):
        """SIGTERM, and wait for its end. `stubborn` gets who had to be killed."""
        if not self.programs[name].stop():
            self.stubborn.append(name)

    def again(self, name, wait=False, environment=None):
        """Starts it again at its old address, if it does not run; `environment`: for this
        incarnation only."""
        program = self.programs[name]
        if not program.daemon.alive():
            usual = program.environment
            program.environment = {**usual, **(environment or {})}
            try:
                program.start()
            finally:
                program.environment = usual
        if wait:
            program.wait_ready()

    def ready_within(self, name, seconds):
        """Waits for so long at most; whether it is ready."""
        deadline = time.monotonic() + seconds
        while not self.programs[name].ready():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    # --- hurting servers

    def terminate_backends(self):
        """Every connection of producers and workers is ended by the server."""
        self.postgres.psql("select count(pg_terminate_backend(pid)) from pg_stat_activity where "
                           f"usename in ('{PRODUCER}', '{WORKER}')")

    def delete_topic(self, engine="http"):
        """On Apache Kafka only. The producer is expected to make it anew; False: it has not yet."""
        return kafka_topic.delete_topic(self.broker.address, f"{self.prefix}.{engine}")

    # --- the end of a fault

    def heal(self):
        """All is whole: links, servers, engine, every program runs. Does not wait for readiness."""
        self.heal_servers()
        self.engine.usual()
        for name in list(self.programs):
            self.thaw(name)
            self.again(name)

    def heal_servers(self):
        self.toxiproxy.heal()
        for disk in self.disks.values():
            disk.free()
        for server in (self.postgres, self.broker):
            if not server.daemon.alive():
                server.start()

    def quiet(self, seconds=QUIET_SECONDS):
        """Waits until no run is open, no request waits and the group has no lag; returns the
        seconds it took."""
        began = time.monotonic()
        until(lambda: not self.open_runs() and not self.waiting(), seconds, "all runs have ended")
        until(lambda: self.lag() == 0, max(1, began + seconds - time.monotonic()),
              "the group has no lag")
        return time.monotonic() - began

    def waiting(self):
        """Requests that are not yet opened."""
        return self.db.value("select count(*) from reveille.trigger_request "
                             "where state = 'pending'")

    def lag(self):
        """Messages that the group has not committed, over all engines' topics."""
        topics = [f"{self.prefix}.{engine}" for engine in ENGINES]
        return sum(place.lag for place in checker_kafka.places(
            self.broker.address, self.group, topics))

    # --- looking

    def samples(self):
        """[{name, pid, rss_kb, fds, threads}] of every program that runs now."""
        found = []
        for name, program in list(self.programs.items()):
            pid = program.daemon.pid()
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                found.append({"t": time.time(), "name": name, "pid": pid,
                              "rss_kb": number_of(status, "VmRSS"),
                              "threads": number_of(status, "Threads"),
                              "fds": len(os.listdir(f"/proc/{pid}/fd"))})
            except (OSError, AttributeError):  # it does not run, or has just ended
                continue
        return found

    def end(self):
        """Stops everything; returns what is wrong with how it ended or with what was said."""
        try:
            self.heal_servers()
            return self.close()
        finally:
            for program in self.programs.values():  # if that came to nothing
                program.kill()
            self._stop_parts()


def number_of(status, field):
    """A number out of /proc/PID/status."""
    return int(re.search(rf"^{field}:\s+(\d+)", status, re.MULTILINE).group(1))
