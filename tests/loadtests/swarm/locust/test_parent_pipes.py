"""A variable with a pipe's descriptor proves nothing: the pipe must be there."""

import os
from pathlib import Path

import pytest

from chatswarm.loadtests.swarm.locust.parent_pipes import ProgressPipe, driven, lifeline
from chatswarm.loadtests.system.children import LIFELINE, PROGRESS


@pytest.mark.parametrize("value", ["", "abc", "-1", "77", "99999999999999999999", "²", "1.0"])
def test_a_foreign_or_broken_number_is_no_pipe(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PROGRESS, value)
    monkeypatch.setenv(LIFELINE, value)
    assert not driven()
    assert lifeline() is None
    ProgressPipe().write(b"{}\n")


def test_a_file_is_no_pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setenv(PROGRESS, str(file.fileno()))
        assert not driven()


def test_progress_goes_to_the_pipe_until_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(PROGRESS, str(writer))
    assert driven()
    pipe = ProgressPipe()
    pipe.write(b"{}\n")
    assert os.read(reader, 1000) == b"{}\n"
    os.close(reader)
    pipe.write(b"{}\n")
    assert pipe.descriptor is None
    os.close(writer)
