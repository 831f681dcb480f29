"""The trials in short form, with a fixed seed, on one PostgreSQL and one Apache Kafka. They are held by
the command, one after the other, and told by the tests below; the long forms are the same command
with --long (README.md has what they gave)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIAL = Path(__file__).parent / "trial"
sys.path.append(str(TRIAL.parent.parent))

from progress import Progress       # noqa: E402

HELD = ("kills", "zombies", "rebalances", "takeover", "outage", "restarts", "triggers", "topic",
        "settles")
NO_KAFKA = 3       # the command's exit code


@pytest.fixture(scope="module", name="held")
def fixture_held():
    """{trial: what it gave}."""
    command = subprocess.Popen([TRIAL, "--json", "--seed", "1", *HELD], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        told, wrong = command.communicate(timeout=900)
    finally:
        command.terminate()            # if it still runs, it stops what it has started
        command.wait(60)
    sys.stderr.write(wrong)            # shown if a test fails
    if command.returncode == NO_KAFKA and os.environ.get("REVEILLE_REQUIRE_KAFKA") != "1":
        pytest.skip(wrong)
    return {one["trial"]: one for one in map(json.loads, told.splitlines())}


def assert_holds(held, name):
    assert name in held, "the trial was not held to its end"
    print(held[name]["figures"])
    assert held[name]["holds"], [one["what"] for one in held[name]["bounds"] if not one["holds"]]


def test_a_trial_says_how_far_it_is_at_each_tenth(capsys):
    progress = Progress("kills")
    progress.expect(500)
    for _ in range(200):
        progress.add(3)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == [
        f"kills: {n} of 500" for n in (51, 102, 150, 201, 252, 300, 351, 402, 450, 500)]


def test_r_d4_workers_killed_three_at_a_time_lose_nobody_and_tell_nobody_twice(held):
    assert_holds(held, "kills")


def test_r_d4_workers_woken_after_the_takeover_have_no_effect(held):
    assert_holds(held, "zombies")


def test_r_e1_joins_leaves_and_crashes_stop_a_run_for_no_longer_than_the_session_and_5_s(held):
    assert_holds(held, "rebalances")


def test_r_d4_a_dead_workers_slices_are_taken_over_within_15_s(held):
    assert_holds(held, "takeover")


def test_r_e2_an_engine_that_is_away_costs_no_mentor_and_never_gets_more_than_the_limit(held):
    assert_holds(held, "outage")


def test_r_d4_every_commit_whose_answer_was_lost_is_resolved(held):
    assert_holds(held, "restarts")


def test_r_t13_many_triggers_at_once_are_one_run(held):
    assert_holds(held, "triggers")


def test_r_d4_a_topic_deleted_in_mid_run_costs_less_than_two_minutes(held):
    assert_holds(held, "topic")


def test_r_d4_contended_settles_do_not_deadlock(held):
    assert_holds(held, "settles")
