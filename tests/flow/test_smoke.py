"""deploy/smoke-test on a whole local stack with pg_cron: what DEPLOYMENT.md says is recorded."""

import os
import subprocess

import pytest

from parts import PROGRAMS, ROOT
from stack.database import ADMIN
from stack.layout import MIGRATIONS
from stack.stack import Options, Stack


@pytest.fixture(scope="module")
def stack(folder):
    up = Stack.up(folder / "smoke", Options(mentors=20, workers=1), programs_folder=PROGRAMS)
    try:
        yield up
    finally:
        up.down()


def smoke(stack, tmp_path, **changes):
    exports = stack.exports()
    files = {}
    for name in ("producer", "worker-1"):
        program = stack.program(name)
        files[name] = tmp_path / name
        files[name].write_text("".join(f"{key}={value}\n" for key, value
                                       in program.environment.items() if key != "PATH"),
                               encoding="utf-8")
    done = subprocess.run([ROOT / "deploy" / "smoke-test"], text=True, capture_output=True,
                          check=False, timeout=120, env={
                              "PATH": f"{PROGRAMS}:{os.defpath}", "MIGRATIONS": str(MIGRATIONS),
                              "DATABASE_URL": stack.database.url(ADMIN),
                              "REVEILLE_URL": exports["REVEILLE_URL"],
                              "SCHEDULER_SECRET": exports["SCHEDULER_SECRET"],
                              "PRODUCER_ENV": str(files["producer"]),
                              "WORKER_ENV": str(files["worker-1"]), **changes})
    assert exports["SCHEDULER_SECRET"] not in done.stdout + done.stderr
    return done


def test_r_x2_the_five_questions_are_answered_with_yes(stack, tmp_path):
    done = smoke(stack, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [line.split()[:2] for line in done.stdout.splitlines()[1:]]
    assert {number for yes, number in answers} == {"1", "2", "3", "4", "5"}
    assert {yes for yes, number in answers} == {"yes"}


def test_r_x2_what_is_wrong_is_said(stack, tmp_path):
    """Another secret, and a cron row that somebody has switched off."""
    stack.database.sql("update cron.job set active = false where jobname = 'nightly-scheduler'",
                       role="postgres")
    done = smoke(stack, tmp_path, SCHEDULER_SECRET="0" * 64)
    assert done.returncode == 1
    wrong = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("NO")]
    assert wrong == ["1", "2", "2"], done.stdout
