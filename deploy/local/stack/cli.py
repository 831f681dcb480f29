"""The commands up, down and start: options in, a stack's verbs, `export` lines out.

Only `export NAME=value` lines go to stdout, so that a shell can evaluate it; all else to stderr.
Exit codes: 0 done, 1 it did not work (the reason and the way out on stderr), 2 wrong usage.
"""

import argparse
import contextlib
import os
import re
import shlex
import signal
import sys

from .build import build, missing
from .layout import DEFAULT_FOLDER, Layout, StackError
from .stack import NAMES, Options, Stack

MENTORS_MAX = 10_000_000  # ten times the largest roster Reveille is measured with
WORKERS_MAX = 64          # a demo's machine; twelve partitions feed at most twelve at once
WHERE = ("REVEILLE_LOCAL=DIR puts the stack into DIR instead of build/local, so that two can live "
         "side by side.")  # at the end of each command's help


def folder():
    return os.environ.get("REVEILLE_LOCAL") or DEFAULT_FOLDER


def say(text):
    """A word for whoever waits. Nobody reads it any more (a closed terminal, `| head`): no failure,
    or what was started would not be stopped."""
    with contextlib.suppress(OSError):
        print(f"local stack: {text}", file=sys.stderr, flush=True)


def whole(minimum, maximum):
    """An argparse type: a whole number within limits."""
    def parse(text):
        if not re.fullmatch(r"[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise argparse.ArgumentTypeError(f"a whole number from {minimum} to {maximum}, "
                                             f"not '{text}'")
        return int(text)
    return parse


def share(text):
    """An argparse type: a part of the whole."""
    if not re.fullmatch(r"[0-9]*\.?[0-9]+", text) or not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"a share from 0 to 1, not '{text}'")
    return float(text)


def add_engine_options(parser):
    engine = parser.add_argument_group("the scripted engine")
    engine.add_argument("--engine-latency", type=whole(0, 600_000), metavar="MS",
                        help="how long each call takes (20)")
    engine.add_argument("--engine-failures", type=share, metavar="SHARE",
                        help="share of mentors whose every call fails (0)")
    engine.add_argument("--due", type=share, metavar="SHARE",
                        help="share of mentors the engine dispatches (1)")


def add_stack_options(parser):
    parser.add_argument("--mentors", type=whole(0, MENTORS_MAX), metavar="N", default=500,
                        help="eligible mentors; a fifth more are paused, deactivated or unassigned "
                             "(500)")
    parser.add_argument("--workers", type=whole(1, WORKERS_MAX), metavar="N", default=2,
                        help="worker processes (2)")
    parser.add_argument("--broker", choices=("embedded", "kafka"),
                        help="embedded: in memory, at once there; kafka: Apache Kafka, fetched by "
                             "Maven the first time (default: the broker at KAFKA_BOOTSTRAP_SERVERS "
                             "if you set that, else embedded)")
    add_engine_options(parser)


def engine_options(given):
    """Only those that were given, under their names in Options."""
    values = {name: getattr(given, name) for name in ("engine_latency", "engine_failures", "due")}
    return {name: value for name, value in values.items() if value is not None}


def default_broker():
    """The caller's own broker, or the embedded one. A shell that has evaluated a stack's variables,
    as ENGINE_STATS_URL tells, names that stack's broker, which is no choice for another stack."""
    theirs = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") and "ENGINE_STATS_URL" not in os.environ
    return "running" if theirs else "embedded"


def stack_options(given):
    """The Options of a command line that add_stack_options has parsed."""
    return Options(mentors=given.mentors, workers=given.workers,
                   broker=given.broker or default_broker(), **engine_options(given))


def export_lines(stack):
    lines = [f'export PATH={shlex.quote(str(stack.folder))}:"$PATH"']
    lines += [f"export {name}={shlex.quote(value)}" for name, value in stack.exports().items()]
    return "\n".join(lines)


def interruptible():
    """SIGTERM and SIGHUP end a command as Ctrl-C does: what it has started is stopped. Once, so
    that an impatient second Ctrl-C does not leave half of it behind."""
    def interrupt(_number, _frame):
        uninterrupted()
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def uninterrupted():
    """From here on the command finishes, whatever comes: it is cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def up(arguments):
    parser = argparse.ArgumentParser(
        prog="deploy/local/up", description="Start the local stack; print its variables: "
        'eval "$(deploy/local/up)". Stop and remove it with deploy/local/down.', epilog=WHERE)
    add_stack_options(parser)
    options = stack_options(parser.parse_args(arguments))
    if missing():
        build()
    interruptible()
    print(export_lines(Stack.up(folder(), options, say=say)), flush=True)
    return 0


def down(arguments):
    argparse.ArgumentParser(
        prog="deploy/local/down",
        description="Stop the local stack and delete its files.",
        epilog=WHERE).parse_args(arguments)
    if not Layout(folder()).status.exists():
        say(f"no stack in {folder()}")
        return 0
    uninterrupted()
    Stack.open(folder()).down(say)
    return 0


def start(arguments):
    parser = argparse.ArgumentParser(
        prog="deploy/local/start", description="Start a part of the running stack again that was "
        "stopped or killed, restart it at the same address, or add a worker or producer.",
        epilog=WHERE)
    parser.add_argument("name", metavar="NAME", help="postgres, broker, engine, producer, "
                        "worker-1, …; worker-4 where there are three: one more")
    add_engine_options(parser)
    given = parser.parse_args(arguments)
    if not NAMES.fullmatch(given.name):
        parser.error(f"'{given.name}' is none of: postgres broker engine producer[-N] worker-N")
    if engine_options(given) and given.name != "engine":
        parser.error("these are options of the engine")
    Stack.open(folder()).start(given.name, **engine_options(given))
    say(f"{given.name} is ready")
    return 0


def run(command, arguments):
    """Run one of the commands; turn what can go wrong into a message and an exit code."""
    try:
        return command(arguments)
    except StackError as reason:
        say(f"error: {reason}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:  # and none at the end, when Python flushes stdout once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as reason:  # a folder that is closed to us, a full disk
        say(f"error: {reason}")
        return 1
