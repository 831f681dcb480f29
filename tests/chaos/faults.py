"""What can be done to a rig: one row of KINDS a fault, with how it begins and how it ends.

Not when, nor on whom: that is drawn by nemesis.py. To add one: a row, and if it needs a verb that
the rig lacks, that verb. What a fault needs beside its target comes out of its `draw`, from the
campaign's seed, never from a clock or from the machine.
"""

import dataclasses
from typing import Callable

import clock

LINKS = ("postgres", "kafka", "engine")


@dataclasses.dataclass(frozen=True)
class Shape:
    """What there is to be hurt: all that a schedule depends on beside its seed and length."""

    broker: str
    workers: int
    producers: int

    @property
    def worker_names(self):
        return [f"worker-{n}" for n in range(1, self.workers + 1)]

    @property
    def producer_names(self):
        return ["producer", *[f"producer-{n}" for n in range(2, self.producers + 1)]]

    @property
    def programs(self):
        # a worker is hit as often as all producers together
        return self.worker_names + self.producer_names


@dataclasses.dataclass(frozen=True)
class Kind:
    """begin(rig, fault) and end(rig, fault); between them lie `seconds`, drawn from (least, most).
    A begin that returns False could not be done here: the fault is skipped, and said to be."""

    about: str
    targets: Callable
    seconds: tuple
    begin: Callable
    end: Callable = lambda rig, fault: None
    draw: Callable = lambda random: None
    brokers: tuple = ("kafka", "embedded")


def programs(shape):
    return shape.programs


def one(name):
    return lambda shape: [name]


def links(_shape):
    return [f"link:{name}" for name in LINKS]


def link(rig, fault):
    return rig.links[fault.target.partition(":")[2]]


def begin_again(rig, fault):
    rig.again(fault.target)


def heal_link(rig, fault):
    link(rig, fault).heal()


def engine_mode(mode):
    return lambda rig, fault: rig.engine.control(mode=mode)


def engine_ok(rig, _fault):
    rig.engine.control(mode="ok")


def engine_anew(*arguments):
    return lambda rig, fault: rig.engine.anew(arguments)


def engine_usual(rig, _fault):
    rig.engine.usual()


def start_postgres(rig, _fault):
    rig.postgres.start()


def start_broker(rig, _fault):
    rig.broker.start()


def fill_disk(rig, fault):
    disk = rig.disks.get(fault.target)
    return disk is not None and disk.fill()


def free_disk(rig, fault):
    """Whoever has ended for want of room is started again."""
    rig.disks[fault.target].free()
    server = {"postgres": rig.postgres, "broker": rig.broker}[fault.target]
    if not server.daemon.alive():
        server.start()


KINDS = {
    "kill": Kind("kill -9, and started again a while later", programs, (0, 6),
                 lambda rig, fault: rig.kill(fault.target), begin_again),
    "freeze": Kind("SIGSTOP, and SIGCONT: a zombie if it slept through session or lease",
                   programs, (2, 20), lambda rig, fault: rig.freeze(fault.target),
                   lambda rig, fault: rig.thaw(fault.target)),
    "drain": Kind("SIGTERM, and started again", programs, (0, 3),
                  lambda rig, fault: rig.drain(fault.target), begin_again),
    "clock": Kind("its wall clock jumps (libfaketime); killed, and started with the right one",
                  programs, (5, 15), clock.jump, clock.right,
                  lambda random: random.choice(clock.JUMPS)),
    "reset": Kind("every connection is reset, and every new one", links, (1, 4),
                  lambda rig, fault: link(rig, fault).reset(), heal_link),
    "cut": Kind("connections end, new ones are refused", links, (1, 8),
                lambda rig, fault: link(rig, fault).cut(), heal_link),
    "half_open": Kind("what goes one way is lost, and nobody is told", links, (2, 15),
                      lambda rig, fault: link(rig, fault).half_open(fault.detail), heal_link,
                      lambda random: random.choice(("upstream", "downstream"))),
    "latency": Kind("later by so many milliseconds, more or less", links, (3, 12),
                    lambda rig, fault: link(rig, fault).latency(fault.detail, fault.detail // 4),
                    heal_link, lambda random: random.choice((20, 100, 400, 1500))),
    "bandwidth": Kind("so many kilobytes a second", links, (3, 12),
                      lambda rig, fault: link(rig, fault).bandwidth(fault.detail), heal_link,
                      lambda random: random.choice((2, 10, 50))),
    "broker_stop": Kind("SIGTERM, and started again", one("broker"), (0, 4),
                        lambda rig, fault: rig.broker.stop(), start_broker),
    "broker_kill": Kind("kill -9, and started again", one("broker"), (0, 4),
                        lambda rig, fault: rig.broker.kill(), start_broker),
    "topic": Kind("the engine's topic is deleted", one("broker"), (0, 0),
                  lambda rig, fault: rig.delete_topic(), brokers=("kafka",)),
    "postgres_immediate": Kind("stopped without a checkpoint, and started again",
                               one("postgres"), (0, 5),
                               lambda rig, fault: rig.postgres.stop("immediate"), start_postgres),
    "postgres_kill": Kind("kill -9 of all its processes, and started again", one("postgres"),
                          (0, 5), lambda rig, fault: rig.postgres.kill(), start_postgres),
    "backends": Kind("pg_terminate_backend of every program's connections", one("postgres"),
                     (0, 0), lambda rig, fault: rig.terminate_backends()),
    "disk": Kind("no room left on the disk", lambda shape: ["postgres", "broker"]
                 if shape.broker == "kafka" else ["postgres"], (1, 6), fill_disk, free_disk),
    "engine_hang": Kind("it answers nothing", one("engine"), (2, 12), engine_mode("hang"),
                        engine_ok),
    "engine_503": Kind("it answers 503", one("engine"), (2, 12), engine_mode("503"), engine_ok),
    "engine_reset": Kind("it resets every connection", one("engine"), (2, 12),
                         engine_mode("down"), engine_ok),
    "engine_429": Kind("restarted, a third of its answers are 429 with Retry-After: 1",
                       one("engine"), (3, 10),
                       engine_anew("--status-429", 0.33, "--retry-after", 1), engine_usual),
    "engine_garbage": Kind("restarted, a twentieth of its answers are nonsense", one("engine"),
                           (2, 6), engine_anew("--garbage", 0.05), engine_usual),
    "engine_gone": Kind("ended, and started again", one("engine"), (0, 6),
                        lambda rig, fault: rig.engine.stop(), engine_usual),
}
