"""What a failed command printed, in few lines: the names of the tests that failed and why, as
pytest, cmocka, TAP and the sanitizers print them. The suite repeats them at its end, because of a
long log often only the end is kept. Not the log: whole tracebacks are where they were printed.
"""

import re

MARK = "== what failed, again"
MOST_LINES = 60        # of one command's, and of one group's
WIDEST = 240           # characters of a line
TELLING = re.compile(
    r"^(E  |>  |_{3,} .+ _{3,}$|(FAILED|ERROR) \S+::|\S+\.py:\d+: )"   # pytest
    r"|^\[ *(ERROR|FAILED|LINE) *\]"                                    # cmocka
    r"|^(not ok|#\s+(Failed|have|want|got|expected|died))"             # TAP
    r"|runtime error:|^==\d+==ERROR|^SUMMARY: "             # sanitizers
    r"|^== failed: |^seed .+|SURVIVED|: error: |^CMake Error")
LAST_WORDS = 15        # lines of a command in which nothing of these is found


def what_failed(output):
    """The lines worth reading again, at most MOST_LINES: the last ones, where the names stand."""
    lines = [line[:WIDEST] for line in output.splitlines()]
    telling = [line for line in lines if TELLING.search(line)]
    if all(line.startswith("== failed: ") for line in telling):
        telling = [line for line in lines if line.strip()][-LAST_WORDS:]
    return telling[-MOST_LINES:]
