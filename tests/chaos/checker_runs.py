"""I4, I5, I6, I9, I10: runs beside each other, Kafka beside the rows, and the two things that are
nobody's outcome: how many calls were in flight, and deadlocks.
"""

from collections import defaultdict

from checker_facts import OPEN
from checker_found import Found

STALE_S = 10.0      # a claim that nobody has renewed for so long has no living owner (design 11)


def i4(facts):
    """At no time two active runs of a job, or two replays of a run; one run a slot."""
    beside, slots = defaultdict(list), defaultdict(list)
    for run in facts.runs:      # in the order of their start
        beside[run.job_name if run.replay_of is None else run.replay_of].append(run)
        if run.slot and run.replay_of is None and run.state != "failed":
            slots[run.job_name, run.slot].append(run)
    for runs in beside.values():
        ends, whose = float("-inf"), None
        for run in runs:
            if run.started < ends:
                yield Found(f"began while {whose} was active", run.id)
            finished = float("inf") if run.finished is None else run.finished
            if finished > ends:
                ends, whose = finished, run.id
    for runs in slots.values():
        for run in runs[1:]:
            yield Found(f"a second run of the slot of {runs[0].id}", run.id)


def i5(facts, places):
    """The committed offset passes no undone slice, unless somebody lives on it (found busy twice, it
    is left to its owner)."""
    committed = {(place.topic, place.partition): place.committed for place in places}
    for run in facts.runs:
        for s in facts.slices[run.id]:
            if s.state != "pending" or s.published_offset is None:
                continue
            alive = s.unmoved is not None and s.unmoved < STALE_S
            if committed.get((s.topic, s.partition), -1) > s.published_offset and not alive:
                yield Found(f"the offset committed in {s.topic}[{s.partition}] has passed it",
                            run.id, s.no)


def i6(facts, places):
    """Everything has come to rest: no run open, no request waiting, no lag."""
    for run in facts.runs:
        if run.state in OPEN:
            yield Found(f"still {run.state}", run.id)
    for request in facts.waiting:
        yield Found(f"request {request.id} for {request.job_name} still waits")
    for place in places:
        if place.lag:
            yield Found(f"a lag of {place.lag} in {place.topic}[{place.partition}]")


def i9(facts, limit):
    """The engine never had more calls at a time than it was to have."""
    most = max((call.in_flight for call in facts.calls), default=0)
    if most > limit:
        yield Found(f"{most} calls in flight, {limit} are allowed")


def i10(facts):
    """Locks are taken in one order: PostgreSQL had no deadlock to break, since its statistics began
    (a crash of the server begins them anew)."""
    if facts.deadlocks:
        yield Found(f"{facts.deadlocks} deadlocks")
