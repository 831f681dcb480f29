"""Reveille's programs and the scripted engine as processes of a stack: with which environment each
runs, and when it is ready. What belongs into the environment: the public interface, section 3.
"""

import json
import os
import secrets

from .daemon import Daemon, wait_for
from .net import http_request

READY_SECONDS = 90  # on the embedded broker a group needs 5 s to form, on a busy machine more

# Handed through to every program when the caller has them: where libraries and sanitizers look.
INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "LSAN_OPTIONS",
             "UBSAN_OPTIONS", "LOG_LEVEL")

SECRETS = ("scheduler", "operator", "service-role-key", "database")


def create_secrets(layout):
    """Write each secret, 64 random hex digits, into a file that only its owner may read."""
    for name in SECRETS:
        handle = os.open(layout.secret / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")


class Program:
    """A program that serves HTTP. `address` (host:port) is given, or read from the program's log
    where the system chose the port."""

    def __init__(self, layout, name, command, environment, address=None, ready_path="/readyz"):
        self.name = name
        self.daemon = Daemon(layout, name)
        self._command = command
        self.environment = {key: os.environ[key] for key in INHERITED if key in os.environ}
        self.environment.update(environment)
        self._address = address
        self._ready_path = ready_path

    def start(self):
        """Start the process; it is not ready yet."""
        self.daemon.start(self._command, self.environment)

    def wait_ready(self, seconds=READY_SECONDS):
        """Return when it serves. Fails with the end of its log if it ends, or takes longer."""
        wait_for(self.ready, seconds, f"readiness of {self.name}", [self.daemon])

    def ready(self):
        address = self.address()
        if address is None:
            return False
        return http_request("GET", f"http://{address}{self._ready_path}", seconds=2)[0] == 200

    def address(self):
        """host:port, or None while the program has not yet said it."""
        return self._address or listening_address(self.daemon)

    def stop(self):
        return self.daemon.stop()

    def kill(self):
        self.daemon.kill()


def listening_address(daemon):
    """The address in the last `http_listening` event of the process that runs now; None before."""
    pid = daemon.pid()
    found = None
    if pid is not None:
        for line in daemon.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if '"http_listening"' in line:
                event = json.loads(line)
                if event.get("pid", pid) == pid:  # the log is appended to by each incarnation
                    found = event["address"]
    return found


def producer(layout, name, folder, address, database_url, environment):
    """One producer; several share the work. Manual runs with the scheduler's secret are allowed."""
    return Program(layout, name, [folder / "reveille-producer"], {
        "DATABASE_URL": database_url,
        "LISTEN_ADDRESS": address,
        "REVEILLE_ENV": "development",
        "SCHEDULER_SECRET_FILE": str(layout.secret / "scheduler"),
        "OPERATOR_SECRET_FILE": str(layout.secret / "operator"),
        **environment}, address=address)


def worker(layout, name, folder, engine_url, database_url, environment):
    """One worker, ready when it holds partitions; its HTTP port is the system's choice."""
    return Program(layout, name, [folder / "reveille-worker"], {
        "DATABASE_URL": database_url,
        "METRICS_ADDRESS": "127.0.0.1:0",
        "TRIGGER_ENGINE_URL": engine_url,
        "SUPABASE_SERVICE_ROLE_KEY_FILE": str(layout.secret / "service-role-key"),
        **environment})


def engine(layout, folder, port, latency, due, failures, arguments=()):
    """The scripted engine, in the trigger engine's place; `arguments` are more of its options.
    Restarted it counts from zero."""
    return Program(layout, "engine", [
        folder / "reveille-scripted-engine", "--port", port, "--latency", latency, "--due", due,
        "--failures", failures, "--log", layout.log / "engine-calls.log", *arguments],
        {}, address=f"127.0.0.1:{port}", ready_path="/stats")
