"""Three of the planted bugs, one of C and two of SQL, and their scenarios without a bug: the short
form of check-mutants, which tries them all."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent / "mutants"))

import planting                 # noqa: E402
from trying import Ground       # noqa: E402

MUTANTS = {mutant.name: mutant for mutant in planting.all_mutants()}
CHOSEN = ("offset-before-commit", "no-pending-check", "unsorted-insert")


@pytest.fixture(scope="module")
def ground():
    planting.build_true()
    with Ground() as made:
        yield made


@pytest.mark.parametrize("name", CHOSEN)
def test_r_d4_a_planted_bug_is_caught_and_without_it_the_scenario_holds(ground, name):
    mutant = MUTANTS[name]
    assert ground.try_true(mutant.scenario).failed == {}
    assert set(ground.try_mutant(mutant).failed) & mutant.caught_by


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_can_still_be_planted(tmp_path, name):
    """The tree moves on under the patches; which of them were caught is check-mutants' business."""
    planted = MUTANTS[name].plant(tmp_path / "tree", build=False)
    assert planted.migrations or MUTANTS[name].kind == "C"
