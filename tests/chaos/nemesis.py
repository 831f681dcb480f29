"""Who draws the faults, and who does them.

A schedule is drawn whole from the seed before anything starts: storms with several faults at a
time, calm between them, so that it can be told what was recovered from. The same seed, length,
shape and choice of kinds give the same schedule, on every machine.
"""

import dataclasses
import json
import random
import threading
import time

from faults import KINDS

CALM = (5, 9)       # seconds without a fault, before each storm and at the end
STORM = (15, 30)    # seconds in which faults begin
FAULTS = (6, 12)    # a storm
TRIES = 8           # to find a target that is free
MARGIN = 2          # seconds between two faults on the same target


@dataclasses.dataclass(frozen=True)
class Fault:
    at: float        # seconds from the start
    seconds: float   # from its begin to its end
    kind: str
    target: str
    detail: object   # what KINDS[kind].draw gave

    def __str__(self):
        detail = "" if self.detail is None else f" {self.detail}"
        return f"{self.at:7.1f} s  for {self.seconds:4.1f} s  {self.kind} {self.target}{detail}"


def resource(target):
    """Two faults with the same resource do not overlap. The engine's link counts as the engine: a
    call whose end is not passed on is in flight for an engine that hangs, and nobody's call."""
    return "engine" if target == "link:engine" else target


def schedule(seed, seconds, shape, kinds=None):
    """The faults of a campaign, in the order of their begin."""
    dice = random.Random(f"reveille {seed}")
    names = [name for name in KINDS if name in (kinds or KINDS)
             and shape.broker in KINDS[name].brokers]
    drawn, bag, free_at = [], [], {}
    now = dice.uniform(*CALM)
    while True:
        end = now + dice.uniform(*STORM)
        if end > seconds - CALM[0]:
            if drawn:
                return sorted(drawn, key=lambda fault: fault.at)
            end = seconds - CALM[0]  # a short campaign is one storm
        for at in sorted(dice.uniform(now, end) for _ in range(dice.randint(*FAULTS))):
            if not bag:  # each kind once before any comes again
                bag = dice.sample(names, len(names))
            name = bag.pop()
            for _ in range(TRIES):
                fault = draw(dice, name, at, end - at, shape)
                key = resource(fault.target)
                if fault.at >= free_at.get(key, 0):
                    drawn.append(fault)
                    free_at[key] = fault.at + fault.seconds + MARGIN
                    break
            else:
                bag.insert(0, name)  # all that it could hit is being hit: later
        now = end + dice.uniform(*CALM)


def draw(dice, name, at, most, shape):
    """One fault, ended by the end of its storm, or as soon as its kind allows."""
    kind = KINDS[name]
    least, longest = kind.seconds
    seconds = max(least, min(dice.uniform(least, longest), most))
    return Fault(round(at, 1), round(seconds, 1), name, dice.choice(kind.targets(shape)),
                 kind.draw(dice))


class Nemesis:
    """Does a schedule to a rig, each fault in a thread of its own. `timeline` (a file) gets a line
    at each begin and end; `failures` what could not be done or undone."""

    def __init__(self, rig, faults, timeline, say=lambda text: None):
        self.done, self.skipped, self.failures = [], [], []
        self.windows = []          # (begin, end) of each fault, unix time
        self._rig, self._faults, self._say = rig, faults, say
        self._timeline = timeline
        self._locks = {resource(fault.target): threading.Lock() for fault in faults}
        self._write = threading.Lock()
        self._stop = threading.Event()
        self._threads = []

    def run(self):
        """Returns when the last fault has ended, or soon after `stop`."""
        began = time.monotonic()
        for fault in self._faults:
            if self._stop.wait(max(0, began + fault.at - time.monotonic())):
                break
            thread = threading.Thread(target=self._one, args=(fault,), name=str(fault))
            self._threads.append(thread)
            thread.start()
        for thread in self._threads:
            thread.join()

    def stop(self):
        self._stop.set()

    def _one(self, fault):
        kind = KINDS[fault.kind]
        # What took longer than drawn (a broker's restart) is waited for.
        with self._locks[resource(fault.target)]:
            began = time.time()
            try:
                self._note("begin", fault)
                if kind.begin(self._rig, fault) is False:
                    self._note("skipped", fault)
                    self.skipped.append(fault)
                    return
                self._stop.wait(fault.seconds)
                kind.end(self._rig, fault)
                self._note("end", fault)
                self.done.append(fault)
            except Exception as reason:  # whatever it is: the campaign must not pass for it
                self._note("failed", fault)
                self.failures.append(f"{fault}: {type(reason).__name__}: {reason}")
            finally:
                self.windows.append((began, time.time()))

    def _note(self, what, fault):
        with self._write:
            self._say(f"{what:7} {fault}")
            with open(self._timeline, "a", encoding="utf-8") as file:
                file.write(json.dumps({"t": time.time(), "what": what,
                                       **dataclasses.asdict(fault)}) + "\n")
