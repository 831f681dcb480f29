"""A program's memory is its own, as it is shipped: the release build, since the other one must let
its search for leaks attach. Needs no world: each program only has to be at work."""

import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from parts import POOLED, ROOT
from world import until

pytestmark = pytest.mark.skipif(POOLED, reason="nothing of this reaches the pooler")

RELEASE = ROOT / "build" / "release" / "bin"
SECRET = "5ec2e7" * 10 + "abcd"
NOBODY = 65534
AS_NOBODY = {} if os.geteuid() else {"user": NOBODY, "group": NOBODY, "extra_groups": []}
SLEEPER = [sys.executable, "-c", "import sys; print('at work', flush=True); sys.stdin.read()"]


def environment(deaf):
    return {"DATABASE_URL": f"postgresql://nobody:{SECRET}@127.0.0.1:{deaf}/nothing",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{deaf}", "LISTEN_ADDRESS": "127.0.0.1:0",
            "METRICS_ADDRESS": "127.0.0.1:0", "SCHEDULER_SECRET": SECRET, "WORKER_ENGINES": "noop"}


class Running:
    """A process of an ordinary user, who would like cores, in a folder of its own."""

    def __init__(self, folder, name, arguments=()):
        folder.chmod(0o777)
        self.folder, self.said = folder, folder / "said"
        self._deaf = socket.create_server(("127.0.0.1", 0))  # takes links, and never says a word
        self._links = []
        command = SLEEPER
        if name is not None:
            assert (RELEASE / name).exists(), "not built: cmake --build --preset release"
            shutil.copy(RELEASE / name, folder / name)
            command = [str(folder / name), *arguments]
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=said, stderr=said,
                env=environment(self._deaf.getsockname()[1]), preexec_fn=wants_cores, **AS_NOBODY)
        self.proc = Path("/proc", str(self.process.pid))

    def wait_at_work(self):
        """Whatever it is, it has asked the deaf one, or said something."""
        self._deaf.settimeout(0.05)

        def is_at_work():
            assert self.process.poll() is None, self.said.read_text()
            try:
                self._links.append(self._deaf.accept()[0])
                return True
            except TimeoutError:
                return "at work" in self.said.read_text()
        until(is_at_work, 20, "it is at work")

    def abort(self):
        """Whether it left a core, by what the system says or by what is there."""
        before = set(self.folder.iterdir())
        self.process.send_signal(signal.SIGABRT)
        _pid, status = os.waitpid(self.process.pid, 0)
        self.process.returncode = -os.WTERMSIG(status)
        assert os.WTERMSIG(status) == signal.SIGABRT
        return os.WCOREDUMP(status) or bool(set(self.folder.iterdir()) - before)

    def close(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        for link in [*self._links, self._deaf]:
            link.close()


def wants_cores():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@pytest.fixture(params=[("reveille-producer",), ("reveille-worker",), ("reveille", "status")],
                ids=lambda command: command[0])
def program(request, folder):
    path = folder / f"no-dump-{request.param[0]}-{os.urandom(4).hex()}"
    path.mkdir()
    running = Running(path, request.param[0], request.param[1:])
    try:
        running.wait_at_work()
        yield running
    finally:
        running.close()


@pytest.fixture
def control(folder):
    """Any other process, to see that the test would see it."""
    path = folder / f"no-dump-control-{os.urandom(4).hex()}"
    path.mkdir()
    running = Running(path, None)
    try:
        running.wait_at_work()
        yield running
    finally:
        running.close()


def may_look(running, name):
    """Whether another process of the same user reads /proc/PID/NAME."""
    done = subprocess.run(["head", "-c", "1", str(running.proc / name)], capture_output=True,
                          check=False, **AS_NOBODY)
    return done.returncode == 0


def test_r_t5_nobody_but_root_reads_a_programs_memory_or_environment(program, control):
    for name in ("environ", "auxv"):
        assert may_look(control, name), "the test would see it"
        assert not may_look(program, name), name
    if AS_NOBODY:
        assert (control.proc / "environ").stat().st_uid == NOBODY
        for name in ("environ", "mem", "maps"):
            status = (program.proc / name).stat()
            assert status.st_uid == 0 and not stat.S_IMODE(status.st_mode) & 0o022, name
    assert SECRET.encode() not in (program.proc / "cmdline").read_bytes()


def test_r_t5_a_program_that_is_aborted_leaves_no_core(program, control):
    limits = (program.proc / "limits").read_text()
    line, = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]
    left = program.abort()
    if not control.abort():
        pytest.skip("NO CORES on this machine, whoever is aborted")
    assert not left
