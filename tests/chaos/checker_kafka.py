"""Where a group stands and where the logs end, asked in Kafka's own protocol. How that is spoken:
kafka_wire.py.
"""

import struct
from dataclasses import dataclass

from kafka_wire import array, ask, refused, text

METADATA, FIND_COORDINATOR, OFFSET_FETCH, LIST_OFFSETS = 3, 10, 9, 2
LATEST = -1


@dataclass(frozen=True)
class Place:
    """A partition: what the group has committed (-1: nothing), and where its log ends."""
    topic: str
    partition: int
    committed: int
    end: int

    @property
    def lag(self):
        """Messages that are not committed. Below what is committed: the log was made anew."""
        return max(0, self.end - max(self.committed, 0))


def places(bootstrap, group, topics):
    """A Place for each partition of these topics; a topic that is not there has none."""
    if not topics:
        return []
    brokers, leaders = _metadata(bootstrap, topics)
    committed = _committed(_coordinator(bootstrap, group), group, leaders)
    ends = {}
    for node in set(leaders.values()):
        led = [place for place, leader in leaders.items() if leader == node]
        ends.update(_ends(brokers[node], led))
    return [Place(topic, partition, committed.get((topic, partition), -1), ends[topic, partition])
            for topic, partition in sorted(leaders)]


# --- the four questions

def _metadata(address, topics):
    """({node: address}, {(topic, partition): leader}), version 1."""
    answer = ask(address, METADATA, 1, array(topics, text))
    brokers = {}
    for _ in range(answer.int32()):
        node, host, port = answer.int32(), answer.text(), answer.int32()
        answer.text()                                            # its rack
        brokers[node] = f"{host}:{port}"
    answer.int32()                                               # the controller
    leaders = {}
    for _ in range(answer.int32()):
        missing, topic = answer.int16(), answer.text()
        answer.skip(1)                                           # internal or not
        for _ in range(answer.int32()):
            answer.int16()
            partition, leader = answer.int32(), answer.int32()
            answer.skip(4 * answer.int32())                      # replicas
            answer.skip(4 * answer.int32())                      # in-sync replicas
            if not missing and leader >= 0:
                leaders[topic, partition] = leader
    return brokers, leaders


def _coordinator(address, group):
    answer = ask(address, FIND_COORDINATOR, 0, text(group))
    refused(answer.int16(), "no coordinator for the group")
    answer.int32()                                               # its node
    return f"{answer.text()}:{answer.int32()}"


def _committed(address, group, leaders):
    """{(topic, partition): offset}, version 1: the group's own, from its coordinator."""
    answer = ask(address, OFFSET_FETCH, 1, text(group) + _topics(leaders, lambda _: b""))
    found = {}
    for topic, partition in _answered(answer):
        found[topic, partition] = answer.int64()
        answer.text()                                            # what was noted beside it
        refused(answer.int16(), "no committed offset")
    return found


def _ends(address, led):
    """{(topic, partition): the offset that the next message gets}, version 1."""
    body = struct.pack(">i", -1) + _topics(led, lambda _: struct.pack(">q", LATEST))
    answer = ask(address, LIST_OFFSETS, 1, body)
    found = {}
    for topic, partition in _answered(answer):
        refused(answer.int16(), "no end of the log")
        answer.int64()                                           # a time
        found[topic, partition] = answer.int64()
    return found


# --- partitions in a body

def _topics(places_of, more):
    """[topic [partition + more(partition)]]"""
    by_topic = {}
    for topic, partition in sorted(places_of):
        by_topic.setdefault(topic, []).append(struct.pack(">i", partition) + more(partition))
    return array(by_topic, lambda topic: text(topic) + array(by_topic[topic], bytes))


def _answered(answer):
    """Goes through [topic [partition …]]; the caller reads what follows each partition."""
    for _ in range(answer.int32()):
        topic = answer.text()
        for _ in range(answer.int32()):
            yield topic, answer.int32()
