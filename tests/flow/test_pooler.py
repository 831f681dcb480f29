"""How the producer hears of requests: by LISTEN, or behind a transaction pooler by polling."""

from parts import POOLED
from world import until


def test_the_producer_says_whether_it_listens_and_finds_requests_either_way(world):
    world.start_producer()
    said = until(lambda: world.events("listen_proven", "producer"), 20, "it says so")
    assert [event["proven"] for event in said] == [not POOLED]
    done = world.cli("run", "drill", "--json", "--wait=60")
    assert done.code == 0, done.err
    assert done.json["status"] == "completed"
