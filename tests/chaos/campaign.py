"""A campaign: runs of the job asked for again and again while a nemesis works, then the heal, quiet,
and the verdict.

Each run judges all mentors for one scenario that nobody has been told of and one that everybody who
is due has: so each dispatches, and each is suppressed by a cooldown. Asked with an idempotency key,
again and again until a producer has answered, so there must be one run for each that was asked.
"""

import collections
import dataclasses
import http.client
import json
import subprocess
import threading
import time
from pathlib import Path

import psycopg2

from nemesis import Nemesis
from rig import JOB, LIMIT, Rig

CHECK = Path(__file__).resolve().parent / "check"
SCENARIOS = [f"storm_{a}{b}" for a in "abcdefgh" for b in "abcdefghijklmnopqrstuvwxyz"]
ANSWER_SECONDS = 5      # for a producer's answer, before another is asked
SAMPLE_SECONDS = 5


@dataclasses.dataclass
class Result:
    """What a campaign came to. `wrong` is empty if everything held."""

    runs: int = 0
    judged: int = 0
    faults: dict = dataclasses.field(default_factory=dict)
    skipped: dict = dataclasses.field(default_factory=dict)
    slices_under_fault: int = 0
    recovery: float = None
    wrong: list = dataclasses.field(default_factory=list)

    def line(self, seed):
        """All of it in one line."""
        done = ", ".join(f"{kind} {n}" for kind, n in sorted(self.faults.items()))
        skipped = ", ".join(f"{kind} {n}" for kind, n in sorted(self.skipped.items()))
        quiet = "never quiet" if self.recovery is None else f"quiet {self.recovery:.1f} s after it"
        return (f"seed {seed}: {self.runs} runs, {self.judged} mentors judged, "
                f"{sum(self.faults.values())} faults ({done})"
                f"{f', skipped: {skipped}' if skipped else ''}, "
                f"{self.slices_under_fault} slices done under fault, healed: {quiet}; "
                f"{'everything holds' if not self.wrong else f'{len(self.wrong)} WRONG'}")


class Campaign:
    """One rig, one schedule. `say` gets what happens, line by line."""

    def __init__(self, folder, broker, shape, mentors, seed, say=lambda text: None):
        self._folder = Path(folder)
        self._broker, self._shape, self._mentors = broker, shape, mentors
        self._seed = seed
        self._say = say
        self._asked = 0
        self._over = threading.Event()   # no more faults, no more runs

    def run(self, faults):
        """Does it all; returns a Result. The rig is stopped, its folder left to the caller."""
        result = Result()
        with Rig(self._folder, self._broker, self._shape.workers, self._shape.producers) as rig:
            prepare(rig)
            eligible = rig.begin(self._mentors)
            self._say(f"{len(eligible)} mentors, {self._shape.workers} workers; it begins")
            self._under_fire(rig, faults, result)
            result.wrong += [f"{name} did not end when asked to" for name in rig.stubborn]
            result.wrong += [f"{name} has ended, and nobody ended it" for name, program
                             in rig.programs.items() if not program.daemon.alive()]
            try:
                rig.heal()
                self._say("healed")
                result.recovery = rig.quiet()
            except Exception as reason:  # the verdict says what it looks like without it
                result.wrong.append(f"not quiet after the heal: {reason}")
            self._judge(rig, result)
        result.wrong += rig.wrong
        return result

    def _under_fire(self, rig, faults, result):
        nemesis = Nemesis(rig, faults, self._folder / "faults.ndjson", self._say)
        others = [threading.Thread(target=self._guarded, args=(work, rig, result))
                  for work in (self._ask_again_and_again, self._sample)]
        for thread in others:
            thread.start()
        try:
            nemesis.run()
        finally:
            nemesis.stop()
            self._over.set()
            for thread in others:
                thread.join()
        result.wrong += nemesis.failures
        result.faults = collections.Counter(fault.kind for fault in nemesis.done)
        result.skipped = collections.Counter(fault.kind for fault in nemesis.skipped)
        self._windows = nemesis.windows

    def _guarded(self, work, rig, result):
        try:
            work(rig)
        except Exception as reason:  # a thread's end must not pass for success
            result.wrong.append(f"{work.__name__}: {type(reason).__name__}: {reason}")

    # --- the runs

    def _ask_again_and_again(self, rig):
        """At most one run is open and one waits behind it."""
        while not self._over.wait(0.2):
            try:
                busy = rig.waiting() > 0 or len(rig.open_runs()) > 1
            except psycopg2.Error:
                continue
            if not busy:
                self._ask(rig, self._asked)
                self._asked += 1

    def _ask(self, rig, number):
        """Until it is answered, also when nobody hurts anybody any more."""
        new, known = (SCENARIOS[n % len(SCENARIOS)] for n in (number + 1, number))
        body = {"scenario_types": [new, known]}
        tries = 0
        while True:
            program = rig.producers[tries % len(rig.producers)]
            tries += 1
            try:
                answer = rig.http("POST", f"/v1/jobs/{JOB}/runs", body, seconds=ANSWER_SECONDS,
                                  headers={"Idempotency-Key": f"{self._seed}-{number}"},
                                  program=program)
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)
                continue
            if answer.status in (200, 202):
                return
            if answer.status != 503:
                raise AssertionError(f"asked for a run: {answer.status} {answer.bytes}")
            time.sleep(0.5)

    def _sample(self, rig):
        with open(self._folder / "samples.ndjson", "w", encoding="utf-8") as file:
            while not self._over.wait(SAMPLE_SECONDS):
                for sample in rig.samples():
                    file.write(json.dumps(sample) + "\n")
                file.flush()

    # --- the verdict

    def _judge(self, rig, result):
        result.runs = rig.db.value("select count(*) from reveille.run")
        result.judged = rig.db.value("select coalesce(sum(evaluated), 0) from reveille.slice")
        if result.runs != self._asked:
            result.wrong.append(f"{self._asked} runs were asked for, {result.runs} were made")
        result.slices_under_fault = self._done_under_fault(rig)
        if not result.slices_under_fault and self._windows:
            result.wrong.append("no slice was done while there was a fault: nothing was shown")
        result.wrong += self._checked(rig)

    def _done_under_fault(self, rig):
        return rig.db.value("""
            select count(*) from reveille.slice s where s.state = 'done' and exists (
                select from unnest(%s::float8[], %s::float8[]) w(a, b)
                 where s.done_at between to_timestamp(a) and to_timestamp(b))""",
                            *[list(column) for column in zip(*self._windows)] or ([], []))

    def _checked(self, rig):
        command = [CHECK, "--database", rig.db.cluster.postgres.url("postgres", rig.db.name),
                   "--engine-log", rig.engine.log, "--bootstrap", rig.broker.address,
                   "--topic-prefix", rig.prefix, "--group", rig.group, "--limit", LIMIT,
                   "--outputs", rig.layout.log, "--samples", self._folder / "samples.ndjson"]
        done = subprocess.run([str(word) for word in command], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in done.stdout.splitlines():
            self._say(line)
        return [] if done.returncode == 0 else [f"the checker ended with {done.returncode}"]


def prepare(rig):
    """The scenarios; the job knows all of them, a run names two."""
    rig.db.rows("insert into reveille.scenario_config(scenario_type, cooldown_days) "
                "select x, 7 from unnest(%s::text[]) x", SCENARIOS)
    rig.db.rows("update reveille.job set scenario_types = scenario_types || %s::text[] "
                "where job_name = %s", SCENARIOS, JOB)

