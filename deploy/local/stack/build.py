"""The programs of a stack, built by CMake; the tests' own are not among them."""

import subprocess
import sys

from .layout import ROOT, StackError

RELEASE = ROOT / "build" / "release" / "bin"
PROGRAMS = ("reveille", "reveille-producer", "reveille-worker", "reveille-embedded-broker",
            "reveille-scripted-engine")


def missing(folder=RELEASE):
    """The programs that are not in the folder."""
    return [name for name in PROGRAMS if not (folder / name).exists()]


def build():
    """Configure the first time, and build what has changed; what CMake says goes to stderr."""
    configure = ["cmake", "--preset", "release"]
    make = ["cmake", "--build", "--preset", "release", "--target", *PROGRAMS]
    configured = (RELEASE.parent / "build.ninja").exists()  # and configures itself again if needed
    for command in [make] if configured else [configure, make]:
        try:
            done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        except FileNotFoundError:
            raise StackError("cmake is not installed: run deploy/install-dependencies") from None
        if done.returncode != 0:
            raise StackError(f"{' '.join(command)} failed (above); if a package is missing: "
                             "deploy/install-dependencies")
