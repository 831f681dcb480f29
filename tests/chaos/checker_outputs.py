"""I7 and I8: what the programs said, and how much they took. By the rules of tests/flow/outputs.py,
over files instead of a world.
"""

import json
from collections import defaultdict
from statistics import median

from checker_found import Found
from outputs import SANITIZERS, told

# Programs that are not Reveille's say what they like about ids; a secret is in nobody's words.
OTHERS = ("postgres", "broker", "kafka", "engine", "toxiproxy", "pgbouncer", "faults", "samples")
TEXT_MAX = 1 << 30      # bytes of one file that are looked at; more has other trouble

MIN_SAMPLES = 9         # of one process, else nothing is said about it
WARM_UP_S = 60          # of its life: pools fill, librdkafka reads its first metadata
# Last third above first third, by the median: what allocators and caches do, and no leak that
# matters in a night.
RSS_KB, RSS_SHARE, FDS, THREADS = 4096, 0.10, 8, 1
# A producer asks for offsets with a handle that it makes when it first has to: four threads and
# their descriptors, and one a question.
PRODUCER_FDS, PRODUCER_THREADS = FDS + 8, THREADS + 5


def secrets_of(folder):
    """{name: value} of a stack's secret files, which lie in `secret` in or beside the folder."""
    for place in (folder / "secret", folder.parent / "secret"):
        if place.is_dir():
            return {file.name: file.read_text(encoding="utf-8").strip()
                    for file in place.iterdir() if file.is_file()}
    return {}


def i7(facts, folder):
    """No secret in any output; in those of Reveille no user's id, no canary, no stack trace, no
    complaint of a sanitizer."""
    secrets = secrets_of(folder)
    users = set(facts.users.values())
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or "secret" in path.relative_to(folder).parts:
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(TEXT_MAX)
        name = str(path.relative_to(folder))
        if path.name.startswith(OTHERS):
            yield from (Found(f"{name} tells the secret {one}")
                        for one, value in secrets.items() if value in text)
            continue
        yield from (Found(what) for what in told(name, text, secrets, users))
        yield from (Found(f"{name}: {one.group(0)[:200]}") for one in SANITIZERS.finditer(text))


def i8(samples):
    """samples: a file of lines {"t", "name", "pid", "rss_kb", "fds", "threads"}, t in seconds. Each
    process takes no more at its end than at its beginning, but for the bounds above."""
    of_process = defaultdict(list)
    for line in samples.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        of_process[one["name"], one["pid"]].append(one)
    for (name, pid), taken in of_process.items():
        taken.sort(key=lambda one: one["t"])
        taken = [one for one in taken if one["t"] >= taken[0]["t"] + WARM_UP_S]
        third = len(taken) // 3
        if len(taken) < MIN_SAMPLES:
            continue
        handle = name.startswith("producer")
        for what, share, more in (("rss_kb", RSS_SHARE, RSS_KB),
                                  ("fds", 0, PRODUCER_FDS if handle else FDS),
                                  ("threads", 0, PRODUCER_THREADS if handle else THREADS)):
            first = median(one[what] for one in taken[:third])
            last = median(one[what] for one in taken[-third:])
            if last > first + share * first + more:
                yield Found(f"{name} (pid {pid}): {what} grew from {first:g} to {last:g}")
