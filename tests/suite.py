"""All of Reveille's tests, group by group, with one line of numbers at the end.

  build    both presets and clang, warnings are errors; headers compile alone; files keep their size
  unit     cmocka, one file a module, with sanitizers; the I/O modules against a real server
  torture  memory that runs out at each allocation of the decode, HTTP and settle paths
  sql      pgTAP and concurrency tests of the protocol functions, on a real PostgreSQL
  versions migrations and pgTAP on the PostgreSQLs that Debian 12 does not have (16, 17, 18)
  sim      both cores in simulated worlds, seeded; the planted bugs they must catch; what they reach
  flow     whole runs on real parts: PostgreSQL, the embedded broker and Apache Kafka
  pooler   the same, with every program behind PgBouncer in transaction mode
  newer    runs, faults and SCRAM on Apache Kafka, with a newer librdkafka than Debian's
  chaos    whole runs while a seeded nemesis breaks whatever there is, judged by a checker of its own
  fuzz     libFuzzer on everything that reads bytes from outside, for a minute each
  papers   the documents against the code: requirements and their tests, files that are named

What is started here is stopped here, and what is written goes into build/ and a temporary folder.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "deploy" / "local"))
sys.path.insert(0, str(ROOT / "tests" / "sql"))

from stack.broker import Kafka                      # noqa: E402
from stack.layout import Layout, StackError         # noqa: E402
from stack.postgres import Postgres                 # noqa: E402
from stack.net import free_port                     # noqa: E402
import other_versions                               # noqa: E402
from failures import MARK, what_failed              # noqa: E402
from lanes import run_side_by_side                  # noqa: E402

GROUPS = ("build", "unit", "torture", "sql", "versions", "sim", "flow", "pooler", "newer",
          "chaos", "fuzz", "papers")
ALONE = ("build", "fuzz")  # they use all cores
LONGEST_FIRST = ("pooler", "chaos", "unit", "newer", "sim", "torture", "versions", "sql", "papers")
LONG = ("versions", "pooler", "newer", "chaos", "fuzz")  # --quick leaves them out, unless they are named
NEWER_SCRAM = "test_r_x3_a_run_passes_with_scram_over_tls_its_passwords_in_files"
NEWER_VERSION = "test_the_programs_use_the_librdkafka_that_these_tests_found"
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider"]


class Tally:
    """What was counted, and of each failure what was printed about it."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, passed, failed, skipped=0, printed=""):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        if failed:
            self.failures += what_failed(printed)

    def add_lane(self, passed, failed, skipped, failures):
        """A group that has told its failures in few lines."""
        self.add(passed, failed, skipped)
        self.failures += failures

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def show(self):
        """The failures once more, as the last thing: who keeps only the end of a log has them."""
        if self.failed:
            print(MARK, *self.failures, sep="\n")
        print(self.line(), flush=True)


def say(text):
    print(f"== {text}", flush=True)


def failed(text):
    """Says so, and returns the line that it said."""
    say(f"failed: {text}")
    return f"== failed: {text}\n"


def run(command, env=None, cwd=ROOT):
    """Runs a command, shows its output as it comes, and returns (exit code, output)."""
    process = subprocess.Popen([str(word) for word in command], cwd=cwd, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, **(env or {})}, errors="replace")
    lines = []
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        return process.wait(), "".join(lines)
    finally:
        if process.poll() is None:    # we are to end: it stops what it has started
            process.terminate()
            process.wait()


def counted(tally, code, output):
    """Adds the last `N passed, N failed[, N skipped]` of a group's own runner, in any order."""
    found = {}
    for line in reversed(output.splitlines()):
        numbers = re.findall(r"(\d+) (passed|failed|skipped|error|errors)\b", line)
        if numbers:
            found = {word: int(number) for number, word in numbers}
            break
    wrong = found.get("failed", 0) + found.get("error", 0) + found.get("errors", 0)
    if code != 0 and wrong == 0:
        output += failed(f"it ended with {code}")
        wrong = 1
    tally.add(found.get("passed", 0), wrong, found.get("skipped", 0), output)


def step(tally, name, command, **options):
    """One thing that either works or does not."""
    code, output = run(command, **options)
    if code != 0:
        output += failed(name)
    tally.add(code == 0, code != 0, printed=output)
    return code == 0


class Parts:
    """The real parts the groups share, started when first asked for, stopped at the end."""

    def __init__(self, folder, require_kafka):
        self.layout = Layout(folder)
        self.layout.create()
        self.require_kafka = require_kafka
        self._postgres = self._kafka = None
        self.kafka_missing = None

    def postgres(self):
        if self._postgres is None:
            say("starting PostgreSQL")
            postgres = Postgres(self.layout, settings={"max_connections": "200"})
            postgres.create("reveille")
            postgres.start()
            self._postgres = postgres
        return self._postgres

    def kafka(self):
        """The address of a real broker, or None with the reason in kafka_missing."""
        if self._kafka is None and self.kafka_missing is None:
            say("starting Apache Kafka")
            try:
                kafka = Kafka(self.layout, port=free_port(), controller_port=free_port())
                kafka.start()
                self._kafka = kafka
            except (StackError, OSError) as error:
                self.kafka_missing = str(error)
                say(f"NO APACHE KAFKA: {error}")
        return self._kafka.address if self._kafka else None

    def stop(self):
        if self._kafka:
            self._kafka.stop()
        if self._postgres:
            self._postgres.stop()


def build(preset, tally, targets=()):
    ok = step(tally, f"configure {preset}", ["cmake", "--preset", preset])
    wanted = ["--target", *targets] if targets else []
    return ok and step(tally, f"build {preset}", ["cmake", "--build", "--preset", preset, *wanted])


def group_build(tally, parts, quick):
    if not quick:
        build("clang", tally)
    step(tally, "headers compile alone", ["tests/support/check-headers"])
    step(tally, "files and functions keep their size", ["tests/support/check-size"])


def run_programs(tally, folder, env):
    """cmocka's programs in a folder, each a tally of its own."""
    for binary in sorted(path for path in folder.glob("t*_*") if path.is_file()):
        code, output = run([binary], env=env)
        passed = len(re.findall(r"^\[       OK \]", output, re.M))
        wrong = len(set(re.findall(r"^\[  FAILED  \] (?!\d+ test)(.+)$", output, re.M)))
        skipped = len(set(re.findall(r"^\[  SKIPPED \] (?!\d+ test)(.+)$", output, re.M)))
        if code != 0 and wrong == 0:
            output += failed(f"{binary.name} ended with {code}")
            wrong = 1
        if not (passed or wrong or skipped):
            output += failed(f"{binary.name} ran no test")
            wrong = 1
        tally.add(passed, wrong, skipped, output)


def group_unit(tally, parts, quick):
    env = {"REVEILLE_TEST_DATABASE_URL": parts.postgres().url("postgres", "reveille")}
    kafka = parts.kafka()
    if kafka:
        env["REVEILLE_TEST_KAFKA"] = kafka
    if quick:
        env["REVEILLE_QUICK"] = "1"
    run_programs(tally, ROOT / "build" / "debug" / "tests" / "unit", env)
    counted(tally, *run([*PYTEST, "tests/support"],
                        env={"REVEILLE_BIN": str(ROOT / "build" / "release" / "bin")}))


def group_torture(tally, parts, quick):
    run_programs(tally, ROOT / "build" / "release" / "tests" / "torture",
                 {"REVEILLE_TEST_DATABASE_URL": parts.postgres().url("postgres", "reveille")})


def group_sql(tally, parts, quick):
    counted(tally, *run(["tests/sql/run", "--dsn", superuser(parts.postgres())]))


def group_versions(tally, parts, quick):
    for version in other_versions.VERSIONS:
        say(f"PostgreSQL {version}")
        folder = parts.layout.folder / f"postgresql-{version}"
        try:
            bindir = other_versions.unpack(version, folder)
        except other_versions.Unavailable as reason:
            tally.add(0, 1, printed=failed(reason))
            continue
        layout = Layout(folder / "cluster")
        layout.create()
        postgres = Postgres(layout, bindir=bindir)
        postgres.create("reveille")
        postgres.start()
        try:
            counted(tally, *run(["tests/sql/run", "--tap", "--dsn", superuser(postgres)]))
        finally:
            postgres.stop()
            shutil.rmtree(folder)


def superuser(postgres):
    return f"host={postgres.socket} port={postgres.port} user=postgres"


def group_sim(tally, parts, quick):
    counted(tally, *run(["tests/sim/run", "--sanitize", "--seeds", "500" if quick else "2000"]))
    run_programs(tally, ROOT / "build" / "debug" / "tests" / "sim",
                 {"REVEILLE_TEST_DATABASE_URL": parts.postgres().url("postgres", "reveille"),
                  "MODEL_SEEDS": "5" if quick else "30"})
    if not quick:
        counted(tally, *run(["tests/sim/check-mutants"]))
        step(tally, "the simulation reaches the cores' decisions",
             ["tests/sim/coverage", "--seeds", "6000"])


def group_flow(tally, parts, quick):
    env = {"REVEILLE_FLOW_FOLDER": str(parts.layout.folder / "flow")}
    if parts.require_kafka:
        env["REVEILLE_REQUIRE_KAFKA"] = "1"
    selection = ["-m", "not long"] if quick else []
    counted(tally, *run([*PYTEST, "tests/flow", *selection], env=env))


def group_pooler(tally, parts, quick):
    env = {"REVEILLE_FLOW_FOLDER": str(parts.layout.folder / "pooler"),
           "REVEILLE_FLOW_POOLER": "1"}
    counted(tally, *run([*PYTEST, "tests/flow"], env=env))


def group_newer(tally, parts, quick):
    env = {"REVEILLE_FLOW_FOLDER": str(parts.layout.folder / "newer")}
    security = "tests/flow/test_kafka_security.py"
    counted(tally, *run(["tests/flow/newer_librdkafka.py", "tests/flow/test_run.py",
                         "tests/flow/test_faults.py", f"{security}::{NEWER_SCRAM}",
                         f"{security}::{NEWER_VERSION}", "-k", "not embedded"], env=env))


def group_chaos(tally, parts, quick):
    env = {"REVEILLE_REQUIRE_KAFKA": "1"} if parts.require_kafka else {}
    counted(tally, *run([*PYTEST, "tests/chaos"], env=env))


def group_fuzz(tally, parts, quick):
    counted(tally, *run(["tests/fuzz/run", "--seconds", "60"]))


def group_papers(tally, parts, quick):
    counted(tally, *run([*PYTEST, "tests/papers"]))
    venv = ROOT / "build" / "venv"
    if (step(tally, "a venv", ["/usr/bin/python3", "-m", "venv", venv]) and
            step(tally, "its packages", [venv / "bin" / "pip", "install", "-q", "-r",
                                         "tests/papers/requirements.txt"])):
        step(tally, "openapi.yaml is valid OpenAPI 3.1",
             [venv / "bin" / "openapi-spec-validator", "producer/openapi.yaml"])


def run_group(group, tally, parts, quick):
    started = time.monotonic()
    before = (tally.passed, tally.failed, tally.skipped)
    say(group)
    globals()[f"group_{group}"](tally, parts, quick)
    now = (tally.passed, tally.failed, tally.skipped)
    say("{}: {} passed, {} failed, {} skipped in {:.0f} s".format(
        group, *(b - a for a, b in zip(before, now)), time.monotonic() - started))


def run_here(groups, tally, quick):
    """One after the other, in this process."""
    require_kafka = os.environ.get("REVEILLE_REQUIRE_KAFKA") == "1"
    with tempfile.TemporaryDirectory(prefix="reveille-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o711)  # PostgreSQL, as another user, goes through it
        parts = Parts(Path(folder), require_kafka)
        try:
            for group in groups:
                run_group(group, tally, parts, quick)
            if parts.kafka_missing and require_kafka:
                told = failed(f"Apache Kafka is required: {parts.kafka_missing}")
                tally.add(0, 1, printed=told)
        finally:
            parts.stop()


def lanes_of(groups):
    """What runs beside each other, the longest first; flow in two halves, a broker each."""
    lanes = [(group, group, {}) for group in LONGEST_FIRST if group in groups]
    if "flow" in groups:
        lanes[:0] = [(f"flow on {broker}", "flow", {"REVEILLE_FLOW_BROKER": broker})
                     for broker in ("kafka", "embedded")]
    return lanes


def main():
    parser = argparse.ArgumentParser(
        prog="tests/run", description="Installs what is missing, builds, runs the tests.",
        epilog=f"Groups: {' '.join(GROUPS)} (default: all). Several run side by side, three at a "
               "time. Without a reachable Apache Kafka its tests are skipped, loudly; with "
               "REVEILLE_REQUIRE_KAFKA=1 that is a failure.")
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    parser.add_argument("--quick", action="store_true", help="leave out the long ones")
    parser.add_argument("--built", action="store_true", help="do not build first")
    options = parser.parse_args()
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        parser.error(f"no group {unknown[0]}; there are: {' '.join(GROUPS)}")
    groups = options.groups or [group for group in GROUPS if not (options.quick and group in LONG)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    tally = Tally()
    if options.built or (build("release", tally) and build("debug", tally)):
        if len(groups) == 1:
            run_here(groups, tally, options.quick)
        else:
            run_here([group for group in groups if group in ALONE], tally, options.quick)
            for result in run_side_by_side(lanes_of(groups), options.quick):
                tally.add_lane(*result)
    tally.show()
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
