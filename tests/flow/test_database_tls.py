"""The link to PostgreSQL with sslmode=verify-full: a run over it, and what is said to, and kept from, a
server that cannot show whom it claims to be. Over TCP and with passwords, as between machines."""

import contextlib
import secrets
import shutil
import socket
import struct
import threading
from urllib.parse import urlsplit

import pytest

from certificates import Authority
from checker import assert_exact
from parts import POOLED
from stack.database import OPERATOR, PRODUCER, WORKER
from stack.net import http_request
from world import World, until

pytestmark = pytest.mark.skipif(POOLED, reason="the programs' own link to PostgreSQL")

ROLES = (PRODUCER, WORKER, OPERATOR)
SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # what a client asks before anything else


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("database-tls") / "authority")


@pytest.fixture(scope="module")
def password(cluster, authority):
    """Of every program's role, on a server that speaks TLS and asks for it on 127.0.0.1."""
    text = secrets.token_hex(16)
    with serving(cluster, authority, "DNS:localhost"):
        for role in ROLES:
            cluster.postgres.psql(f"alter role {role} password '{text}'")
        yield text
        for role in ROLES:
            cluster.postgres.psql(f"alter role {role} password null")


@pytest.fixture
def guarded(cluster, embedded, folder, password):
    """A world with that password; its programs are told a link's address by `url`."""
    world = World(folder / f"world-{secrets.token_hex(4)}", cluster, embedded)
    world.password = password
    try:
        yield world
    finally:
        wrong = world.close()
    assert not wrong, "\n".join(wrong)


@contextlib.contextmanager
def serving(cluster, authority, *addresses):
    """The server shows a certificate for these addresses; without any it speaks no TLS."""
    settings = {"ssl": "off"}
    if addresses:
        settings = {"ssl": "on"}
        for name, file in zip(("ssl_cert_file", "ssl_key_file"),
                              authority.issue("server-" + secrets.token_hex(3), *addresses)):
            settings[name] = shutil.copy(file, cluster.postgres.home)
            shutil.chown(settings[name], cluster.postgres.user)
    before = {name: cluster.postgres.psql(f"show {name}") for name in settings}
    try:
        put(cluster, settings)
        yield
    finally:
        put(cluster, before)


def put(cluster, settings):
    for name, value in settings.items():
        cluster.postgres.psql(f"alter system set {name} = '{value}'")
    cluster.postgres.psql("select pg_reload_conf()")
    for name, value in settings.items():
        until(lambda n=name, v=value: cluster.postgres.psql(f"show {n}") == str(v), 20,
              f"{name} is {value}")


def url(world, role, trusted, host="localhost", port=None):
    return (f"postgresql://{role}:{world.password}@{host}:{port or world.cluster.postgres.port}"
            f"/{world.db.name}?sslmode=verify-full&sslrootcert={trusted.certificate}")


def links(world):
    """[(role, is it TLS?)] of the programs' links."""
    return [(row.usename, row.ssl) for row in world.db.rows("""
        select usename, ssl from pg_stat_activity join pg_stat_ssl using (pid)
         where datname = current_database() and usename like 'reveille%%'""")]


def test_r_x3_a_run_passes_over_links_that_are_verified_in_full(guarded, authority):
    guarded.mentors(30)
    guarded.start_engine()
    guarded.start_producer(PAGE_SIZE="10", DATABASE_URL=url(guarded, PRODUCER, authority))
    guarded.start_workers(1, DATABASE_URL=url(guarded, WORKER, authority))
    done = guarded.cli("run", "scenario_scheduler", "--wait", "--json",
                       DATABASE_URL=url(guarded, OPERATOR, authority))
    assert done.code == 0, done.err
    assert {name for name, tls in links(guarded) if tls} == {PRODUCER, WORKER}
    assert all(tls for _, tls in links(guarded))
    assert_exact(guarded, done.json["run_id"])


# Each: whom the server shows that it is (() speaks no TLS), by which host it is asked for, and a
# word of what is said.
WRONG = {
    "another name": (["DNS:elsewhere.example.org"], "localhost", "does not match host name"),
    "a name for an address": (["DNS:localhost"], "127.0.0.1", "does not match host name"),
    "no TLS": ([], "localhost", "does not support SSL"),
    "another authority": (["DNS:localhost"], "localhost", "certificate verify failed"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_r_x3_a_server_that_is_not_the_one_is_refused_and_the_reason_said(
        guarded, authority, fault, tmp_path):
    addresses, host, words = WRONG[fault]
    trusted = authority
    if fault == "another authority":
        trusted = Authority(tmp_path / "other", "another authority")
    with serving(guarded.cluster, authority, *addresses):
        programs = [
            guarded.start_producer(wait=False, DATABASE_URL=url(guarded, PRODUCER, trusted, host)),
            *guarded.start_workers(1, wait=False, DATABASE_URL=url(guarded, WORKER, trusted, host))]
        for program in programs:
            until(lambda p=program: waits(guarded, p, words), 30, f"{program.name} says: {words}")
            assert program.daemon.alive() and readiness(program) == 503
        done = guarded.cli("doctor", DATABASE_URL=url(guarded, OPERATOR, trusted, host))
        assert done.code == 4 and words in done.out + done.err, done
        assert not [row for row in links(guarded) if row[0] == OPERATOR]
    said = "".join(p.daemon.log.read_text() for p in programs) + done.out + done.err
    assert guarded.password not in said


def test_nothing_is_said_in_clear_to_a_server_without_tls(guarded, authority):
    with Listener() as listener:
        away = {role: url(guarded, role, authority, port=listener.port) for role in ROLES}
        guarded.start_producer(wait=False, DATABASE_URL=away[PRODUCER])
        guarded.start_workers(1, wait=False, DATABASE_URL=away[WORKER])
        assert guarded.cli("status", DATABASE_URL=away[OPERATOR]).code == 4
        until(lambda: len(listener.heard) >= 6, 30, "some have tried to connect, again and again")
    assert set(listener.heard) == {SSL_REQUEST}


class Listener:
    """A server that speaks PostgreSQL, but no TLS, and notes all that each client says to it."""

    def __init__(self):
        self.heard = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                link = self._socket.accept()[0]
                with link, contextlib.suppress(OSError):
                    link.settimeout(10)
                    said = link.recv(8)
                    link.sendall(b"N")
                    while piece := link.recv(1000):
                        said += piece
                self.heard.append(said)


def waits(world, program, words):
    return [event for event in world.events("process_waiting", program.name)
            if words in event.get("error_message", "")]


def readiness(program):
    until(program.address, 30, f"{program.name} listens")
    return http_request("GET", f"http://{program.address()}/readyz")[0]
