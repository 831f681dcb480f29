"""That a topic shall go, said to a broker in Kafka's own bytes: no tool of Kafka's, which takes a JVM
seconds, and none of Reveille's. The embedded broker has no such request. What a group has committed
and where a log ends is asked by checker_kafka.py.
"""

import socket
import struct

DELETE_TOPICS = 20     # in version 1
UNKNOWN_TOPIC = 3
SECONDS = 10


def delete_topic(address, topic):
    """True: it is gone a moment later. False: there is none. ValueError if the broker refuses."""
    answer = ask(address, struct.pack(">i", 1) + text(topic) + struct.pack(">i", SECONDS * 1000))
    # behind the correlation id and the throttle time: one topic, its name, how it went
    count, length = struct.unpack_from(">ih", answer, 8)
    error = struct.unpack_from(">h", answer, 14 + length)[0] if count == 1 else None
    if error == UNKNOWN_TOPIC:
        return False
    if error != 0:
        raise ValueError(f"the broker does not delete {topic}: error {error}")
    return True


def ask(address, body):
    host, _, port = address.rpartition(":")
    message = struct.pack(">hhi", DELETE_TOPICS, 1, 1) + text("chaos") + body
    with socket.create_connection((host, int(port)), timeout=2 * SECONDS) as link:
        link.sendall(struct.pack(">i", len(message)) + message)
        return read(link, struct.unpack(">i", read(link, 4))[0])


def read(link, size):
    data = b""
    while len(data) < size:
        piece = link.recv(size - len(data))
        if not piece:
            raise OSError("the broker closed the connection")
        data += piece
    return data


def text(value):
    return struct.pack(">h", len(value)) + value.encode()
