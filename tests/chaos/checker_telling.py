"""I3: who was told, and who was not. No two notifications of a key closer than the cooldown; what
the engine wanted and did not happen has the row that explains it; a cooldown and an outbox row for
each notification, and for nothing else. Numbers are I2's.
"""

from collections import Counter
from datetime import timedelta

from checker_facts import NIL
from checker_found import Found


def i3(facts, sent=0):
    """sent: how many notifications the application has taken and reported as sent."""
    yield from _too_close(facts)
    yield from _dates(facts)
    yield from _cooldowns(facts)
    yield from _outbox(facts, sent)
    for run in facts.ended():
        if run.engine == "http":
            yield from _wishes(facts, run)


def _free_from(n):
    return n.start + timedelta(days=n.days)


def _too_close(facts):
    for told in facts.told.values():
        before = None
        for n in sorted(told, key=lambda n: n.start):
            if before is not None and n.start < before:
                yield Found(f"told again on {n.start}, before {before}", n.run, n.slice_no, n.user)
            before = max(before or _free_from(n), _free_from(n))
        for day, times in Counter(n.evaluation_date for n in told).items():
            if times > 1:
                yield Found(f"told {times} times about {day}", told[0].run, None, told[0].user)


def _dates(facts):
    """A notification is its run's, and bears its run's dates: nobody else's idea of today."""
    runs = {run.id: run for run in facts.runs}
    for n in facts.notifications:
        run = runs.get(n.run)
        if run is None:
            yield Found("a notification of no run", n.run, n.slice_no, n.user)
        elif (n.evaluation_date, n.start) != (run.evaluation_date, run.dispatch_date):
            yield Found(f"its dates are {n.evaluation_date} and {n.start}, the run's "
                        f"{run.evaluation_date} and {run.dispatch_date}", n.run, n.slice_no, n.user)
        elif run.shadow:
            yield Found("told by a shadow run", n.run, n.slice_no, n.user)
        elif n.days != run.scenarios.get(n.scenario, {}).get("cooldown_days"):
            yield Found("not the cooldown of its run", n.run, n.slice_no, n.user)


def _cooldowns(facts):
    until = {(c.user, c.scenario, c.about): c.until for c in facts.cooldowns}
    for key, told in facts.told.items():
        if until.pop(key, None) != max(_free_from(n) for n in told):
            yield Found("no cooldown, or another, than its notifications give", subject=key[0])
    for key in until:
        yield Found("a cooldown that no notification explains", subject=key[0])


def _outbox(facts, sent):
    waiting = Counter((o.start, o.user, o.scenario, o.about) for o in facts.outbox)
    to_send = {(n.start, n.user, n.scenario, n.about) for n in facts.notifications if not n.external}
    for row, times in waiting.items():
        if row not in to_send:
            yield Found("waits in the outbox, and is no notification to send", subject=row[1])
        if times > 1:
            yield Found(f"{times} times in the outbox", subject=row[1])
    if len(to_send - set(waiting)) != sent:
        yield Found(f"{len(to_send)} notifications to send, {len(waiting)} of them wait, {sent} "
                    "were sent")


# --- what the engine wanted

def _wishes(facts, run):
    """For one run, slice by slice: what the engine decided about each subject against what is
    there."""
    for s in facts.slices[run.id]:
        wanted = {}             # (user, scenario, about) → the actions that the engine gave for it
        for subject in s.subjects if s.state == "done" else ():
            if subject not in s.skipped_ids and subject not in facts.errors[run.id]:
                _wanted(facts, run, s, subject, wanted)
        there = {(n.user, n.scenario, n.about): n for n in facts.by_slice[run.id, s.no]}
        for key, n in there.items():
            wish = "dispatched" if n.external else "dispatch"
            if wish not in wanted.get(key, ()):
                yield Found(f"told, and the engine did not decide {wish}", run.id, s.no, n.user)
        for key, actions in wanted.items():
            if (actions <= {"dispatch", "dispatched"} and key not in there
                    and not _explained(facts, run, s, key)):
                yield Found("not told, and nothing explains it", run.id, s.no, key[0])


def _wanted(facts, run, s, subject, wanted):
    same = {"slow-drip": "dispatch", "two-decisions": "dispatch"}
    user = facts.users.get(subject, NIL)
    for call in facts.calls_for(run, subject, s.done):
        for scenario, frozen in run.scenarios.items() if call.good else ():
            about = call.told if frozen.get("per_subject") and call.told else NIL
            wanted.setdefault((user, scenario, about), set()).add(same.get(call.verb, call.verb))


def _explained(facts, run, s, key):
    """Whether a suppression has its reason: the run only tried, or the same was told for this day,
    or within whose cooldown it would have been, by the time that the slice was settled."""
    return run.shadow or any(
        n.created <= s.done and (n.evaluation_date == run.evaluation_date
                                 or _free_from(n) > run.dispatch_date)
        for n in facts.told[key])
