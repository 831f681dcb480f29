"""Where a trial is held: one PostgreSQL and one broker of its own in a temporary folder, and worlds on
them (tests/flow/world.py). Not what is measured there: that is a module a trial.

Trials take the release build: what is measured is what is installed. REVEILLE_FLOW_PROGRAMS names
another folder.
"""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests" / one) for one in ("flow", "chaos", "")]
os.environ.setdefault("REVEILLE_FLOW_PROGRAMS", str(ROOT / "build" / "release" / "bin"))

from parts import Cluster, EmbeddedBrokers, KafkaBrokers    # noqa: E402
from progress import Progress                               # noqa: E402
from stack.layout import StackError                         # noqa: E402
from world import World                                     # noqa: E402

LIMIT = 10         # reveille.engine's concurrency of a new database
PARTITIONS = 12    # what a topic has unless somebody asks for another number


@dataclasses.dataclass
class Result:
    """What a trial has measured. bounds: (what had to hold, whether it did)."""
    figures: dict
    bounds: list

    @property
    def holds(self):
        return all(kept for _, kept in self.bounds)


class NoKafka(Exception):
    """There is no Apache Kafka here to hold trials on."""


class Stand:
    """with Stand("kafka", "/tmp/…") as stand: stand.world(…). The folder is made, and removed unless
    `keep` was set meanwhile."""

    def __init__(self, kind, folder=None):
        self.kind = kind
        self.folder = Path(folder or tempfile.mkdtemp(prefix="rv-trial-", dir="/tmp"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)   # PostgreSQL, as another user, goes through it
        self.cluster = Cluster(self.folder / "pg")
        self.brokers = (KafkaBrokers if kind == "kafka" else EmbeddedBrokers)(self.folder)
        self.keep = False
        self.progress = None
        self._worlds = 0

    def __enter__(self):
        try:
            self.cluster.start()
            if self.kind == "kafka":
                self._start_kafka()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start_kafka(self):
        try:
            self.brokers.start()
        except (StackError, OSError) as reason:
            raise NoKafka(f"NO APACHE KAFKA: {reason}") from reason

    def begins(self, trial):
        self.progress = Progress(trial)

    def __exit__(self, *_):
        self.brokers.stop()
        self.cluster.stop()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def world(self):
        """A world. At its end it fails if a program complained, told a secret, or did not end by
        itself."""
        made = World(self.folder / f"world-{self._worlds}", self.cluster, self.brokers)
        self._worlds += 1
        try:
            if self.kind == "kafka":
                made.db.rows("update reveille.engine set topic_partitions = %s", PARTITIONS)
            yield made
        finally:
            wrong = made.close()
        assert not wrong, "\n".join(wrong[:10])


def judge(world, limit=LIMIT):
    """Fails unless all runs of the world are exact: for the independent checker, which goes by the
    engine's log, the rows and Kafka, and for `reveille verify`."""
    done = subprocess.run(
        [ROOT / "tests" / "chaos" / "check",
         "--database", world.cluster.postgres.url("postgres", world.db.name),
         "--engine-log", world.engine.log, "--bootstrap", world.kafka,
         "--topic-prefix", world.prefix, "--group", f"{world.prefix}.workers",
         "--limit", str(limit), "--outputs", world.layout.log],
        text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    for run, in world.db.rows("select run_id from reveille.run"):
        verified = world.cli("verify", run)
        assert verified.code == 0, verified.out + verified.err
