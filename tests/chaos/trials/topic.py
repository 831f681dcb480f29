"""The engine's topic is deleted in the middle of a run, with every message in it: the producer makes
it again and rings for what is left."""

import socket
import struct
import time
from types import SimpleNamespace

from fleet import Fleet
from stand import judge, new_roster, Result
from world import until

SHORT = SimpleNamespace(times=1, workers=2, mentors=2000, latency=50)
LONG = SimpleNamespace(times=10, workers=4, mentors=4000, latency=50)
PAGE = 10
BOUND_S = 120


def measure(stand, size, rng):
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers)
        took = []
        for _ in range(size.times):
            new_roster(world, size.mentors)
            run = world.ask()
            until(lambda: fleet.done(run) >= size.mentors / PAGE * rng.uniform(0.1, 0.6), 120,
                  "the run is under way")
            at = time.time()
            delete_topic(world.kafka, f"{world.prefix}.http")
            left = size.mentors // PAGE - fleet.done(run)
            assert left > 0, "it was over before the topic was gone"
            world.ended(run, 300)
            took.append(world.db.value("select extract(epoch from finished_at)::float8 "
                                       "from reveille.run where run_id = %s", run) - at)
            judge(world, run)
    return Result({"deleted": len(took), "closed_after_s_max": max(took),
                   "closed_after_s_min": min(took)},
                  [(f"closed within {BOUND_S} s", max(took) <= BOUND_S)])


def delete_topic(address, name):
    """DeleteTopics, version 1, as Kafka's protocol has it."""
    host, _, port = address.rpartition(":")
    text = name.encode()
    question = (struct.pack(">hhih", 20, 1, 1, 5) + b"trial" +
                struct.pack(">ih", 1, len(text)) + text + struct.pack(">i", 10000))
    with socket.create_connection((host, int(port)), timeout=30) as link:
        link.sendall(struct.pack(">i", len(question)) + question)
        answer = link.makefile("rb")
        size, = struct.unpack(">i", answer.read(4))
        body = answer.read(size)
    error, = struct.unpack_from(">h", body, 4 + 4 + 4 + 2 + len(text))
    assert error == 0, f"Kafka does not delete {name}: error {error}"
