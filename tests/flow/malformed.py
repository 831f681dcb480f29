"""Forty HTTP requests and forty messages that are not what they should be."""

import struct

SECRET = b"X-Scheduler-Secret: %SECRET%\r\n"
LOCAL = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
RING = b"/v1/jobs/scenario_scheduler/runs"


def _post(body, path=RING, headers=JSON, length=None):
    size = len(body) if length is None else length
    return (b"POST " + path + b" HTTP/1.1\r\n" + LOCAL + SECRET + headers
            + b"Content-Length: " + str(size).encode() + b"\r\n\r\n" + body)


def _get(path, headers=b""):
    return b"GET " + path + b" HTTP/1.1\r\n" + LOCAL + SECRET + headers + b"\r\n"


# Bytes as they are sent, the operator's secret in the place of %SECRET%. Each must be answered with
# a 4xx (501 where a method or coding is not known), or the connection closed; none asks for a run.
REQUESTS = [
    # no HTTP at all
    b"\r\n\r\n\r\n", b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,
    b"\0" * 200, b"GET\r\n\r\n", b"GET /livez\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n",
    b"G\xc3\x8bT /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"GET  /livez  HTTP/1.1\r\nHost: x\r\n\r\n",
    # headers
    b"GET /v1/runs HTTP/1.1\r\n" + SECRET + b"\r\n",                          # no Host
    b"GET /v1/runs HTTP/1.1\r\n" + LOCAL + LOCAL + SECRET + b"\r\n",          # two
    _get(b"/v1/runs", b"no colon here\r\n"), _get(b"/v1/runs", b": no name\r\n"),
    _get(b"/v1/runs", b"na me: with a space\r\n"),
    _get(b"/v1/runs", b"X: " + b"a" * 9000 + b"\r\n"),
    _get(b"/" + b"a" * 9000), _get(b"/v1/runs", b"".join(b"X%d: y\r\n" % n for n in range(2000))),
    # lengths
    _post(b"{}", length=-1), _post(b"{}", headers=JSON + b"Content-Length: 3\r\n"),
    _post(b"{}", headers=JSON + b"Transfer-Encoding: chunked\r\n"),
    b"POST " + RING + b" HTTP/1.1\r\n" + LOCAL + SECRET + b"Content-Length: 1e3\r\n\r\n{}",
    b"POST " + RING + b" HTTP/1.1\r\n" + LOCAL + SECRET + b"Content-Length: 99999999999\r\n\r\n{}",
    _post(b"{" + b" " * 70000 + b"}"),
    # bodies
    _post(b"{"), _post(b"null"), _post(b"[]"), _post(b'"{}"'), _post(b"{} {}"),
    _post(b"\xff\xfe{}"),
    _post(b'{"shadow":true,"shadow":false}'), _post(b'{"shadow":1}'),
    _post(b'{"evaluation_date":[]}'),
    _post(b'{"evaluation_date":"2026-02-30"}'), _post(b'{"scenario_types":["no such type"]}'),
    _post(b'{"unknown":1}'), _post(b"[" * 60000),
    _post(b"{}", headers=b"Content-Type: text/xml\r\n"),
    # paths
    _post(b"{}", path=b"/v1/jobs/%00/runs"), _post(b"{}", path=b"/v1/jobs/../runs"),
    _get(b"/v1/runs/00000000-0000-0000-0000-00000000000g"),
]
assert len(REQUESTS) == 40


def _address(run=b"\x11" * 16, slice_no=0, version=1):
    """A slice's address as the producer writes it."""
    return (b"\x83\xa1v" + bytes([version]) + b"\xa3run\xc4" + bytes([len(run)]) + run
            + b"\xa5slice" + b"\xce" + struct.pack(">I", slice_no))


# Values of Kafka messages. None is a slice's address that is known; each costs a dead letter.
MESSAGES = [
    b" ", b"\0", b"hello", b"{}", b"\xc0", b"\xc1", b"\xff" * 64, b"a" * 65, b"b" * 100_000,
    b"\x80", b"\x90", b"\x01", b"\xca\0\0\0\0", b"\xc2", b"\xa5slice", b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\1",
    b"\x91" * 40, b"\x81" * 40, b"\x83\xa1v\x01",
    _address(version=0), _address(version=2), _address(version=127),
    _address(run=b""), _address(run=b"\x11" * 15), _address(run=b"\x11" * 17),
    _address(run=b"\0" * 16), _address(run=b"\xff" * 16), _address(slice_no=2 ** 32 - 1),
    _address(slice_no=2 ** 31), _address() + b"\0", _address()[:-1], b"\0" + _address(),
    _address().replace(b"slice", b"slIce"), _address().replace(b"\x83", b"\x84") + b"\xa1x\x01",
    _address(run=b"\x22" * 16), _address(run=b"\x22" * 16, slice_no=7),
]
assert len(MESSAGES) == 40
