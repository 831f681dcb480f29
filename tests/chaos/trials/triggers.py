"""A job is rung again and again within a second, at two producers at once: one run, and everybody who
rang is told of it."""

import collections
import json
import socket
import statistics
import threading
import time
from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, Result
from world import JOB

SHORT = SimpleNamespace(triggers=200, callers=20, mentors=200)
LONG = SimpleNamespace(triggers=1000, callers=40, mentors=500)
SECONDS = 0.9      # in which they are sent


def measure(stand, size, rng):
    with stand.world() as world:
        world.mentors(size.mentors)
        world.start_engine(latency=5)
        world.start_producer()
        world.start_producer("producer-2")
        Fleet(world, 2)
        answers, seconds = ring(world, size)
        runs = {run for run, _, _ in answers}
        statuses = collections.Counter(status for _, status, _ in answers)
        rows = world.db.value("select count(*) from reveille.run")
        run = min(runs, key=str)
        evaluated = world.ended(run)["total_evaluated"]
        judge(world)
    times = sorted(1000 * took for _, _, took in answers)
    return Result(
        {"triggers": len(answers), "sent_within_s": seconds, "runs": rows,
         "answers": " ".join(f"{n}×{status}" for status, n in sorted(statuses.items())),
         "median_ms": statistics.median(times), "p99_ms": times[int(len(times) * 0.99)],
         "max_ms": times[-1]},
        [("all of them sent within a second", seconds <= 1), ("one run", rows == 1 and runs == {run}),
         ("all answered with it", set(statuses) <= {200, 202}),
         ("exact", evaluated == size.mentors)])


def ring(world, size):
    """All callers at once, each on its own connection, spread over SECONDS whether or not they have
    been answered yet. Returns [(run, status, seconds)], and how long it took to send them all."""
    addresses = [world.programs[name].address() for name in ("producer", "producer-2")]
    asked = request(world.secret("scheduler"))
    each = size.triggers // size.callers
    begin = time.monotonic() + 0.2
    answers, sent = [], []

    def caller(number):
        host, _, port = addresses[number % 2].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as link:
            times = []
            reader = threading.Thread(target=listen, args=(link.makefile("rb"), times))
            reader.start()
            for n in range(each):
                pause(begin + SECONDS * (n + number / size.callers) / each - time.monotonic())
                times.append(time.monotonic())
                link.sendall(asked)
            reader.join()
            sent.extend(times)

    def listen(answer, times):
        for n in range(each):
            status, body = read(answer)
            answers.append((json.loads(body).get("run_id"), status, time.monotonic() - times[n]))
    threads = [threading.Thread(target=caller, args=(n,)) for n in range(size.callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, max(sent) - min(sent)


def request(secret):
    """By hand, as the reading: a client of the library would be busier than the producers."""
    return (f"POST /v1/jobs/{JOB}/runs HTTP/1.1\r\nHost: trial\r\nX-Scheduler-Secret: {secret}\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").encode()


def read(answer):
    """(status, body) of the next answer."""
    status = int(answer.readline().split()[1])
    length = 0
    while (line := answer.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, answer.read(length)
