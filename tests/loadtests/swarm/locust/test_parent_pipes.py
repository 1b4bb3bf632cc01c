"""Pipes to the parent are used only if the descriptor in the variable really is a pipe."""

import os
from pathlib import Path

import msgspec
import pytest

from chatswarm.loadtests.swarm.locust.parent_pipes import ProgressPipe, driven, lifeline
from chatswarm.loadtests.system.children import LIFELINE, PROGRESS
from chatswarm.loadtests.system.progress import ProgressMessage, SwarmNote


@pytest.mark.parametrize("value", ["", "abc", "-1", "77", "99999999999999999999", "²", "1.0"])
def test_a_foreign_or_invalid_number_is_not_a_pipe(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PROGRESS, value)
    monkeypatch.setenv(LIFELINE, value)
    assert not driven()
    assert lifeline() is None
    ProgressPipe().write(SwarmNote("hello"))


def test_a_file_is_not_a_pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setenv(PROGRESS, str(file.fileno()))
        assert not driven()


def test_progress_goes_to_the_pipe_until_its_reader_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(PROGRESS, str(writer))
    assert driven()
    pipe = ProgressPipe()
    pipe.write(SwarmNote("hello"))
    assert msgspec.json.decode(os.read(reader, 1000), type=ProgressMessage) == SwarmNote("hello")
    os.close(reader)
    pipe.write(SwarmNote("hello"))
    assert pipe.descriptor is None
    os.close(writer)
