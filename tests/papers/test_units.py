"""The systemd units, as systemd reads them: no word that it does not know, no door left open. Not
whether the programs work under them; that takes a machine that systemd runs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = {"reveille-producer.service": "reveille-producer.service",
         "reveille-worker@.service": "reveille-worker@1.service"}
EXPOSURE = 1.1  # of 10; what is left is that they talk to other machines

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None,
                                reason="no systemd-analyze on this machine")


@pytest.fixture(params=sorted(UNITS))
def unit(request, tmp_path):
    """A copy whose program is there, and which is an instance where the unit is a template."""
    text = (ROOT / "deploy" / "systemd" / request.param).read_text(encoding="utf-8")
    path = tmp_path / UNITS[request.param]
    path.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.M),
                    encoding="utf-8")
    return path


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], text=True, capture_output=True, check=False)


def test_systemd_has_nothing_to_say_about_a_unit(unit):
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), "an unknown key is but a word"


def test_a_unit_is_as_closed_as_the_deployment_document_says(unit):
    done = analyze("security", "--offline=true", "--no-pager", unit)
    level = float(re.search(r"Overall exposure level.*: (\d+\.\d+)", done.stdout).group(1))
    assert level <= EXPOSURE, done.stdout
    said = (ROOT / "deploy" / "DEPLOYMENT.md").read_text(encoding="utf-8")
    assert f'rates both {EXPOSURE}, "OK"' in said
