"""Where mutants are tried: one PostgreSQL and embedded brokers for all of them, a world for each."""

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import planting

os.environ.setdefault("REVEILLE_FLOW_PROGRAMS", str(planting.BUILD / "bin"))
sys.path += [str(planting.ROOT / "tests" / "flow")]

from parts import Cluster, EmbeddedBrokers      # noqa: E402
from planting import Planted                    # noqa: E402
from scenarios import SCENARIOS, Stage          # noqa: E402


@dataclass(frozen=True)
class Tried:
    """failed: {invariant: the first that was found against it}, or, where the scenario did not come
    as far as it must, {"scenario": why}; seconds: with the building."""
    failed: dict
    seconds: float


class Ground:
    """A context; what it starts it stops."""

    def __enter__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="rv-mut-", dir="/tmp"))
        self._folder.chmod(0o755)
        self._tries = 0
        self._cluster = Cluster(self._folder / "pg")
        self._brokers = EmbeddedBrokers(self._folder, stock=4)
        try:
            self._cluster.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._brokers.stop()
        self._cluster.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def try_true(self, scenario):
        return self._try(scenario, Planted, time.monotonic())

    def try_mutant(self, mutant):
        return self._try(mutant.scenario, lambda: mutant.plant(self._folder / mutant.name),
                         time.monotonic())

    def _try(self, scenario, plant, started):
        self._tries += 1
        stage = Stage(self._folder / f"stage-{self._tries}", self._cluster, self._brokers, plant())
        try:
            SCENARIOS[scenario](stage)
        except AssertionError as reason:    # it did not come to its fault: that is no catch
            stage.failed.setdefault("scenario", str(reason))
        finally:
            stage.close()
        return Tried(stage.failed, time.monotonic() - started)
