"""Kafka's own bytes: one request and its answer, asked of any broker by none of Reveille's programs
and without librdkafka or a tool of Kafka's. Plaintext only. What is asked, and why: checker_kafka.py
(where a group stands), kafka_topic.py (that a topic shall go).
"""

import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "local"))

from stack.net import kafka_request                          # noqa: E402

SECONDS = 10


class KafkaError(Exception):
    """A broker that is out of reach, or says no."""


def ask(address, api, version, body, seconds=SECONDS):
    """The Answer of the broker at host:port, or KafkaError."""
    try:
        return Answer(kafka_request(address, api, version, body, seconds))
    except (OSError, ValueError, struct.error) as reason:
        raise KafkaError(f"{address}: {reason}") from reason


def refused(code, what):
    if code:
        raise KafkaError(f"{what}: Kafka's error {code}")


def array(items, encode):
    return struct.pack(">i", len(items)) + b"".join(encode(item) for item in items)


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


class Answer:
    """An answer's body, read from its beginning to its end."""

    def __init__(self, data):
        self._data, self._at = data, 0

    def _take(self, form, size):
        value, = struct.unpack_from(form, self._data, self._at)
        self._at += size
        return value

    def int16(self):
        return self._take(">h", 2)

    def int32(self):
        return self._take(">i", 4)

    def int64(self):
        return self._take(">q", 8)

    def text(self):
        size = max(0, self.int16())                              # -1: none
        self._at += size
        return self._data[self._at - size:self._at].decode()

    def skip(self, size):
        self._at += size
