"""Workers frozen past their session and woken when others have their slices: what they still do
changes nothing."""

import signal
import time
from types import SimpleNamespace

from fleet import pause, under_way
from stand import Result
from world import until

SHORT = SimpleNamespace(zombies=2, at_once=2, workers=4, mentors=1500, latency=100, session_ms=6000)
LONG = SimpleNamespace(zombies=200, at_once=3, workers=8, mentors=60000, latency=100,
                       session_ms=10000)


def measure(stand, size, rng):
    zombies = taken = put_out = mentors = evaluated = dispatched = twice = 0
    stand.progress.expect(size.zombies)
    while zombies < size.zombies:
        with under_way(stand, size, session_ms=size.session_ms) as fleet:
            more, slices = freeze_through(fleet, size.zombies - zombies, size, rng)
        zombies, taken = zombies + more, taken + slices
        put_out += fleet.put_out()
        mentors += size.mentors
        evaluated += fleet.summary["total_evaluated"]
        dispatched += fleet.summary["total_dispatched"]
        twice += fleet.twice
    return Result(
        {"zombies": zombies, "slices_taken_over": taken, "woken_outside_the_group": put_out,
         "mentors": mentors, "slices_settled_twice": twice, "told_twice": dispatched - evaluated},
        [(f"{size.zombies} zombies", zombies >= size.zombies),
         ("nobody lost", evaluated == mentors),
         ("0 effects", twice == 0 and dispatched == mentors)])


def freeze_through(fleet, wanted, size, rng):
    """Freezes until so many have woken as zombies or the run has ended. Returns how many, and how
    many slices were taken over from them. Who held nothing at the time does not count."""
    zombies = taken = 0
    while zombies < wanted and fleet.open():
        fleet.moves()
        pause(rng.uniform(0, 2), lambda: not fleet.open())
        holders = fleet.holders()
        if len(holders) < size.at_once:
            continue
        victims = rng.sample(holders, size.at_once)
        more, slices = freeze(fleet, victims, size.session_ms / 1000, rng.random() < 0.5)
        zombies, taken = zombies + more, taken + slices
        fleet.progress.add(more)
    return zombies, taken


def freeze(fleet, victims, session, settled):
    """SIGSTOP, until their session is over and others have claimed all that they held (`settled`:
    and settled it); then SIGCONT, and wait until they belong to the group again."""
    frozen = time.monotonic()
    for worker in victims:
        worker.daemon.send(signal.SIGSTOP)
    try:
        held = {worker: fleet.held_by(worker.daemon.pid()) for worker in victims}
        slices = [number for one in held.values() for number in one]
        until(lambda: not fleet.held_by(*[w.daemon.pid() for w in victims]), 120,
              "others have what the frozen held")
        pause(frozen + session + 1 - time.monotonic())
        if settled:
            until(lambda: not fleet.pending(slices), 120, "others have settled it")
    finally:
        for worker in victims:
            worker.daemon.send(signal.SIGCONT)
    fleet.wait_ready(victims)
    return sum(bool(one) for one in held.values()), len(slices)
