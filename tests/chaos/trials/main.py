"""The command tests/chaos/trial: which trials there are, and how one is held and told."""

import argparse
import importlib
import json
import random
import signal
import sys
import time
import traceback

from stand import NoKafka, Result, Stand
from progress import clear

# In the order of the table in README.md. Each is a module with measure(stand, size, rng), SHORT
# and LONG.
TRIALS = ("kills", "zombies", "rebalances", "static", "takeover", "outage", "restarts", "triggers",
          "topic", "settles", "soak")
NO_KAFKA = 3    # exit code


def trial(name):
    return importlib.import_module(name)


def hold(name, stand, seed, long):
    """Holds one trial; what fails on the way is a bound that did not hold."""
    module = trial(name)
    started = time.monotonic()
    stand.begins(name)
    try:
        result = module.measure(stand, module.LONG if long else module.SHORT, random.Random(seed))
    except Exception as reason:     # the other trials are held all the same
        traceback.print_exc()
        result = Result({}, [(f"{type(reason).__name__}: {reason}", False)])
    clear()
    result.figures["seconds"] = time.monotonic() - started
    return result


def line(name, seed, result):
    """All of it in one line."""
    figures = ", ".join(f"{key.replace('_', ' ')} {number(value)}"
                        for key, value in result.figures.items())
    broken = "; ".join(text for text, kept in result.bounds if not kept)
    return f"{name} (seed {seed}): {'holds' if result.holds else f'DOES NOT HOLD: {broken}'} · {figures}"


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def as_json(name, seed, result):
    return json.dumps({"trial": name, "seed": seed, "holds": result.holds,
                       "figures": result.figures,
                       "bounds": [{"what": text, "holds": kept} for text, kept in result.bounds]})


def options():
    parser = argparse.ArgumentParser(
        prog="tests/chaos/trial",
        description="Holds trials: each is a row of the table in tests/chaos/README.md, measured on "
                    "a PostgreSQL and a broker started for it. Exit: 0 all bounds hold, 1 not, 2 wrong "
                    "usage, 3 there is no Apache Kafka.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TRIALS))
    parser.add_argument("--list", action="store_true", help="what each of them is")
    parser.add_argument("--long", action="store_true", help="the size of the table; else CI's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in TRIALS]
    if unknown:
        parser.error(f"no trial {unknown[0]}: --list shows them")
    if not chosen.list and not chosen.names:
        parser.error("which one? --list shows them")
    return chosen


def main():
    chosen = options()
    if chosen.list:
        for name in TRIALS:
            print(f"{name:11} {' '.join(trial(name).__doc__.split())}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))   # what was started is stopped
    try:
        return hold_all(chosen)
    except NoKafka as reason:
        print(reason, file=sys.stderr)
        return NO_KAFKA


def hold_all(chosen):
    """Holds them one after the other, on one stand; the exit code."""
    tell = as_json if chosen.json else line
    with Stand(chosen.broker) as stand:
        for name in chosen.names:
            result = hold(name, stand, chosen.seed, chosen.long)
            stand.keep |= not result.holds
            print(tell(name, chosen.seed, result), flush=True)
    if stand.keep:
        print(f"its logs are kept in {stand.folder}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
