"""What the suite repeats at its end: names and reasons of failures, in few lines."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from failures import LAST_WORDS, MOST_LINES, WIDEST, what_failed    # noqa: E402


def test_pytest_s_failure_is_its_name_its_line_and_its_reason(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "def test_good():\n    print('noise')\n\n"
        "def test_bad():\n    print('noise')\n    assert 'red' == 'blue'\n")
    printed = subprocess.run([sys.executable, "-m", "pytest", "-q", tmp_path / "test_it.py"],
                             cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    told = what_failed(printed)
    assert told[0].strip("_ ") == "test_bad" and told[-1].startswith("FAILED test_it.py::test_bad")
    assert "E       AssertionError: assert 'red' == 'blue'" in told
    assert "noise" not in "".join(told)


def test_cmocka_s_failure_is_its_name_its_line_and_its_reason():
    assert what_failed("[ RUN      ] fine\n[       OK ] fine\n[ RUN      ] R-P1: counts\n"
                       "[  ERROR   ] --- 0x2 != 0x3\n[   LINE   ] --- test_x.c:7: error: Failure!\n"
                       "[  FAILED  ] R-P1: counts\n[  PASSED  ] 1 test(s).\n") == [
        "[  ERROR   ] --- 0x2 != 0x3", "[   LINE   ] --- test_x.c:7: error: Failure!",
        "[  FAILED  ] R-P1: counts"]


def test_a_command_that_names_nothing_leaves_its_last_words():
    printed = "".join(f"step {n}\n" for n in range(40)) + "== failed: the build\n"
    told = what_failed(printed)
    assert len(told) == LAST_WORDS and told[-2:] == ["step 39", "== failed: the build"]


def test_what_is_repeated_is_bounded():
    told = what_failed("E   " + "x" * 1000 + "\n" + "not ok 1 - a\n" * 1000)
    assert len(told) == MOST_LINES and max(map(len, told)) <= WIDEST
