"""HTTPS in, with a certificate of the test's own: the same endpoints, and nobody in clear."""

import http.client
import json
import ssl
import subprocess

import pytest

from world import until


@pytest.fixture
def guarded(world):
    """A producer that serves HTTPS; world.certificate is what its callers trust."""
    world.certificate, key = world.layout.folder / "cert.pem", world.layout.folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                    world.certificate], check=True, capture_output=True)
    world.start_producer(wait=False, TLS_CERT_FILE=str(world.certificate), TLS_KEY_FILE=str(key))
    until(lambda: world.events("process_ready", "producer"), 20, "the producer is ready")
    return world


def post(world, path, headers):
    host, _, port = world.programs["producer"].address().rpartition(":")
    link = http.client.HTTPSConnection(host, int(port), timeout=40,
                                       context=ssl.create_default_context(cafile=world.certificate))
    try:
        link.request("POST", path, headers=headers)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        link.close()


def test_r_s2_r_t9_a_run_is_rung_over_https_and_only_with_the_secret(guarded):
    secret = {"X-Scheduler-Secret": guarded.secret("scheduler")}
    status, summary = post(guarded, "/scenario-scheduler", secret)
    assert (status, summary["status"]) == (200, "completed")
    assert post(guarded, "/scenario-scheduler", {})[0] == 401
    assert guarded.db.value("select count(*) from reveille.run") == 1


def test_who_speaks_http_to_it_is_told_nothing(guarded):
    with pytest.raises((http.client.HTTPException, OSError)):
        guarded.http("GET", "/livez", secret=None, seconds=10)
