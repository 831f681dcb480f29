"""That a topic shall go, said to a broker in Kafka's own protocol: Kafka's tool is a JVM, and takes
seconds. The embedded broker has no such request.
"""

import struct

from kafka_wire import array, ask, refused, SECONDS, text

DELETE_TOPICS = 20
UNKNOWN_TOPIC = 3


def delete_topic(address, topic):
    """True: it is gone a moment later. False: there is none. KafkaError if the broker refuses."""
    body = array([topic], text) + struct.pack(">i", SECONDS * 1000)
    answer = ask(address, DELETE_TOPICS, 1, body, 2 * SECONDS)
    answer.int32()                                               # how long it was throttled
    answer.int32()                                               # one topic, ...
    answer.text()                                                # ... this one
    error = answer.int16()
    if error == UNKNOWN_TOPIC:
        return False
    refused(error, f"{topic} is not deleted")
    return True
