"""The scripted engine as a test holds it: started on a free port, asked, told, read and stopped.

Not a client of the engine's contract: it sends what the tests want sent, also what is wrong.
The program is reveille-scripted-engine on PATH, or else the newest one built in this repository.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
NAME = "reveille-scripted-engine"
TYPES = ["inactivity", "milestone"]
PATIENCE_S = 20


def program():
    found = shutil.which(NAME)
    if found:
        return found
    built = sorted(REPOSITORY.glob(f"build/*/bin/{NAME}"), key=lambda p: p.stat().st_mtime)
    assert built, f"{NAME} is neither on PATH nor built"
    return str(built[-1])


def mentor(number):
    return f"00000000-0000-4000-8000-{number:012d}"


def place(salt, mentor_id):
    """The place in [0, 1) that decides who is due and who fails; as DESIGN.md says."""
    h = 0xCBF29CE484222325
    for byte in salt.encode() + uuid.UUID(mentor_id).bytes:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD % 2**64
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
    return ((h ^ h >> 33) >> 11) / 2**53


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)
    return value


def raw_call(mentor_id, headers=""):
    body = json.dumps({"invocation_id": mentor(9), "peer_mentor_id": mentor_id,
                       "evaluation_date": "2026-11-21", "scenario_types": TYPES})
    return (f"POST /evaluate?x HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n"
            f"{body}").encode()


def opened(engine):
    s = socket.create_connection(("127.0.0.1", engine.port), PATIENCE_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.bytes = response.read()

    @property
    def json(self):
        return json.loads(self.bytes)


class Engine:
    def __init__(self, folder, *options):
        self.log = folder / "calls.log"
        address = folder / "address"
        address.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [program(), "--port", "0", "--address-file", address, "--log", self.log, *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until(lambda: address.exists() or self.process.poll() is not None, "the engine listens")
        assert self.process.poll() is None, self.process.stderr.read().decode()
        self.url = address.read_text().strip()
        self.port = int(self.url.split(":")[2].split("/")[0])

    def connect(self, timeout=PATIENCE_S):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, timeout=PATIENCE_S):
        with contextlib.closing(self.connect(timeout)) as connection:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())

    def call(self, mentor_id, types=None, headers=None, timeout=PATIENCE_S, **more):
        body = {"invocation_id": str(uuid.uuid4()), "peer_mentor_id": mentor_id,
                "evaluation_date": "2026-11-21", "scenario_types": types or TYPES, **more}
        headers = {"Idempotency-Key": f"job/2026-11-21/abc/{mentor_id}", **(headers or {})}
        return self.ask("POST", "/evaluate", json.dumps(body), headers, timeout)

    def control(self, **change):
        answer = self.ask("POST", "/control", json.dumps(change))
        assert answer.status == 200, answer.bytes

    def stats(self):
        return self.ask("GET", "/stats").json

    def calls(self):
        return [line.split(" ") for line in
                self.ask("GET", "/stats/calls").bytes.decode().splitlines()]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @contextlib.contextmanager
    def frozen(self):
        """Stands still: what is sent meanwhile is there all at once, in the order it was sent."""
        state = pathlib.Path(f"/proc/{self.process.pid}/stat")
        os.kill(self.process.pid, signal.SIGSTOP)
        until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "it stands still")
        try:
            yield
        finally:
            self.thaw()

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def begin_calls(self, count):
        """Calls that are sent and not waited for; the connections, for the caller to close."""
        connections = [opened(self) for _ in range(count)]
        for connection in connections:
            connection.sendall(raw_call(mentor(1)))
        return connections

    def open_calls(self, count):
        until(lambda: self.stats()["in_flight"] == count, f"{count} calls are in flight")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.complaint = self.process.stderr.read().decode()
        self.process.stderr.close()
        return code

    def lines_after_stop(self):
        assert self.stop() == 0
        return self.log_lines()

    def log_lines(self):
        return [line.split(" ") for line in self.log.read_text().splitlines()]
