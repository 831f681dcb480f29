"""The link to Kafka on a real broker that lets nobody in without TLS and an identity: whole runs with
exactly the rights that deploy/DEPLOYMENT.md names, and what is said to whoever may not come in.

SCRAM is tried where it works: librdkafka 2.0.2 cannot log in to Kafka 4 with it, newer ones can.
"""

import ctypes
import os
import re
import secrets
import subprocess
from datetime import datetime

import pytest

from certificates import Authority
from checker import assert_exact
from conftest import start_or_skip
from parts import POOLED
from secured_kafka import PRODUCER, STRANGER, WORKER, SecuredKafka, acls
from stack.kafka_jars import VERSIONS
from stack.layout import Layout
from stack.net import http_request
from stack.stack import KAFKA_ENVIRONMENT
from world import World, until

pytestmark = pytest.mark.skipif(POOLED, reason="not about the database")

NEWEST = VERSIONS[0]
LIBRARY = ctypes.CDLL("librdkafka.so.1")  # the programs' own: found as they find it
NEWER = LIBRARY.rd_kafka_version() >= 0x020601ff  # since when it knows Kafka 4's SCRAM
SCRAM_VERSION = NEWEST if NEWER else "3.9.2"


class Secured(SecuredKafka):
    """Such a broker as a world takes it; the world's rights are what a run needs."""

    environment = KAFKA_ENVIRONMENT

    def take(self):
        prefix = f"flow.{secrets.token_hex(3)}"
        self.allow(acls(prefix))
        return f"localhost:{self.broker.port}", prefix


@pytest.fixture(scope="module")
def secured(folder):
    """secured(version) → that broker, for the whole module."""
    brokers = {}

    def get(version=NEWEST):
        if version not in brokers:
            layout = Layout(folder / f"secured-kafka-{version}")
            layout.create()
            brokers[version] = Secured(layout, version)
            start_or_skip(brokers[version].broker)
        return brokers[version]
    yield get
    for one in brokers.values():
        one.broker.stop()


@pytest.fixture
def enter(cluster, secured, folder):
    """enter(version) → a world on that broker."""
    worlds = []

    def make(version=NEWEST):
        worlds.append(World(folder / f"world-{secrets.token_hex(4)}", cluster, secured(version)))
        return worlds[-1]
    yield make
    wrong = [line for one in worlds for line in one.close()]
    assert not wrong, "\n".join(wrong)


def ended_exactly(world):
    number = world.ask()
    world.ended(number)
    assert_exact(world, number)


def run(world, way):
    """A run of 30 mentors, each program with its own identity; exact."""
    world.mentors(30)
    world.start_engine()
    world.start_producer(PAGE_SIZE="5", **way(PRODUCER))
    world.start_workers(2, **way(WORKER))
    ended_exactly(world)


def doctor(world, way):
    """(exit code, {check: line}) of a look with the producer's identity."""
    done = world.cli("doctor", "--json", KAFKA_TOPIC_PREFIX=world.prefix, **way)
    return done.code, {line["name"]: line for line in done.json["checks"]}


def kcat(world, way, *words, **options):
    """kcat as somebody, with all that it said."""
    properties = [f"-X{name[len('KAFKA_'):].lower().replace('_', '.')}={value}"
                  for name, value in way.items() if name != "KAFKA_BOOTSTRAP_SERVERS"]
    return subprocess.run(
        ["kcat", "-b", way["KAFKA_BOOTSTRAP_SERVERS"], *properties, "-t", f"{world.prefix}.http",
         *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
        text=True, errors="replace", **options)


@pytest.mark.parametrize("version", VERSIONS)
def test_r_x3_a_run_passes_with_certificates_and_exactly_the_documented_rights(enter, version):
    world = enter(version)
    run(world, world.brokers.tls)
    _, lines = doctor(world, world.brokers.tls(PRODUCER))
    assert [lines[name]["ok"] for name in ("broker", "topics", "group")] == [True] * 3, lines


def test_r_x3_a_run_passes_with_scram_over_tls_its_passwords_in_files(enter):
    world = enter(SCRAM_VERSION)

    def way(name):
        variables = world.brokers.scram(name)
        file = world.layout.secret / f"kafka-{name}"
        file.write_text(variables.pop("KAFKA_SASL_PASSWORD") + "\n", encoding="utf-8")
        return {**variables, "KAFKA_SASL_PASSWORD_FILE": str(file)}
    run(world, way)
    text = world.cli("doctor", KAFKA_TOPIC_PREFIX=world.prefix, **way(PRODUCER)).out
    everything = text + "".join(p.daemon.log.read_text() for p in world.programs.values())
    assert not [name for name in (PRODUCER, WORKER) if world.brokers.password(name) in everything]


def test_a_worker_cannot_write_a_producer_cannot_read_and_a_stranger_neither(enter, tmp_path):
    world = enter()
    way = world.brokers.tls
    run(world, way)
    read, message = ("-C", "-e", "-q", "-f", "."), tmp_path / "message"
    message.write_text("forged")
    written = kcat(world, way(WORKER), *read).stdout
    assert re.fullmatch(r"\.{6,}", written), "a worker reads the slices"
    for name, words in ((WORKER, ("-P", "-p", "0", str(message))), (PRODUCER, read),
                        (STRANGER, ("-P", "-p", "0", str(message))), (STRANGER, read)):
        done = kcat(world, way(name), *words, stdin=subprocess.DEVNULL)
        assert done.returncode != 0 and "authorization failed" in done.stdout, (name, done)
    assert kcat(world, way(WORKER), *read).stdout == written, "nothing was written"


def without_certificate(broker, name):
    return {variable: value for variable, value in broker.tls(name).items()
            if variable not in ("KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_KEY_LOCATION")}


def in_clear(broker, name):
    return {"KAFKA_BOOTSTRAP_SERVERS": broker.tls(name)["KAFKA_BOOTSTRAP_SERVERS"]}


def trusting(broker, name, certificate):
    return {**broker.tls(name), "KAFKA_SSL_CA_LOCATION": str(certificate)}


# Each: how somebody comes, a word of what is said, and the variable that the mend names.
WRONG = {
    "another authority": (lambda broker, name, other: trusting(broker, name, other.certificate),
                          "certificate verify failed", "KAFKA_SSL_CA_LOCATION"),
    "another name": (lambda broker, name, other: broker.nameless(name),
                     "certificate verify failed", "KAFKA_SSL_CA_LOCATION"),
    "no certificate": (lambda broker, name, other: without_certificate(broker, name),
                       "alert", "KAFKA_SSL_CERTIFICATE_LOCATION"),
    "a certificate of another authority": (lambda broker, name, other: broker.tls(name, other),
                                           "alert", "KAFKA_SSL_CERTIFICATE_LOCATION"),
    "a wrong password": (lambda broker, name, other: broker.scram(name, "wrong-" + "5e" * 16),
                         "invalid credentials", "KAFKA_SASL_PASSWORD"),
    "in clear": (lambda broker, name, other: in_clear(broker, name),
                 "brokers are down" if NEWER else "security.protocol", "KAFKA_SECURITY_PROTOCOL"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_r_x3_who_may_not_come_in_waits_and_says_why(enter, fault, tmp_path):
    way, words, variable = WRONG[fault]
    world = enter(SCRAM_VERSION)  # elsewhere the right password is as wrong
    other = Authority(tmp_path / "other", "another authority")
    waiting = [world.start_producer(wait=False, **way(world.brokers, PRODUCER, other)),
               *world.start_workers(1, wait=False, **way(world.brokers, WORKER, other))]
    for program in waiting:
        until(lambda p=program: p.daemon.alive() and said(world, p, words), 60,
              f"{program.name} has said: {words}")
        until(lambda p=program: world.events("process_waiting", p.name), 60,
              f"{program.name} has said that it waits")
    code, lines = doctor(world, way(world.brokers, PRODUCER, other))
    assert (code, lines["broker"]["ok"]) == (4, False)
    assert words in lines["broker"]["found"] and variable in lines["broker"]["mend"]
    for program in waiting:
        assert readiness(program) == 503 and program.daemon.alive()
        assert_said_once(said(world, program, words))
        assert "5e5e" not in program.daemon.log.read_text() + "".join(world.said)


def test_r_x3_who_has_no_rights_waits_and_begins_when_they_are_given(enter):
    world = enter()
    broker = world.brokers
    way = broker.tls(STRANGER)
    world.mentors(10)
    world.start_engine()
    producer = world.start_producer(wait=False, **way)
    worker, = world.start_workers(1, wait=False, **way)
    for program in (producer, worker):
        until(lambda p=program: said(world, p, "authorization failed"), 60,
              f"{program.name} has said that it may not")
    code, lines = doctor(world, way)
    assert code == 1 and "Create and Write" in lines["topics"]["mend"], lines["topics"]
    assert [readiness(program) for program in (producer, worker)] == [503, 503]
    broker.allow([(STRANGER, *rule) for _, *rule in acls(world.prefix)])
    producer.wait_ready()
    worker.wait_ready()
    ended_exactly(world)


def test_the_programs_use_the_librdkafka_that_these_tests_found(enter):
    LIBRARY.rd_kafka_version_str.restype = ctypes.c_char_p
    version = LIBRARY.rd_kafka_version_str().decode()
    assert version == os.environ.get("REVEILLE_FLOW_LIBRDKAFKA", version)
    world = enter()
    programs = [world.start_producer(wait=False, **world.brokers.tls(PRODUCER)),
                *world.start_workers(1, wait=False, **world.brokers.tls(WORKER))]
    for program in programs:
        program.wait_ready()
        until(lambda p=program: [
            series for series in world.metrics(p)
            if series.startswith("reveille_build_info") and f'librdkafka="{version}"' in series],
              10, f"{program.name} says that it uses {version}")


def said(world, program, words):
    return [event for event in world.events(program=program.name)
            if words in event.get("error_message", "")]


def assert_said_once(events):
    """Or once in ten seconds, if it takes so long; each of librdkafka's codes for it."""
    assert events
    for code in {event["error_code"] for event in events}:
        times = [datetime.fromisoformat(e["time"]) for e in events if e["error_code"] == code]
        gaps = [(after - before).total_seconds() for before, after in zip(times, times[1:])]
        assert all(gap > 9 for gap in gaps), [event["error_message"] for event in events]


def readiness(program):
    return http_request("GET", f"http://{program.address()}/readyz")[0]
