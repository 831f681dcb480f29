"""Engines for one test each."""

import pytest

from scripted_engine_probe import Engine


@pytest.fixture
def start(tmp_path):
    engines = []

    def start_one(*options):
        engines.append(Engine(tmp_path, *options))
        return engines[-1]

    yield start_one
    for engine in engines:
        if engine.process.returncode is None:
            assert engine.stop() == 0, engine.complaint
            assert engine.complaint == ""


@pytest.fixture
def script(tmp_path):
    def write(text):
        (tmp_path / "script").write_text(text)
        return ("--script", tmp_path / "script")
    return write
