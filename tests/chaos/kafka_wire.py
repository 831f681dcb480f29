"""A few words of Kafka's protocol, spoken directly: what a group has committed, where a topic ends,
and that a topic shall go. No client library between, and none of Reveille's; works with Apache
Kafka and with the embedded broker, which has no delete. One connection a question.
"""

import socket
import struct

DELETE_TOPICS, LIST_OFFSETS, OFFSET_FETCH = 20, 2, 9   # each asked in version 1
LATEST = -1            # as a timestamp: the offset the next message will get
SECONDS = 10


def committed(address, group, topic, partitions):
    """{partition: offset that the group has committed}; -1 where it has none."""
    answer = ask(address, OFFSET_FETCH, text(group) + array([text(topic) + array(
        [struct.pack(">i", partition) for partition in range(partitions)])]))
    found = {}
    for _topic in range(answer.take(">i")):
        answer.text()
        for _partition in range(answer.take(">i")):
            partition, offset = answer.take(">i"), answer.take(">q")
            answer.text()
            error = answer.take(">h")
            found[partition] = offset if error == 0 else -1
    return found


def ends(address, topic, partitions):
    """{partition: the offset that its next message will get}; without those that are not there."""
    answer = ask(address, LIST_OFFSETS, struct.pack(">i", -1) + array([text(topic) + array(
        [struct.pack(">iq", partition, LATEST) for partition in range(partitions)])]))
    found = {}
    for _topic in range(answer.take(">i")):
        answer.text()
        for _partition in range(answer.take(">i")):
            partition, error = answer.take(">i"), answer.take(">h")
            _timestamp, offset = answer.take(">q"), answer.take(">q")
            if error == 0:
                found[partition] = offset
    return found


def lag(address, group, topic, partitions):
    """Messages of the topic that the group has yet to commit."""
    done = committed(address, group, topic, partitions)
    return sum(max(0, end - max(0, done.get(partition, -1)))
               for partition, end in ends(address, topic, partitions).items())


def delete_topic(address, topic):
    """Fails with ValueError if the broker refuses. It is gone a moment later."""
    answer = ask(address, DELETE_TOPICS, array([text(topic)]) + struct.pack(">i", SECONDS * 1000))
    if answer.take(">i") != 1:
        raise ValueError(f"the broker says nothing of {topic}")
    answer.text()
    error = answer.take(">h")
    if error != 0:
        raise ValueError(f"the broker does not delete {topic}: error {error}")


class Answer:
    """Bytes that are read from the front."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def take(self, form):
        value = struct.unpack_from(form, self._data, self._at)[0]
        self._at += struct.calcsize(form)
        return value

    def text(self):
        size = max(0, self.take(">h"))
        self._at += size
        return self._data[self._at - size:self._at].decode()


def ask(address, key, body):
    """The answer to one request, without its correlation id."""
    host, _, port = address.rpartition(":")
    message = struct.pack(">hhi", key, 1, 1) + text("chaos") + body
    with socket.create_connection((host, int(port)), timeout=SECONDS) as link:
        link.sendall(struct.pack(">i", len(message)) + message)
        size = struct.unpack(">i", read(link, 4))[0]
        answer = Answer(read(link, size))
    answer.take(">i")
    if key == DELETE_TOPICS:
        answer.take(">i")  # for how long the broker throttles us
    return answer


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


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)
