"""The engine's topic is deleted in the middle of a run, with every message in it: the producer makes
it again and rings for what is left."""

import time
from types import SimpleNamespace

import kafka_topic
from fleet import under_way
from stand import Result
from world import until

SHORT = SimpleNamespace(times=1, workers=2, mentors=2000, latency=50)
LONG = SimpleNamespace(times=10, workers=4, mentors=4000, latency=50)
PAGE = 10
BOUND_S = 120


def measure(stand, size, rng):
    took = []
    stand.progress.expect(size.times)
    for _ in range(size.times):
        with under_way(stand, size, PAGE) as fleet:
            share = rng.uniform(0.1, 0.6)
            until(lambda: fleet.done() >= size.mentors / PAGE * share, 120, "it is under way")
            at = time.time()
            kafka_topic.delete_topic(fleet.world.kafka, f"{fleet.world.prefix}.http")
            assert fleet.open(), "it was over before the topic was gone"
            fleet.world.ended(fleet.run, 300)
            took.append(fleet.ended_at() - at)
        stand.progress.add()
    return Result({"deleted": len(took), "closed_after_s_max": max(took),
                   "closed_after_s_min": min(took)},
                  [(f"closed within {BOUND_S} s", max(took) <= BOUND_S)])
