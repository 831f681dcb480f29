"""The demo: install, build, start a stack, ring the 06:00 job, follow it, and prove what it did.

The proof is not the demo's: `reveille verify` recounts everything from the rows. The last line says
`proved: N mentors, each exactly once` only if it holds for every run and nobody was left over.
"""

import argparse
import json
import os
import subprocess
import sys

from .build import build
from .cli import (add_stack_options, export_lines, folder, interruptible, say, stack_options,
                  uninterrupted)
from .layout import ROOT, StackError
from .net import http_request
from .stack import Stack

# What a run of the job looks at, one by one. The last is the one whose proof ends the demo.
SUBJECTS = {"certification_expiry_check": "certifications", "hlf_dynamics_sync": "mentors",
            "reminder_eval": "assignments", "scenario_scheduler": "mentors"}
ENDED = ("completed", "partial", "cancelled", "failed")
WAIT_SECONDS = 5  # how long one request waits for the end; then a line of progress


class Demo:
    """A running stack and the jobs to ring in it."""

    def __init__(self, stack):
        self._stack = stack
        self._exports = stack.exports()
        self._reveille = stack.folder / "reveille"

    def ring(self, job, wait=0):
        """Ask for the job's current slot, as pg_cron would; returns the summary of its run. Asked
        again it is the same run: that is how one follows it."""
        url = f"{self._exports['REVEILLE_URL']}/v1/jobs/{job}/runs"
        headers = {"Authorization": f"Bearer {self._exports['SCHEDULER_SECRET']}",
                   "Content-Type": "application/json", "Prefer": f"wait={wait}"}
        status, body = http_request("POST", url, headers, "{}", seconds=wait + 30)
        if status not in (200, 202):
            raise StackError(f"POST {url} was answered with {status}: {body.strip()[:500]}")
        return json.loads(body)

    def follow(self, job):
        """Show the job's progress until its run has ended; returns the summary."""
        summary = self.ring(job)
        if sys.stderr.isatty() and "run_id" in summary and summary["status"] not in ENDED:
            self._command("status", summary["run_id"], "--watch", stdout=sys.stderr)
        while summary["status"] not in ENDED:
            summary = self.ring(job, WAIT_SECONDS)
            say(f"{job}: {summary['status']}, {summary.get('total_evaluated', 0)} evaluated, "
                f"{summary.get('remaining_unprocessed_count')} to go")
        return summary

    def verify(self, summary):
        """Print what `reveille verify` finds; True if it holds and the run left nobody over."""
        sys.stdout.flush()
        holds = self._command("verify", summary["run_id"]) == 0
        return holds and summary["completed"]

    def _command(self, *arguments, stdout=None):
        environment = {**os.environ, **self._exports}
        return subprocess.run([self._reveille, *arguments], env=environment, stdout=stdout,
                              check=False).returncode


def show(stack, jobs):
    """Ring, follow and verify the jobs; returns the exit code."""
    demo = Demo(stack)
    say(f"ringing {' '.join(jobs)}")
    for job in jobs:
        demo.ring(job)
    proofs = []
    for job in jobs:
        summary = demo.follow(job)
        print(json.dumps(summary, indent=2))
        proofs.append((demo.verify(summary), summary, job))
    for proved, summary, job in proofs:
        count = summary.get("total_active_mentors")
        print(f"proved: {count} {SUBJECTS[job]}, each exactly once" if proved
              else f"NOT proved: {job} ended {summary['status']}")
    sys.stdout.flush()
    return 0 if all(proved for proved, _, _ in proofs) else 1


def prepare(broker):
    """Install and build. Returns install-dependencies' exit code if it is not 0."""
    groups = ["build", "run"] + (["kafka"] if broker == "kafka" else [])
    say("packages")
    code = subprocess.run([ROOT / "deploy" / "install-dependencies", *groups], stdout=sys.stderr,
                          check=False).returncode
    if code == 0:
        say("build")
        build()
    return code


def demo(arguments):
    parser = argparse.ArgumentParser(
        prog="deploy/demo", description="Install what is missing, build, start a local stack, ring "
        "the 06:00 job, and prove that every mentor was looked at exactly once.")
    add_stack_options(parser)
    parser.add_argument("--job", choices=("all", *SUBJECTS), default="scenario_scheduler",
                        help="which job to ring; all: the four (scenario_scheduler)")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    given = parser.parse_args(arguments)
    options = stack_options(given)
    interruptible()
    code = prepare(options.broker)
    if code != 0:
        return code
    stack = Stack.up(folder(), options, say=say)
    try:
        code = show(stack, list(SUBJECTS) if given.job == "all" else [given.job])
    finally:
        if given.keep:
            say("it runs on until deploy/local/down; its variables:")
            print(export_lines(stack), file=sys.stderr)
        else:
            uninterrupted()
            stack.down(say)
    return code
