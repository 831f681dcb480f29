"""Loopback networking: a free port, one HTTP request, one Kafka request."""

import http.client
import random
import socket
import struct
import urllib.parse
from pathlib import Path

from .layout import StackError

METADATA = 3  # Kafka's number for this request


def free_port():
    """A port on 127.0.0.1 that nobody listens on, below those the system gives to outgoing
    connections: what is restarted on it later must find it free."""
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    ceiling = int(limits.read_text().split()[0]) if limits.exists() else 32768
    for _ in range(200):
        port = random.randrange(min(20000, ceiling - 1000), ceiling)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StackError("no free port on 127.0.0.1")


def http_request(method, url, headers=None, body=None, seconds=5):
    """Returns (status, body as text), or (None, reason) when nobody answers in time."""
    parts = urllib.parse.urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        link.request(method, path or "/", body=body, headers=headers or {})
        answer = link.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as reason:
        return None, str(reason)
    finally:
        link.close()


def kafka_answers(address, with_controller, seconds=2, tls=None):
    """Whether the Kafka broker at host:port answers Metadata with itself as a member, and, if asked
    for, with a controller: before that it takes requests but can create no topic."""
    try:
        answer = kafka_request(address, METADATA, 1, struct.pack(">i", 0), seconds, tls)
        brokers, controller = _parse_metadata(answer)
    except (OSError, ValueError, struct.error, IndexError):
        return False
    return brokers > 0 and (controller >= 0 or not with_controller)


def kafka_request(address, api, version, body, seconds=2, tls=None):
    """The answer's body to one request of Kafka's protocol, with the old form of header. In clear,
    or with `tls`, an ssl.SSLContext. OSError or ValueError: no answer."""
    host, _, port = address.rpartition(":")
    request = struct.pack(">hhih", api, version, 1, 5) + b"stack" + body
    with socket.create_connection((host, int(port)), timeout=seconds) as plain, \
            (tls.wrap_socket(plain, server_hostname=host) if tls else plain) as link:
        link.sendall(struct.pack(">i", len(request)) + request)
        size = struct.unpack(">i", _read(link, 4))[0]
        return _read(link, size)[4:]  # behind the request's number


def _read(link, size):
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise ValueError("the broker closed the connection")
        data += piece
    return data


def _parse_metadata(answer):
    """(number of brokers, controller's id or -1) of a Metadata response, version 1."""
    count = struct.unpack_from(">i", answer, 0)[0]
    at = 4
    for _ in range(count):
        at += 4                                                       # the node's id
        at += 2 + struct.unpack_from(">h", answer, at)[0]             # its host
        at += 4                                                       # its port
        at += 2 + max(0, struct.unpack_from(">h", answer, at)[0])     # its rack, -1 for none
    return count, struct.unpack_from(">i", answer, at)[0]
