"""The checker: is a history of Reveille exact? A program of its own, that goes by the engine's call
log, PostgreSQL's rows and Kafka, and asks none of Reveille's programs, functions or views.

What it leans on: the engine log of the scripted engine, whole (an engine that is killed loses its
last 50 ms), on the same machine's clock as PostgreSQL; a database from which nothing was pruned.
The roster is compared where no run has found somebody gone; who was sent what is told by --sent.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psycopg2

sys.path += [str(Path(__file__).resolve().parents[1] / "flow"),
             str(Path(__file__).resolve().parents[2] / "deploy" / "local")]

import checker_kafka                                        # noqa: E402
import checker_outputs                                      # noqa: E402
import checker_runs                                         # noqa: E402
import checker_subjects                                     # noqa: E402
import checker_telling                                      # noqa: E402
from checker_facts import OPEN, read_facts                  # noqa: E402
from kafka_wire import KafkaError                           # noqa: E402

ENGINES = ("http", "sql", "dynamics", "noop")
REST_S = 15         # offsets are committed every 500 ms, and a busy machine takes its time
SHOWN = 10          # violations of one invariant that are printed; --json has them all
SAYS = {
    "I1": "each planned subject has exactly one outcome, and who is planned is the roster",
    "I2": "outcomes and totals are what the engine's log and the rows give, one by one",
    "I3": "nobody told twice within a cooldown, no suppression unexplained, the outbox complete",
    "I4": "at most one active run of a job at a time, one run a slot",
    "I5": "no committed offset has passed an undone slice",
    "I6": "all is at rest: no run open, no request waiting, no lag",
    "I7": "no secret, no personal datum, no stack trace, no sanitizer's complaint in the outputs",
    "I8": "memory, descriptors and threads are flat",
    "I9": "never more calls in flight than the limit",
    "I10": "no deadlock",
    "I11": "nobody was asked twice in a run (said to be without faults)",
}


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="tests/chaos/check", description=__doc__, epilog="Exit: 0 everything holds, 1 not, "
        "2 wrong usage, or something is out of reach.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", required=True, metavar="URL", help="one who may read all")
    parser.add_argument("--engine-log", required=True, nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="plaintext")
    parser.add_argument("--topic-prefix", required=True, metavar="P")
    parser.add_argument("--group", required=True, metavar="G")
    parser.add_argument("--limit", type=int, metavar="N", help="calls at a time; default: not looked")
    parser.add_argument("--outputs", required=True, type=Path, metavar="DIR",
                        help="what was said; a stack's secrets are looked for in DIR/secret or "
                        "beside DIR")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="of /proc, a JSON line each")
    parser.add_argument("--sent", type=int, default=0, metavar="N",
                        help="notifications that the application reported as sent")
    parser.add_argument("--once", action="store_true",
                        help="no fault and no failure: nobody may have been asked twice in a run")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def judge(facts, places, options):
    """{invariant: what was found against it}."""
    found = {
        "I1": checker_subjects.i1(facts),
        "I2": checker_subjects.i2(facts),
        "I3": checker_telling.i3(facts, options.sent),
        "I4": checker_runs.i4(facts),
        "I5": checker_runs.i5(facts, places),
        "I6": checker_runs.i6(facts, places),
        "I7": checker_outputs.i7(facts, options.outputs),
    }
    if options.samples:
        found["I8"] = checker_outputs.i8(options.samples)
    if options.limit is not None:
        found["I9"] = checker_runs.i9(facts, options.limit)
    found["I10"] = checker_runs.i10(facts)
    if options.once:
        found["I11"] = checker_subjects.i11(facts)
    return {name: list(what) for name, what in found.items()}


def look(options, rest_s=REST_S):
    """(facts, places). Places first: what was committed by then is done in the rows that are read
    afterwards. With every run ended, a lag that is about to go is waited for, at most rest_s."""
    topics = [f"{options.topic_prefix}.{engine}" for engine in ENGINES]
    places = checker_kafka.places(options.bootstrap, options.group, topics)
    facts = read_facts(options.database, options.engine_log)
    deadline = time.monotonic() + rest_s
    while (any(place.lag for place in places) and not any(run.state in OPEN for run in facts.runs)
           and time.monotonic() < deadline):
        time.sleep(0.1)
        places = checker_kafka.places(options.bootstrap, options.group, topics)
    return facts, places


def show(found, facts):
    planned = sum(len(s.subjects) for slices in facts.slices.values() for s in slices)
    print(f"{len(facts.runs)} runs, {planned} subjects planned, {len(facts.calls)} calls, "
          f"{len(facts.notifications)} notifications")
    for name, what in found.items():
        print(f"{name:4}{'holds' if not what else f'FAILS {len(what)} times'}: {SAYS[name]}")
        for one in what[:SHOWN]:
            print(f"      {one}")


def main(arguments):
    options = parse(arguments)
    try:
        facts, places = look(options)
        found = judge(facts, places, options)
    except (psycopg2.Error, OSError, KafkaError) as reason:
        print(f"cannot look: {str(reason).strip()}", file=sys.stderr)
        return 2
    holds = not any(found.values())
    if options.json:
        print(json.dumps({"holds": holds, "invariants": [
            {"name": name, "says": SAYS[name], "holds": not what,
             "violations": [asdict(one) for one in what]} for name, what in found.items()]}))
    else:
        show(found, facts)
    return 0 if holds else 1
