"""I1, I2 and I11: every planned subject has exactly one outcome, it is the one that the engine's log
tells of, and the totals are the sums of what was counted here, one by one. Not who was told: I3.
"""

from collections import Counter, defaultdict

from checker_facts import address_of, types_of
from checker_found import Found

CHARGED_AFTER_S = 900       # an engine that was away for so long is charged for (design 7)
CLOSED_BY = 20              # subjects that failed one after the other: it was closed by then ...
UNKNOWN_BEFORE_S = 300      # after an idle night it counts as there until so long before it closed
CLOSED_WITHIN_S = 2.0       # ... as soon as the workers had reported them
UNUSABLE = ("unusable decision", "about_id is not of this user")   # found by the database


def i1(facts):
    """Each planned subject of each run has one outcome; nobody is planned twice; who is planned is
    the roster (where it has stood still); nobody else is asked about."""
    planned = defaultdict(set)
    still = not any(s.skipped_ids for slices in facts.slices.values() for s in slices)
    for run in facts.runs:
        seen = {}
        for s in facts.slices[run.id]:
            yield from _one_outcome(run, s, facts.errors[run.id])
            for subject in s.subjects:
                if subject in seen:
                    yield Found("planned twice", run.id, s.no, subject)
                seen[subject] = s.no
        yield from _strangers(run, seen, facts.errors[run.id])
        yield from _whole(facts, run)
        if still and run.source == "reveille.source_mentors":
            yield from _roster(facts, run, set(seen))
        planned[run.job_name, str(run.evaluation_date), types_of(run), run.shadow] |= set(seen)
    yield from _asked_about(facts, planned)


def _one_outcome(run, s, errors):
    open_run = run.finished is None
    if s.state == "pending":
        if not open_run:
            yield Found("a slice without an outcome in a run that has ended", run.id, s.no)
        return
    if s.state == "done" and (s.attempt < 1 or s.worker is None):
        yield Found("done, and no worker did it", run.id, s.no)
    for subject in s.skipped_ids:
        if subject not in s.subjects:
            yield Found("skipped, and not of the slice", run.id, s.no, subject)
        if subject in errors:
            yield Found("two outcomes: skipped and error", run.id, s.no, subject)
    if s.state == "unreached":
        for subject in s.subjects:
            if subject in errors or subject in s.skipped_ids:
                yield Found("two outcomes: unreached and another", run.id, s.no, subject)


def _strangers(run, seen, errors):
    for subject, error in errors.items():
        if seen.get(subject) != error.slice_no:
            yield Found("an error of somebody who is not in the slice", run.id, error.slice_no,
                        subject)


def _whole(facts, run):
    numbers = [s.no for s in facts.slices[run.id]]
    if numbers != list(range(run.slices)):
        yield Found(f"{run.slices} slices were planned, {len(numbers)} are there", run.id)


def _roster(facts, run, seen):
    if run.selection or run.replay_of or run.state not in ("completed", "partial"):
        if not seen <= facts.roster:
            yield Found(f"{len(seen - facts.roster)} planned who are not eligible", run.id)
        return
    for subject in sorted(facts.roster - seen):
        yield Found("eligible, and not planned", run.id, subject=subject)
    for subject in sorted(seen - facts.roster):
        yield Found("planned, and not eligible", run.id, subject=subject)


def _asked_about(facts, planned):
    """Every call is about a subject that a run of its job and day has planned."""
    hashes = defaultdict(set)
    for call in facts.calls:
        address = address_of(call)
        if address is None:
            yield Found("a call without a key of ours", subject=call.mentor)
            continue
        if call.mentor not in planned.get(address[:4], ()):
            yield Found(f"asked about for {address[1]}, and planned by no run of that day",
                        subject=call.mentor)
        hashes[address[0], address[2]].add(call.key.split("/")[2])
    for (job, _), different in hashes.items():
        if len(different) > 1:
            yield Found(f"the same scenarios under {len(different)} keys, job {job}")


# --- I2

def i2(facts):
    """Outcomes against the engine's log; slices' numbers and runs' totals against what is counted."""
    outages = _Outages(facts.calls)
    for run in facts.ended():
        total = Counter()
        dispatched = Counter()
        for s in facts.slices[run.id]:
            counted, told = Counter(), Counter()
            if s.state == "done":
                yield from _count_done(facts, run, s, outages, counted, told)
            else:
                counted.update(subjects=len(s.subjects), unreached=len(s.subjects))
            total += counted + Counter(slices=1, slices_done=int(s.state == "done"))
            dispatched += told
        yield from _totals(run, total, dispatched, sum(s.suppressed for s in facts.slices[run.id]))
        if [line.status for line in facts.logged[run.id]] != [run.state]:
            yield Found("not exactly one line of its state in the execution log", run.id)


def _count_done(facts, run, s, outages, counted, told):
    """Fills counted (outcomes) and told (notifications by scenario) of one slice."""
    errors = facts.errors[run.id]
    wanted = _Range()
    for subject in s.subjects:
        outcome = ("skipped" if subject in s.skipped_ids else
                   "errors" if subject in errors else "evaluated")
        counted[outcome] += 1
        if run.engine == "http":
            calls = facts.calls_for(run, subject, s.done)
            if outcome == "evaluated":
                yield from _evaluated(run, s, subject, calls, wanted)
            elif outcome == "errors":
                yield from _failed(run, s, errors[subject], calls, outages)
    told.update(n.scenario for n in facts.by_slice[run.id, s.no])
    counted["dispatched"] = sum(told.values())
    counted["subjects"] = len(s.subjects)
    for name in ("evaluated", "skipped", "errors", "dispatched"):
        if getattr(s, name) != counted[name]:
            yield Found(f"{name} is {getattr(s, name)}, counted {counted[name]}", run.id, s.no)
    if run.engine == "http" and not wanted.has(counted["dispatched"] + s.suppressed):
        yield Found(f"the engine decided {wanted}, dispatched and suppressed are "
                    f"{counted['dispatched'] + s.suppressed}", run.id, s.no)
    yield from _by_scenario(run, s, told)


def _by_scenario(run, s, told):
    suppressed = 0
    if sorted(s.by_scenario) != sorted(run.scenarios):
        yield Found("by_scenario has not the run's scenarios", run.id, s.no)
    for scenario, numbers in s.by_scenario.items():
        suppressed += sum(numbers["suppressed"].values())
        if numbers["dispatched"] != told[scenario]:
            yield Found(f"{scenario}: dispatched is {numbers['dispatched']}, counted "
                        f"{told[scenario]}", run.id, s.no)
    if suppressed != s.suppressed:
        yield Found(f"suppressed is {s.suppressed}, by scenario {suppressed}", run.id, s.no)


class _Range:
    """How many decisions the engine took: one number, or where it said different things at
    different times, any of several."""

    def __init__(self):
        self.low = self.high = 0

    def add(self, numbers):
        self.low += min(numbers)
        self.high += max(numbers)

    def has(self, number):
        return self.low <= number <= self.high

    def __str__(self):
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


def _evaluated(run, s, subject, calls, wanted):
    good = [call for call in calls if call.good]
    if not good:
        yield Found("evaluated, and the engine gave no good answer for the run's day", run.id, s.no,
                    subject)
        return
    times = {"none": 0, "two-decisions": 2}
    wanted.add([times.get(call.verb, 1) * len(run.scenarios) for call in good])


def _failed(run, s, error, calls, outages):
    """What is charged to a subject is its own: a wrong answer to it, or failures of its calls while
    the engine was there for others."""
    if error.error_class == "evaluation_logic_error":
        if error.error_message not in UNUSABLE and not any(call.wrong for call in calls):
            yield Found("an error of logic, and the engine gave no wrong answer", run.id, s.no,
                        error.subject)
    elif error.error_class in ("network_error", "timeout_error"):
        if outages.at(s.done):
            yield Found("charged with failures while the engine was away for everybody", run.id,
                        s.no, error.subject)


class _Outages:
    """When the engine was away for everybody for so long that it was closed: the times from the
    CLOSED_BY-th subject that it refused after its last answer, until it answered anybody again."""

    def __init__(self, calls):
        self._found = []            # (closed at, answered again at, when its absence began to count)
        answered, refused = None, {}
        for call in calls:
            if call.good or call.wrong:
                self._note(answered, refused, call.at)
                answered, refused = call.at, {}
            elif call.refused:
                refused.setdefault(call.mentor, call.at)
        self._note(answered, refused, float("inf"))

    def _note(self, answered, refused, again):
        times = sorted(refused.values())
        if len(times) >= CLOSED_BY:
            closed = times[CLOSED_BY - 1]
            self._found.append((closed, again, max(answered or 0, closed - UNKNOWN_BEFORE_S)))

    def at(self, time):
        """Whether it was, and for less than is charged for, and the workers knew."""
        return any(closed + CLOSED_WITHIN_S < time < again and time - since < CHARGED_AFTER_S
                   for closed, again, since in self._found)


def _totals(run, total, dispatched, suppressed):
    totals = run.totals or {}
    total["suppressed"] = suppressed
    for name in ("subjects", "evaluated", "skipped", "errors", "unreached", "dispatched",
                 "suppressed", "slices", "slices_done"):
        if totals.get(name) != total[name]:
            yield Found(f"the run's {name} is {totals.get(name)}, counted {total[name]}", run.id)
    if run.planned != total["subjects"]:
        yield Found(f"planned is {run.planned}, counted {total['subjects']}", run.id)
    for scenario, numbers in totals.get("by_scenario", {}).items():
        if numbers["dispatched"] != dispatched[scenario]:
            yield Found(f"the run's {scenario}: dispatched is {numbers['dispatched']}, counted "
                        f"{dispatched[scenario]}", run.id)


def i11(facts):
    """For a history without faults and failures: nobody is asked about twice in a run."""
    for run in facts.ended():
        for s in facts.slices[run.id] if run.engine == "http" else ():
            for subject in s.subjects if s.state == "done" else ():
                times = len(facts.calls_for(run, subject, run.finished))
                if times > 1:
                    yield Found(f"asked about {times} times", run.id, s.no, subject)
