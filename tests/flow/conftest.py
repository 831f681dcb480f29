"""Fixtures of the flow tests, and the two brokers on which each of them runs.

A world is one test's (`world`) or, where many tests look at the same run, one module's (made by
`make_world` there). Everything is stopped in the fixtures' teardown, also on Ctrl-C.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from parts import Cluster, EmbeddedBrokers, KafkaBrokers, POOLED, PROGRAMS
from stack.layout import StackError
from world import World

BROKERS = ["embedded"] if POOLED else ["embedded", "kafka"]
ONLY = os.environ.get("REVEILLE_FLOW_BROKER")  # this half: on that broker; on none: with kafka's


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes more than a few seconds; tests/run --quick "
                            "leaves it out")

    def interrupt(_number, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)  # the teardown runs as it does for Ctrl-C


def pytest_generate_tests(metafunc):
    if "broker" in metafunc.fixturenames:
        metafunc.parametrize("broker", BROKERS, scope="module", indirect=True)


def pytest_collection_modifyitems(config, items):
    """Of two halves, this one."""
    def broker(item):
        return getattr(item, "callspec", None) and item.callspec.params.get("broker") or "kafka"

    others = [item for item in items if ONLY not in (None, broker(item))]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows the ends of its programs' logs."""
    report = (yield).get_result()
    if report.failed:
        for world in (value for value in item.funcargs.values() if isinstance(value, World)):
            report.sections += world.tails()


@pytest.fixture(scope="session")
def folder():
    """Where everything is written; PostgreSQL, as another user, goes through it."""
    given = os.environ.get("REVEILLE_FLOW_FOLDER")
    path = Path(given or tempfile.mkdtemp(prefix="rv-", dir="/tmp"))
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
    yield path
    if given is None:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(folder):
    missing = [name for name in ("reveille", "reveille-producer", "reveille-worker",
                                 "reveille-embedded-broker") if not (PROGRAMS / name).exists()]
    assert not missing, f"{missing[0]} is not built: cmake --preset debug && " \
                        "cmake --build --preset debug"
    cluster = Cluster(folder / "pg")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def embedded(folder):
    brokers = EmbeddedBrokers(folder)
    yield brokers
    brokers.stop()


@pytest.fixture(scope="session")
def kafka(folder):
    brokers = KafkaBrokers(folder)
    try:
        start_or_skip(brokers)
        yield brokers
    finally:
        brokers.stop()


def start_or_skip(kafka):
    """Starts what is an Apache Kafka; where there can be none, its tests are skipped, or fail."""
    try:
        kafka.start()
    except (StackError, OSError) as reason:
        if os.environ.get("REVEILLE_REQUIRE_KAFKA") == "1":
            raise
        pytest.skip(f"NO APACHE KAFKA: {reason}")


@pytest.fixture(scope="module")
def broker(request):
    """The brokers of one kind: what a world takes its topics from."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def make_world(cluster, broker, folder, request):
    """Makes worlds that live as long as the module runs on this broker."""
    worlds = []

    def make(**options):
        made = World(folder / f"world-{new_number(request)}", cluster, broker, **options)
        worlds.append(made)
        return made
    yield make
    wrong = [line for one in reversed(worlds) for line in one.close()]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def world(cluster, broker, folder, request):
    """A world for one test."""
    made = World(folder / f"world-{new_number(request)}", cluster, broker)
    try:
        yield made
    finally:
        wrong = made.close()
    assert not wrong, "\n".join(wrong)


def new_number(request):
    """Worlds are numbered through the session."""
    session = request.session
    session.worlds_made = getattr(session, "worlds_made", 0) + 1
    return session.worlds_made


@pytest.fixture
def kcat():
    """A reader that is none of ours: kcat(world, engine) → the values in the engine's topic."""
    def read(world, engine):
        done = subprocess.run(
            ["kcat", "-C", "-b", world.kafka, "-t", f"{world.prefix}.{engine}", "-e", "-q",
             "-f", "%R%s"], capture_output=True, timeout=60, check=True)
        return unframed(done.stdout)
    return read


def unframed(data):
    """kcat's %R%s: each value behind its length in four bytes, big-endian."""
    values = []
    while data:
        size = int.from_bytes(data[:4], "big")
        values.append(data[4:4 + size])
        data = data[4 + size:]
    return values


@pytest.fixture
def kcat_send(tmp_path):
    """A writer that is none of ours: kcat_send(world, engine, partition, values)."""
    def write(world, engine, partition, values):
        files = []
        for number, value in enumerate(values):
            files.append(tmp_path / f"{partition}-{number}")
            files[-1].write_bytes(value)
        subprocess.run(["kcat", "-P", "-b", world.kafka, "-t", f"{world.prefix}.{engine}",
                        "-p", str(partition), *files], check=True, timeout=60,
                       stdin=subprocess.DEVNULL, capture_output=True)
    return write
