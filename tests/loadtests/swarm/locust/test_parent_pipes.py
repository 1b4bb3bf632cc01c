"""A variable with the number of a pipe proves nothing: the pipe must be there."""

import json
import os
import time
from pathlib import Path

import pytest

from chatswarm.loadtests.swarm.locust.parent_pipes import ProgressPipe, driven, lifeline
from chatswarm.loadtests.swarm.plan import ProcessProgress
from chatswarm.loadtests.system.children import LIFELINE, PROGRESS


def tell(pipe: ProgressPipe) -> None:
    pipe.tell("measuring", time.monotonic(), 2.0, 4, ProcessProgress(sent=7))


@pytest.mark.parametrize("value", ["", "abc", "-1", "77", "99999999999999999999", "²", "1.0"])
def test_a_foreign_or_broken_number_is_no_pipe(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PROGRESS, value)
    monkeypatch.setenv(LIFELINE, value)
    assert not driven()
    assert lifeline() is None
    tell(ProgressPipe())


def test_a_file_is_no_pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setenv(PROGRESS, str(file.fileno()))
        assert not driven()


def test_progress_goes_to_the_pipe_until_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(PROGRESS, str(writer))
    assert driven()
    pipe = ProgressPipe()
    tell(pipe)
    line = json.loads(os.read(reader, 1000))
    assert (line["phase"], line["length"], line["dashboards"], line["sent"]) == ("measuring", 2.0, 4, 7)
    os.close(reader)
    tell(pipe)
    assert pipe.number is None
    os.close(writer)
