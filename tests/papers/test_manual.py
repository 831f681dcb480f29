"""The manual pages that the build has written, against what the programs themselves say."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(os.environ.get("REVEILLE_FLOW_PROGRAMS", ROOT / "build" / "debug" / "bin"))
MANUAL = PROGRAMS.parent / "man"
PAGES = ("reveille.1", "reveille-producer.8", "reveille-worker.8")


def said(*words):
    return subprocess.run([PROGRAMS / words[0], *words[1:]], capture_output=True, text=True,
                          check=True).stdout


def page(name):
    return (MANUAL / name).read_text(encoding="utf-8").replace("\\-", "-")


@pytest.mark.parametrize("name", PAGES)
def test_r_x2_every_variable_that_a_program_shows_stands_in_its_manual(name):
    variables = re.findall(r"^  ([A-Z][A-Z0-9_]+) ", said(name.partition(".")[0], "--help"), re.M)
    assert "DATABASE_URL" in variables
    missing = [one for one in variables if f"\\fB{one}\\fR" not in page(name)]
    assert not missing


def test_every_verb_stands_in_the_manual_with_its_options():
    verbs = re.findall(r"^  ([a-z][a-z-]+) +\S", said("reveille", "--help"), re.M)
    assert len(verbs) > 8
    text = page("reveille.1")
    for verb in verbs:
        heading = re.search(rf'^\.SS "reveille {verb}[ "]', text, re.M)
        assert heading, verb
        section = re.split(r"^\.S[SH] ", text[heading.end():], maxsplit=1, flags=re.M)[0]
        own = said("reveille", "help", verb).partition("--json")[0]
        for option in re.findall(r"^  (--[a-z-]+)", own, re.M):
            assert f"\\fB{option}\\fR" in section, f"{verb} {option}"


@pytest.mark.skipif(shutil.which("groff") is None, reason="NO groff")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_shown_without_a_warning(name):
    done = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww", MANUAL / name],
                          capture_output=True, text=True, check=True)
    assert done.stderr == "" and "DATABASE_URL" in re.sub(r"\x1b\[\d*m|.\x08", "", done.stdout)
