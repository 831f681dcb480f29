"""HTTP from people who mean harm: requests that two readers would read as two different ones, crowds
of slow and of silent clients, floods of wrong secrets. Not what is wrong inside a sound request
(test_http.py). One broker is enough: nothing of this reaches one."""

import concurrent.futures
import contextlib
import re
import resource
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest

import outputs
from conftest import new_number
from parts import POOLED
from world import JOB, World, until

pytestmark = pytest.mark.skipif(POOLED, reason="HTTP does not go through the pooler")

RING = f"/v1/jobs/{JOB}/runs".encode()
LIMIT = 10          # seconds the server gives a whole request
SLOW = 1000         # clients that send a byte now and then
CONNECTIONS = 128   # the server's cap
PORTION = 32        # connections it accepts before it looks at those it has
WRONG = 1000        # requests with a wrong secret


@pytest.fixture(scope="module")
def door(cluster, embedded, folder, request):
    """A producer over HTTP and one over HTTPS, and five mentors whom nobody judges."""
    world = World(folder / f"world-{new_number(request)}", cluster, embedded)
    try:
        world.mentors(5)
        world.certificate, key = world.layout.folder / "cert.pem", world.layout.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj",
                        "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                        "-out", world.certificate], check=True, capture_output=True)
        world.start_producer(REVEILLE_ENV="production")
        world.start_producer("guarded", wait=False, TLS_CERT_FILE=str(world.certificate),
                             TLS_KEY_FILE=str(key))
        until(lambda: world.events("process_ready", "guarded"), 20, "the second one is ready")
        world.at_rest = descriptors_of(world)
        yield world
    finally:
        wrong = world.close()
    assert not wrong, "\n".join(wrong)


def asked(world):
    """How often anybody was heard: what a smuggled request would change."""
    return world.db.value("select count(*) from reveille.trigger_request")


def connect(world, program="producer", seconds=2 * LIMIT):
    host, port = world.programs[program].address().split(":")
    link = socket.create_connection((host, int(port)), seconds)
    if program == "guarded":
        link = ssl.create_default_context(cafile=world.certificate).wrap_socket(
            link, server_hostname=host)
    return link


def said_until_closed(link):
    """All that the server says, until it closes; if it does not, that is said at the end."""
    back = b""
    try:
        while piece := link.recv(65536):
            back += piece
    except TimeoutError:
        back += b"\nHTTP/1.1 999 not closed"
    except (ConnectionError, ssl.SSLError):
        pass
    return back


# --- smuggling


def get(path=b"/livez", headers=b"", version=b"HTTP/1.1", end=b"\r\n"):
    return b"GET " + path + b" " + version + b"\r\nHost: x\r\n" + headers + end


def post(headers, body=b""):
    return b"POST " + RING + b" HTTP/1.1\r\nHost: x\r\n%SECRET%\r\n" + headers + b"\r\n" + body


CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
HIDDEN = b"POST " + RING + b" HTTP/1.1\r\nHost: x\r\n%SECRET%\r\n\r\n"

# Each is one bad request, or one inside which a lenient reader finds another (HIDDEN). An honest
# one, which asks for a run, comes behind each.
BAD = {
    # two lengths, or a length and chunks
    "cl-te": post(b"Content-Length: 12\r\nTransfer-Encoding: chunked\r\n", CHUNKS),
    "te-cl": post(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", CHUNKS),
    "cl-te-hidden": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                         b"0\r\n\r\n" + HIDDEN),
    "te": post(b"Transfer-Encoding: chunked\r\n", CHUNKS),
    "te-case": post(b"tRANSFER-eNCODING: CHUNKED\r\n", CHUNKS),
    "te-xchunked": post(b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    "te-identity": post(b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n", b"{}"),
    "te-gzip": post(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS),
    "te-twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKS),
    "te-empty": post(b"Transfer-Encoding:\r\nContent-Length: 2\r\n", b"{}"),
    "te-tab": post(b"Transfer-Encoding:\tchunked\r\n", CHUNKS),
    "te-space": post(b"Transfer-Encoding : chunked\r\n", CHUNKS),
    "te-control": post(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
    "te-folded": post(b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
    "te-1.0": post(b"Transfer-Encoding: chunked\r\n", CHUNKS).replace(b"/1.1", b"/1.0", 1),
    "te-bad-chunks": post(b"Transfer-Encoding: chunked\r\n", b"-1\r\n{}\r\n0\r\n\r\n"),
    "cl-cl": post(b"Content-Length: 2\r\nContent-Length: 40\r\n", b"{}"),
    "cl-cl-same": post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "cl-list": post(b"Content-Length: 2, 2\r\n", b"{}"),
    "cl-negative": post(b"Content-Length: -2\r\n", b"{}"),
    "cl-plus": post(b"Content-Length: +2\r\n", b"{}"),
    "cl-hex": post(b"Content-Length: 0x2\r\n", b"{}"),
    "cl-huge": post(b"Content-Length: 18446744073709551618\r\n", b"{}"),
    "cl-over-the-cap": post(b"Content-Length: 65537\r\n", b"{}"),
    "cl-empty": post(b"Content-Length:\r\n", b"{}"),
    "cl-two-words": post(b"Content-Length: 2 2\r\n", b"{}"),
    "cl-name-space": post(b"Content-Length : 2\r\n", b"{}"),
    "cl-folded": post(b"Content-Length: 2\r\n 0\r\n", b"{}"),
    "cl-nul": post(b"Content-Length: 2\x009\r\n", b"{}"),
    "head-with-a-body": b"HEAD /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                        % len(HIDDEN) + HIDDEN,
    # lines
    "bare-lf": get().replace(b"\r\n", b"\n"),
    "bare-lf-once": get(headers=b"X: y\nZ: z\r\n"),
    "bare-lf-end": get(headers=b"X: y\r\n", end=b"\n"),
    "bare-lf-hidden": get(headers=b"X: y\n\n" + HIDDEN),
    "bare-cr": get(headers=b"X: y\rContent-Length: 2\r\n"),
    "bare-cr-lines": get().replace(b"\r\n", b"\r"),
    "cr-cr-lf": get(headers=b"X: y\r\r\n"),
    "folded": get(headers=b"X: y\r\n z\r\n"),
    "folded-tab": get(headers=b"X: y\r\n\tz\r\n"),
    "folded-first": b"GET /livez HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n",
    "nul-line": get(headers=b"\0\r\n" + HIDDEN),
    "nul-value": get(headers=b"X: a\0b\r\n"),
    "nul-name": get(headers=b"X\0Y: a\r\n"),
    "control-value": get(headers=b"X: a\x01b\r\n"),
    "no-colon": get(headers=b"X\r\n"),
    "no-name": get(headers=b": x\r\n"),
    "name-blank": get(headers=b"a b: x\r\n"),
    "name-not-ascii": get(headers=b"\xc3\xa4: x\r\n"),
    "no-host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two-hosts": get(headers=b"Host: y\r\n"),
    "empty-line-first": b"\r\n" + get(),
    # request lines
    "absolute": get(b"http://x/livez"),
    "absolute-other-host": get(b"http://evil.example/livez"),
    "authority": get(b"x:80"),
    "asterisk": get(b"*").replace(b"GET", b"OPTIONS"),
    "target-blanks": get(b"/livez /livez"),
    "two-blanks": get(b" /livez"),
    "tab": get().replace(b"GET /livez ", b"GET\t/livez\t"),
    "target-nul": get(b"/livez\0x"),
    "target-not-ascii": get(b"/\xff"),
    "fragment": get(b"/livez#x"),
    "trailing-blank": get(version=b"HTTP/1.1 "),
    "version-lower": get(version=b"http/1.1"),
    "version-1.2": get(version=b"HTTP/1.2"),
    "version-2": get(version=b"HTTP/2.0"),
    "version-01": get(version=b"HTTP/01.1"),
    "version-none": b"GET /livez\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "method-lower": get().replace(b"GET", b"get"),
    "method-unknown": get().replace(b"GET", b"SMUGGLE"),
    "method-connect": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "method-connect-path": get().replace(b"GET", b"CONNECT"),
    "method-trace": get().replace(b"GET", b"TRACE"),
    "method-symbols": get().replace(b"GET", b"G(T"),
    "expect-other": post(b"Expect: 200-ok\r\nContent-Length: 2\r\n", b"{}"),
    # sizes
    "header-huge": get(headers=b"X: " + b"a" * 9000 + b"\r\n"),
    "headers-many": get(headers=b"X: y\r\n" * 2000),
    "target-huge": get(b"/" + b"a" * 9000),
    # no HTTP at all
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n" * 3,
}
REFUSED = {400, 413, 405, 501, 417}  # 417: an expectation nobody knows
OVER_TLS = ["cl-te", "te-cl", "cl-cl", "bare-lf-hidden", "nul-line", "folded", "absolute",
            "method-connect"]


def attack(world, name, program, first):
    """Statuses of all answers that are final: to `first`, to a bad request, to an honest one."""
    secret = b"X-Scheduler-Secret: " + world.secret("scheduler").encode()
    with connect(world, program) as link:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            link.sendall((first + BAD[name] + HIDDEN).replace(b"%SECRET%", secret))
        back = said_until_closed(link)
    return [int(code) for code in re.findall(rb"HTTP/\d\.\d ([2-9]\d\d) ", back)]


@pytest.mark.parametrize("program, names, first", [
    ("producer", list(BAD), b""), ("producer", list(BAD), get()), ("guarded", OVER_TLS, get())],
    ids=["http", "behind-a-good-one", "https"])
def test_r_t9_a_bad_request_gets_one_answer_and_what_is_behind_it_is_not_heard(
        door, program, names, first):
    before = asked(door)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = dict(zip(names, pool.map(lambda name: attack(door, name, program, first), names)))
    good = [200] if first else []
    wrong = [f"{name}: {codes}" for name, codes in answers.items()
             if codes[:-1] != good or codes[-1] not in REFUSED]
    assert not wrong, "\n".join(wrong)
    assert asked(door) == before


def test_the_honest_request_behind_is_heard_when_the_first_is_sound(door):
    """What the table leans on."""
    before = asked(door)
    secret = b"X-Scheduler-Secret: " + door.secret("scheduler").encode()
    with connect(door) as link:
        link.sendall(get() + HIDDEN.replace(b"%SECRET%", secret + b"\r\nConnection: close"))
        back = said_until_closed(link)
    assert re.findall(rb"HTTP/1.1 (\d+)", back) == [b"200", b"202"]
    assert asked(door) == before + 1


# --- crowds


class Crowd(threading.Thread):
    """Clients that come again as soon as they are shown out. `step(link)` is what each does when its
    turn comes, every `every` seconds; where it raises OSError, or the server has closed, the next
    one takes its place."""

    def __init__(self, world, size, every, step):
        super().__init__()
        host, port = world.programs["producer"].address().split(":")
        self._address = host, int(port)
        self._size, self._every, self._step = size, every, step
        self._end = threading.Event()
        self.steps = self.came = 0

    def run(self):
        links = [self._come() for _ in range(self._size)]
        portion = max(1, int(self._size * 0.05 / self._every))  # a turn each 50 ms
        at = 0
        while not self._end.wait(0.05):
            for _ in range(portion):
                at = (at + 1) % self._size
                if not self._goes_on(links[at]):
                    links[at].close()
                    links[at] = self._come()
        for link in links:
            link.close()

    def _come(self):
        self.came += 1
        link = socket.socket()
        link.setblocking(False)
        link.connect_ex(self._address)
        return link

    def _goes_on(self, link):
        self.steps += 1
        try:
            self._step(link)
            return link.recv(100) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join()


def drip(link):
    link.send(b"G")


def vanish(link):
    """A reset, as from a machine that was switched off and on."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


def half(link):
    """Half a request, and nothing more will come, but the way back stays open."""
    link.send(b"GET / HTTP/1.1\r\nHost")
    link.shutdown(socket.SHUT_WR)


def silent(_link):
    pass


@pytest.fixture
def descriptors():
    """Enough of them for a crowd."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * SLOW), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("size, every, step, steps", [
    (SLOW, 5, drip, 2 * SLOW), (SLOW, 5, silent, SLOW), (CONNECTIONS, 0.2, vanish, 20 * CONNECTIONS),
    (CONNECTIONS, 1, half, 5 * CONNECTIONS)], ids=["drip", "silent", "vanish", "half-open"])
def test_a_real_trigger_is_answered_whatever_crowd_is_at_the_door(door, descriptors, size, every,
                                                                  step, steps):
    with Crowd(door, size, every, step) as crowd:
        until(lambda: crowd.came >= size, 30, "the crowd is there")
        answered = 0
        while crowd.steps < steps:
            answer = door.http("POST", RING.decode(), {}, secret="scheduler")
            assert answer.status == 202
            answered += 1
        assert answered > 1
    until(lambda: descriptors_of(door) < CONNECTIONS, 2 * LIMIT, "the crowd has been let go")


def descriptors_of(world):
    return len(list(Path("/proc", str(world.programs["producer"].daemon.pid()), "fd").iterdir()))


def test_a_crowd_holds_no_more_connections_than_the_cap(door, descriptors):
    until(lambda: descriptors_of(door) < door.at_rest + PORTION, 2 * LIMIT, "the last crowd is gone")
    before = descriptors_of(door)
    with Crowd(door, 4 * CONNECTIONS, 5, drip) as crowd:
        until(lambda: crowd.came >= 4 * CONNECTIONS, 30, "the crowd is there")
        most = max(descriptors_of(door) for _ in range(100))
    assert CONNECTIONS / 2 < most - before <= CONNECTIONS + PORTION


# --- guessing


def test_r_t9_a_thousand_wrong_secrets_are_401_and_a_real_trigger_among_them_is_answered(door):
    """No 429: who has the right secret is never made to wait for those who have not."""
    log = door.programs["producer"].daemon.log
    lines, before = len(outputs.lines(log)), asked(door)
    links = 8
    wrong = (b"POST " + RING + b" HTTP/1.1\r\nHost: x\r\nX-Scheduler-Secret: " + b"ab" * 32
             + b"\r\nContent-Length: 0\r\n\r\n")
    ask = wrong * (WRONG // links - 1) + wrong.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    def guess(_n):
        with connect(door) as link:
            link.sendall(ask)
            return re.findall(rb"HTTP/1.1 (\d\d\d) ", said_until_closed(link))
    with concurrent.futures.ThreadPoolExecutor(links + 1) as pool:
        guesses = [pool.submit(guess, n) for n in range(links)]
        real = pool.submit(door.http, "POST", RING.decode(), {"shadow": True}, "operator")
        assert real.result().status == 202
        answers = [code for one in guesses for code in one.result()]
    assert answers == [b"401"] * WRONG
    assert asked(door) == before + 1
    assert len(outputs.lines(log)) - lines < 20, "a guess is no line of the log"
