"""A stack to be measured: made for a number of mentors, reset between runs, watched during one."""

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "deploy" / "local"))

from stack.net import http_request          # noqa: E402
from stack.stack import Options, Stack      # noqa: E402

from cpu import peak_mib, seconds           # noqa: E402

JOB = "scenario_scheduler"
PROGRAMS = ROOT / "build" / "release" / "bin"
SUPERUSER = {"role": "postgres"}


class Rig:
    """with Rig(folder, mentors=…, workers=…, latency=…, due=…) as rig: rig.run()"""

    def __init__(self, folder, mentors, workers=2, latency=20, due=1.0, broker="kafka", page=100,
                 concurrency=10):
        self.mentors, self.page, self.concurrency = mentors, page, concurrency
        self.stack = Stack.up(folder, Options(mentors=mentors, workers=workers, broker=broker,
                                              engine_latency=latency, due=due),
                              programs_folder=PROGRAMS)
        self.sql(f"update reveille.job set page_size = {page} where job_name = '{JOB}';"
                 f"select reveille.set_engine('http', {concurrency})")
        self.sql("alter system set max_wal_size = '4GB'; select pg_reload_conf()")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.down()

    def sql(self, text):
        return self.stack.database.sql(text, **SUPERUSER)

    def reset(self):
        """As before the first run, but warm."""
        self.sql("truncate reveille.notification, reveille.cooldown, reveille.outbox,"
                 " reveille.subject_error; checkpoint")

    def pids(self):
        return {name: self.stack_pid(name) for name in self.stack.running()}

    def stack_pid(self, name):
        return int((self.stack.layout.run / f"{name}.pid").read_text().split()[0])

    def run(self, job=JOB, timeout=900):
        """One manual run to its end: seconds from the request to the close, and CPU a program. Of
        JOB all mentors are subjects."""
        before = {name: seconds(pid) for name, pid in self.pids().items()}
        env = {**self.stack.exports(), "PATH": "/usr/bin:/bin"}
        started = time.monotonic()
        done = subprocess.run([PROGRAMS / "reveille", "run", job, f"--wait={timeout}", "--json"],
                              env=env, check=False, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        took = time.monotonic() - started
        summary = json.loads(done.stdout)
        if done.returncode != 0 or job == JOB and summary["total_active_mentors"] != self.mentors:
            raise SystemExit(f"the run did not complete: {done.stdout}")
        # to the close by the database's own clock: the command looks only a few times a second
        cpu = {}
        for name, pid in self.pids().items():
            kind = re.sub(r"-\d+$", "", name)
            cpu[kind] = cpu.get(kind, 0) + seconds(pid) - before[name]
        return {"seconds": summary["duration_ms"] / 1000, "took": took, "cpu": cpu,
                "run_id": summary["run_id"], "dispatched": summary["total_dispatched"]}

    def verified(self):
        env = {**self.stack.exports(), "PATH": "/usr/bin:/bin"}
        return subprocess.run([PROGRAMS / "reveille", "verify"], env=env, check=False,
                              stdout=subprocess.DEVNULL).returncode == 0

    def engine_stats(self):
        return json.loads(http_request("GET", self.stack.exports()["ENGINE_STATS_URL"])[1])

    def peak_mib(self, name):
        return peak_mib(self.stack_pid(name))


def median(values):
    return statistics.median(values)
