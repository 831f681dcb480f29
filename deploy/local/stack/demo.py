"""The demo: install, build, start a stack, ring the 06:00 job, follow it, and prove what it did.
Or another job, or all of them, one after the other.

The proof is not the demo's: `reveille verify` recounts everything from the rows. The last line says
`proved: N mentors, each exactly once` only if it holds and nobody was left over. With all jobs it
is that of the 06:00 job, and only if the others are proved, too.
"""

import argparse
import json
import os
import subprocess
import sys

from .build import build
from .cli import (WHERE, add_stack_options, export_lines, folder, interruptible, say, stack_options,
                  uninterrupted)
from .daemon import wait_for
from .layout import ROOT, StackError
from .net import http_request
from .stack import Stack

# The jobs, the 06:00 job first, and what each of them looks at.
JOBS = {"scenario_scheduler": "mentors", "certification_expiry_check": "certifications",
        "reminder_eval": "assignments", "hlf_dynamics_sync": "mentors"}
FIRST = next(iter(JOBS))
OPEN_SECONDS = 30  # a producer opens a request within milliseconds; a busy machine


class Demo:
    """Jobs to ring in a running stack."""

    def __init__(self, stack):
        self._exports = stack.exports()
        self._reveille = stack.folder / "reveille"

    def show(self, jobs):
        """Ring, follow, verify one job after the other, all of it shown; returns the exit code and
        the last line: the first job's, or that of the first one that is not proved."""
        shown = [self._show(job) for job in jobs]
        return next((one for one in shown if one[0] != 0), shown[0])

    def _show(self, job):
        say(f"ringing {job}")
        run_id = wait_for(lambda: self._ring(job), OPEN_SECONDS, f"run of {job}")
        self._run("status", run_id, "--watch")
        print(flush=True)
        holds = self._run("verify", run_id).returncode == 0
        summary = json.loads(self._run("status", run_id, "--json", stdout=subprocess.PIPE).stdout)
        if holds and summary["completed"]:
            return 0, f"proved: {summary['total_active_mentors']} {JOBS[job]}, each exactly once"
        return 1, (f"NOT proved: {job} ended {summary['status']}, and its verification "
                   f"{'holds' if holds else 'does not hold'}")

    def _ring(self, job):
        """Ask for the job's current slot, as pg_cron would; asked again it is the same run. Returns
        the run's id, None while it is not yet open."""
        url = f"{self._exports['REVEILLE_URL']}/v1/jobs/{job}/runs"
        headers = {"Authorization": f"Bearer {self._exports['SCHEDULER_SECRET']}",
                   "Content-Type": "application/json"}
        status, body = http_request("POST", url, headers, "{}")
        if status not in (200, 202):
            raise StackError(f"POST {url} was answered with {status}: {body.strip()[:500]}")
        return json.loads(body).get("run_id")

    def _run(self, *arguments, stdout=None):
        return subprocess.run([self._reveille, *arguments], env={**os.environ, **self._exports},
                              stdout=stdout, check=False)


def prepare(broker):
    """Install and build. Returns install-dependencies' exit code if it is not 0."""
    groups = ["build", "run"] + (["kafka"] if broker == "kafka" else [])
    say("packages: installing what is missing")
    code = subprocess.run([ROOT / "deploy" / "install-dependencies", *groups], stdout=sys.stderr,
                          check=False).returncode
    if code == 0:
        say("building what has changed")
        build()
    return code


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="deploy/demo", description="Install what is missing, build, start a local stack, ring "
        "the 06:00 job, and prove that every mentor was looked at exactly once.",
        epilog="Exit codes: 0 proved, 1 not proved or it did not work, 2 wrong usage or packages "
        "are missing, 130 interrupted. " + WHERE)
    add_stack_options(parser)
    parser.add_argument("--job", choices=[*JOBS, "all"], default=FIRST, help="which job to ring "
                        f"({FIRST}); all: each of them, one after the other")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    return parser.parse_args(arguments)


def demo(arguments):
    given = parse(arguments)
    options = stack_options(given)
    interruptible()
    code = prepare(options.broker)
    if code != 0:
        return code
    stack = Stack.up(folder(), options, say=say)
    code = 1
    try:
        code, verdict = Demo(stack).show(JOBS if given.job == "all" else [given.job])
    finally:
        if given.keep:
            say("it runs on until deploy/local/down; its variables:")
            print(export_lines(stack), file=sys.stderr)
        else:
            uninterrupted()
            stack.down(say, keep_logs=code != 0)
    print(verdict)
    return code
