"""Workers frozen past their session and woken when others have their slices: what they still do
changes nothing."""

import signal
import time
from types import SimpleNamespace

from fleet import Fleet, pause
from stand import judge, new_roster, Result
from world import until

SHORT = SimpleNamespace(zombies=2, at_once=2, workers=4, mentors=1500, latency=100, session_ms=6000)
LONG = SimpleNamespace(zombies=200, at_once=3, workers=8, mentors=60000, latency=100,
                       session_ms=10000)
PAGE = 10


def measure(stand, size, rng):
    with stand.world() as world:
        world.start_engine(latency=size.latency)
        world.start_producer(PAGE_SIZE=str(PAGE))
        fleet = Fleet(world, size.workers, size.session_ms)
        zombies = taken = mentors = dispatched = runs = 0
        while zombies < size.zombies:
            new_roster(world, size.mentors)
            run = world.ask()
            more, slices = freeze_through(fleet, run, size.zombies - zombies, size, rng)
            zombies, taken = zombies + more, taken + slices
            world.engine.control(latency=2)
            world.ended(run, 600)
            summary = judge(world, run)
            mentors += summary["total_evaluated"]
            dispatched += summary["total_dispatched"]
            runs += 1
            world.engine.control(latency=size.latency)
        twice, put_out = len(fleet.twice()), fleet.put_out()
    return Result(
        {"zombies": zombies, "slices_taken_over": taken, "woken_outside_the_group": put_out,
         "runs": runs, "mentors": mentors, "slices_settled_twice": twice,
         "told_twice": dispatched - mentors},
        [(f"{size.zombies} zombies", zombies >= size.zombies),
         ("nobody lost", mentors == runs * size.mentors),
         ("0 effects", twice == 0 and dispatched == mentors)])


def freeze_through(fleet, run, wanted, size, rng):
    """Freezes until so many have woken as zombies or the run has ended. Returns how many, and how
    many slices were taken over from them. Who held nothing at the time does not count."""
    zombies = taken = 0
    while zombies < wanted and fleet.open(run):
        fleet.moves(run)
        pause(rng.uniform(0, 2), lambda: not fleet.open(run))
        holders = fleet.holders(run)
        if len(holders) < size.at_once:
            continue
        victims = rng.sample(holders, size.at_once)
        more, slices = freeze(fleet, run, victims, size.session_ms / 1000, rng.random() < 0.5)
        zombies, taken = zombies + more, taken + slices
    return zombies, taken


def freeze(fleet, run, victims, session, settled):
    """SIGSTOP, until their session is over and others have claimed all that they held (`settled`:
    and settled it); then SIGCONT, and wait until they belong to the group again."""
    frozen = time.monotonic()
    for worker in victims:
        worker.daemon.send(signal.SIGSTOP)
    try:
        held = {worker: fleet.held_by(run, worker.daemon.pid()) for worker in victims}
        slices = [number for one in held.values() for number in one]
        until(lambda: not fleet.held_by(run, *[w.daemon.pid() for w in victims]), 120,
              "others have what the frozen held")
        until(lambda: time.monotonic() > frozen + session + 1, session + 5, "their session is over")
        if settled:
            until(lambda: not fleet.world.db.value(
                "select count(*) from reveille.slice where run_id = %s and slice_no = any(%s) "
                "and state = 'pending'", run, slices), 120, "others have settled it")
    finally:
        for worker in victims:
            worker.daemon.send(signal.SIGCONT)
    fleet.wait_ready(victims)
    return sum(bool(one) for one in held.values()), len(slices)
