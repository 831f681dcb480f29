"""Plants a bug: a patch of mutants/ becomes programs and migrations beside the true ones.

A patch begins with lines `Scenario:`, `Caught-by:` and `Bug:`; then comes what `patch -p1` reads. Of
C only what it touches is compiled, with the flags of build/release, and linked with the rest of that
build, so that a mutant costs seconds; of SQL the touched files are applied once more, on a database
that has the true ones, as every migration can be.
"""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build" / "release"
PROGRAMS = ("reveille-producer", "reveille-worker")
FOLDERS = ("common", "producer", "worker", "migrations")


class PlantingError(Exception):
    """A patch that cannot be planted: it is outdated, or wrong in itself."""


def all_mutants():
    return [Mutant(path) for path in sorted(HERE.glob("*.patch"))]


def build_true():
    """Everything that the scenarios start, as it is."""
    for command in (["cmake", "--preset", "release"],
                    ["cmake", "--build", "--preset", "release", "--target", *PROGRAMS, "reveille",
                     "reveille-embedded-broker", "reveille-scripted-engine"]):
        done = subprocess.run(command, cwd=ROOT, text=True, check=False, capture_output=True)
        if done.returncode != 0:
            raise PlantingError(done.stdout[-2000:] + done.stderr[-2000:])


class Mutant:
    """A patch: its name, the scenario that is to find it, the invariants that are to say so."""

    def __init__(self, path):
        self.name = path.stem
        self._path = path
        text = path.read_text(encoding="utf-8")
        told = dict(re.findall(r"^(Scenario|Caught-by|Bug): (.+)$", text, re.M))
        self.scenario, self.bug = told["Scenario"], told["Bug"]
        self.caught_by = set(told["Caught-by"].split())
        self.files = re.findall(r"^\+\+\+ b/(\S+)", text, re.M)

    @property
    def kind(self):
        return "SQL" if any(name.endswith(".sql") for name in self.files) else "C"

    def plant(self, folder, build=True):
        """Applies it to a copy in `folder`, a new one, and builds what it changes. Returns a
        Planted."""
        for name in FOLDERS:
            shutil.copytree(ROOT / name, folder / name)
        done = subprocess.run(["patch", "-p1", "--silent", "--no-backup-if-mismatch", "-i",
                               self._path], cwd=folder, text=True, check=False, capture_output=True)
        if done.returncode != 0:
            raise PlantingError(f"{self.name}: the patch does not apply any more\n{done.stdout}")
        sources = [name for name in self.files if name.endswith(".c")]
        if len(sources) + len(self._migrations()) != len(self.files):
            raise PlantingError(f"{self.name}: only .c and .sql files can be planted")
        binaries = None
        if sources and build:
            binaries = _link(folder, [_compile(folder, one) for one in sources])
        return Planted(binaries, [folder / name for name in self._migrations()])

    def _migrations(self):
        return sorted(name for name in self.files if name.endswith(".sql"))


class Planted:
    """What differs from the true tree. binaries: a folder, or None; migrations: in order."""

    def __init__(self, binaries=None, migrations=()):
        self.binaries = binaries or BUILD / "bin"
        self.migrations = list(migrations)


def _compile(folder, name):
    """The object of a changed source; its headers are the copied ones."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8")):
        if entry["file"] == str(ROOT / name):
            command = entry["command"]
            break
    else:
        raise PlantingError(f"{name} is not part of the build")
    for one in FOLDERS:
        command = command.replace(f"{ROOT / one}", f"{folder / one}")
    words = shlex.split(command)
    words[words.index("-o") + 1] = str((folder / name).with_suffix(".o"))
    _run([*words, "-w"])            # a bug may well leave something unused behind
    return (folder / name).with_suffix(".o")


def _link(folder, objects):
    """Both programs; what is in a given object is not taken from the libraries."""
    binaries = folder / "bin"
    binaries.mkdir()
    for program in PROGRAMS:
        own = [one for one in objects if one.parent.name in ("common", program.split("-")[1])]
        commands = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", f"bin/{program}"],
                                  text=True, check=True, capture_output=True).stdout
        words = shlex.split(commands.strip().splitlines()[-1].strip(": &"))
        at = next(n for n, word in enumerate(words) if word.endswith(".a"))
        words[words.index("-o") + 1] = str(binaries / program)
        _run([*words[:at], *map(str, own), *words[at:]])
    return binaries


def _run(words):
    done = subprocess.run(words, cwd=BUILD, text=True, check=False, capture_output=True)
    if done.returncode != 0:
        raise PlantingError(done.stderr[-2000:])
