"""What the chaos tests share: where they write, and which parts they cannot do without."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "tests" / "flow"),
                str(ROOT / "deploy" / "local")]

import toxiproxy                                            # noqa: E402
from stack.kafka_jars import KafkaJars                      # noqa: E402
from stack.layout import StackError                         # noqa: E402


def pytest_configure(config):
    def interrupt(_number, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)  # the teardown runs as it does for Ctrl-C


@pytest.fixture
def chaos_folder():
    """One test's folder; PostgreSQL, as another user, goes through it."""
    path = Path(tempfile.mkdtemp(prefix="rv-chaos-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=["embedded", "kafka"])
def attacked(request):
    """The kind of broker, if that and Toxiproxy can be had here."""
    try:
        toxiproxy.server()
        if request.param == "kafka" and shutil.which("java") is None:
            raise StackError("java is not installed")
        if request.param == "kafka" and not KafkaJars().jars.exists() and not shutil.which("mvn"):
            raise StackError("Maven is not installed")
    except StackError as reason:
        if os.environ.get("REVEILLE_REQUIRE_KAFKA") == "1":
            raise
        pytest.skip(f"NO CHAOS: {reason}")
    return request.param
