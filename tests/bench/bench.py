"""The figures of tests/bench/README.md: each a median of several runs on one local stack, with the
reference it is compared with measured beside it. Nothing is asserted: a machine has its moods."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import guessing
import jobs
from rig import JOB, PROGRAMS, Rig, median
from stack.net import http_request

ROWS = []


def row(what, value, reference, ratio=""):
    ROWS.append((what, value, reference, ratio))
    print(f"  {what}: {value}  ({reference}) {ratio}", file=sys.stderr, flush=True)


def small_run(folder, repeat):
    with Rig(folder, mentors=500, workers=2) as rig:
        rig.run()
        took = []
        for _ in range(repeat):
            rig.reset()
            took.append(rig.run()["seconds"])
        row("500 mentors, 20 ms, 10 at a time, 2 workers", f"{median(took):.2f} s",
            "ideal 1.00 s, aim within 1.25 x", f"{median(took) / 1.00:.2f} x")
        row("trigger to first engine call", f"{first_call(rig, repeat):.0f} ms", "aim under 100 ms")


def first_call(rig, repeat):
    """Milliseconds from before the POST to the engine's first call of that run."""
    env = rig.stack.exports()
    delays = []
    for _ in range(repeat):
        rig.reset()
        calls = len(call_times(env))
        started = time.time()
        http_request("POST", f"{env['REVEILLE_URL']}/v1/jobs/{JOB}/runs", body=b'{"shadow": true}',
                     headers={"Authorization": f"Bearer {env['OPERATOR_SECRET']}",
                              "Content-Type": "application/json", "Prefer": "wait=20"}, seconds=30)
        delays.append((min(call_times(env)[calls:]) / 1e6 - started) * 1000)
    return median(delays)


def call_times(env):
    body = http_request("GET", env["ENGINE_STATS_URL"] + "/calls", seconds=60)[1]
    return [int(line.split()[0]) for line in body.splitlines()]


def paced(folder, repeat):
    for workers in (1, 3):
        with Rig(folder, mentors=10000, workers=workers) as rig:
            shares = []
            for _ in range(repeat):
                rig.reset()
                shares.append(20.0 / rig.run()["seconds"])
            row(f"10,000 mentors, 20 ms, 10 at a time, {workers} worker(s)",
                f"{500 * median(shares):.0f} a second", "ideal 500, aim 95 %",
                f"{100 * median(shares):.1f} %, at most {rig.engine_stats()['max_in_flight']} in flight")


def fast(folder, repeat, mentors, history):
    for workers in (1, 2):
        for due, aim in ((0, "50,000"), (0.3, "42,000"), (1, "34,000")):
            with Rig(folder, mentors=mentors, workers=workers, latency=0, due=due, page=1000,
                     concurrency=64) as rig:
                if history and due == 1:
                    older(rig, history)
                rates, cpus = [], []
                for _ in range(repeat):
                    if not history or due != 1:
                        rig.reset()
                    else:
                        younger(rig)
                    result = rig.run()
                    rates.append(mentors / result["seconds"])
                    cpus.append({name: 1000 * s / mentors for name, s in result["cpu"].items()})
                cpu = {name: median([c.get(name, 0) for c in cpus]) for name in cpus[0]}
                ours = sum(cpu.get(name, 0) for name in ("worker", "producer", "broker", "postgres"))
                shown = ", ".join(f"{name} {cpu.get(name, 0):.4f}" for name in sorted(cpu))
                older_text = f" beside {history:,} older ones" if history and due == 1 else ""
                row(f"{mentors:,} mentors, 0 ms, 64 at a time, {workers} worker(s), "
                    f"{due:.0%} due{older_text}", f"{median(rates):,.0f} a second",
                    f"aim {aim} a second; 0.03 CPU s a 1,000 with none due",
                    f"{ours:.4f} CPU s a 1,000 without the engine ({shown})")


def older(rig, rows):
    """Notifications of other users and earlier dates, as a year of use leaves them."""
    rig.sql(f"""
        insert into reveille.notification(user_id, scenario_type, evaluation_date,
            cooldown_window_start, cooldown_days, slice_no, run_id)
        select md5('user' || n % 500000)::uuid, 'inactivity', date '2020-01-01' + n / 500000 * 60,
               date '2020-01-01' + n / 500000 * 60, 30, 0, md5('run' || n / 500000)::uuid
          from generate_series(0, {rows - 1}) n;
        insert into reveille.cooldown(user_id, about_id, scenario_type, until)
        select md5('user' || n)::uuid, '00000000-0000-0000-0000-000000000000', 'inactivity',
               '2021-01-01' from generate_series(0, 499999) n;
        vacuum analyze reveille.notification; vacuum analyze reveille.cooldown""")


def younger(rig):
    rig.sql("delete from reveille.notification where cooldown_window_start > '2022-01-01';"
            "delete from reveille.cooldown where until > '2022-01-01'; truncate reveille.outbox;"
            "vacuum reveille.notification; vacuum reveille.cooldown; checkpoint")


def raw_engine(folder, seconds):
    """wrk posting one run's bodies to the same engine: what the engine and this machine can do."""
    with Rig(folder, mentors=10, workers=1, latency=0) as rig:
        url = rig.stack.exports()["TRIGGER_ENGINE_URL"]
        script = Path(folder).with_suffix(".lua")
        bodies = ",".join(json.dumps(json.dumps({
            "invocation_id": str(uuid.uuid4()), "peer_mentor_id": str(uuid.uuid4()),
            "evaluation_date": "2026-11-21", "scenario_types": ["inactivity"]})) for _ in range(1000))
        script.write_text(f"local bodies = {{{bodies}}}\nlocal n = 0\nfunction request()\n"
                          "n = n % #bodies + 1\nreturn wrk.format('POST', nil, "
                          "{['Content-Type'] = 'application/json'}, bodies[n])\nend\n")
        done = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", script, url], text=True,
                              check=True, stdout=subprocess.PIPE)
        script.unlink()
        rate = next(line for line in done.stdout.splitlines() if "Requests/sec" in line).split()[1]
        row("wrk posting the same bodies to the same engine, 64 connections",
            f"{float(rate):,.0f} a second", "what Reveille's rates stand beside")


def planning(folder, mentors):
    with Rig(folder, mentors=mentors, workers=0, latency=0, page=1000) as rig:
        rig.sql("analyze")
        rig.sql("create table plan_reference(like reveille.slice including all)")
        reference = """insert into plan_reference(run_id, slice_no, subject_ids, topic, partition)
            select '00000000-0000-0000-0000-000000000000', page, array_agg(id order by id), 't', page % 12
              from (select m.id, (row_number() over (order by m.id) - 1) / 1000 page from peer_mentors m
                     where m.status = 'active' and exists (select from assignments a
                           where a.peer_mentor_id = m.id and a.status = 'active')) x group by page"""
        started = time.monotonic()
        rig.sql(reference)
        raw = mentors / (time.monotonic() - started)
        env = rig.stack.exports()
        subprocess.run([PROGRAMS / "reveille", "run", JOB], check=True, env=env,
                       stdout=subprocess.DEVNULL)
        planned = """select coalesce(max(extract(epoch from clock_timestamp() - started_at)), 0)
                       from reveille.run where planned is not null"""
        took = 0.0
        while took == 0.0:
            took = float(rig.sql(planned).strip().splitlines()[-1])
        row(f"planning {mentors:,} mentors, page 1,000", f"{mentors / took:,.0f} a second",
            f"one INSERT ... SELECT: {raw:,.0f} a second, aim 0.5", f"{mentors / took / raw:.2f}")
        row(f"producer's peak memory, {mentors:,} mentors planned", f"{rig.peak_mib('producer'):.0f} MiB",
            "aim under 40")


def memory(folder, mentors):
    with Rig(folder, mentors=mentors, workers=1, latency=0, due=0, page=1000, concurrency=64) as rig:
        rig.run()
        row(f"peak memory after {mentors:,} mentors",
            f"producer {rig.peak_mib('producer'):.0f}, worker {rig.peak_mib('worker-1'):.0f} MiB",
            "aim under 40 each, and no higher than for a tenth of them")


def ready(folder, repeat):
    with Rig(folder, mentors=10, workers=1) as rig:
        took = []
        for _ in range(repeat):
            producer = rig.stack.program("producer")
            producer.stop()
            started = time.monotonic()
            producer.start()
            url = rig.stack.exports()["REVEILLE_URL"] + "/livez"
            while http_request("GET", url, seconds=1)[0] != 200:
                pass
            took.append(time.monotonic() - started)
            producer.wait_ready()
        row("producer answers after exec", f"{1000 * median(took):.0f} ms", "aim under 200 ms")


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs a figure (3)")
    parser.add_argument("--mentors", type=int, default=200000, help="of the fast runs (200,000)")
    parser.add_argument("--history", type=int, default=3000000, help="older notifications (3,000,000)")
    parser.add_argument("--roster", type=int, default=1000000, help="of planning and memory (1,000,000)")
    parser.add_argument("--only", nargs="*", default=None,
                        help="small paced fast wrk planning memory ready sql due doorbell page secret")
    options = parser.parse_args()
    if not (PROGRAMS / "reveille-worker").exists():
        parser.error("not built: cmake --preset release && cmake --build --preset release")
    parts = {
        "small": lambda folder: small_run(folder, max(options.repeat, 5)),
        "ready": lambda folder: ready(folder, max(options.repeat, 5)),
        "paced": lambda folder: paced(folder, options.repeat),
        "wrk": lambda folder: raw_engine(folder, 5),
        "fast": lambda folder: fast(folder, options.repeat, options.mentors, options.history),
        "memory": lambda folder: [memory(folder, n) for n in (options.roster // 10, options.roster)],
        "planning": lambda folder: planning(folder, options.roster),
        "sql": lambda folder: jobs.judged_in_sql(folder, options.repeat,
                                                 (options.roster // 10, options.roster), row),
        "due": lambda folder: jobs.many_due(folder, row),
        "doorbell": lambda folder: jobs.doorbell(folder, options.repeat, row),
        "page": lambda folder: jobs.page_query(folder, options.roster, row),
        "secret": lambda folder: [guessing.comparison(1000000, row),
                                  guessing.refusals(folder, 5000, row)],
    }
    unknown = set(options.only or []) - set(parts)
    if unknown:
        parser.error(f"no part {sorted(unknown)[0]}; there are: {' '.join(parts)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    with tempfile.TemporaryDirectory(prefix="reveille-bench-", dir="/var/tmp") as base:
        Path(base).chmod(0o711)
        for name, part in parts.items():
            if options.only is None or name in options.only:
                part(str(Path(base) / "stack"))
    print("| what | figure | reference | ratio |\n|---|---|---|---|")
    for cells in ROWS:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
