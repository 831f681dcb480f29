#!/usr/bin/env python3
"""The flow tests with a newer librdkafka than Debian 12's: the same programs, linked as they are, find
it by LD_LIBRARY_PATH. Arguments are pytest's (a file, -k …); without any, all of tests/flow runs.

The library comes out of a wheel from PyPI, by its version and hash (newer_librdkafka.txt), once;
nothing of that package is installed or imported.
"""

import ctypes
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / "build" / "venv"
STORE = ROOT / "build" / "librdkafka"
PINNED = Path(__file__).with_suffix(".txt")
PYTHON = "/usr/bin/python3"  # with Debian's pytest and psycopg2
NAME = "librdkafka.so.1"  # as programs ask for it


def fetch():
    """The folder with the library. RuntimeError or OSError: it cannot be had."""
    if platform.machine() != "x86_64":
        raise RuntimeError(f"{PINNED.name} names no wheel for {platform.machine()}")
    if not (STORE / NAME).exists():
        STORE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STORE) as folder:
            unpack(download(Path(folder)), Path(folder) / NAME)
            (Path(folder) / NAME).rename(STORE / NAME)
    return STORE


def download(folder):
    if not (VENV / "bin" / "pip").exists():
        subprocess.run([PYTHON, "-m", "venv", VENV], check=True)
    done = subprocess.run(
        [VENV / "bin" / "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
         "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--require-hashes",
         "-r", PINNED, "-d", folder], check=False)
    if done.returncode != 0:
        raise RuntimeError("pip cannot fetch it (above)")
    return next(folder.glob("*.whl"))


def unpack(wheel, target):
    with zipfile.ZipFile(wheel) as archive:
        inside = [name for name in archive.namelist() if "/librdkafka-" in name]
        if len(inside) != 1:
            raise RuntimeError(f"{wheel.name} holds {len(inside)} librdkafkas")
        target.write_bytes(archive.read(inside[0]))


def version_of(library):
    library.rd_kafka_version_str.restype = ctypes.c_char_p
    return library.rd_kafka_version_str().decode()


def main():
    try:
        folder = fetch()
    except (RuntimeError, OSError, subprocess.CalledProcessError) as reason:
        sys.exit(f"no newer librdkafka: {reason}")
    newer, older = (version_of(ctypes.CDLL(path)) for path in (str(folder / NAME), NAME))
    if newer == older:
        sys.exit(f"{newer} is the one that the programs use anyway")
    print(f"== the flow tests with librdkafka {newer} for {older}", flush=True)
    # the tests see to it that this is the one that the programs say they use
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "REVEILLE_FLOW_LIBRDKAFKA": newer}
    os.execve(PYTHON, [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                       *(sys.argv[1:] or [ROOT / "tests" / "flow"])], environment)


if __name__ == "__main__":
    main()
