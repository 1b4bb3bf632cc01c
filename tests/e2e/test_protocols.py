"""Shipped protocol files against real servers, as a user runs them: the others are in `make protocols`."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.protocols.catalogue import ROWS
from tests.protocols.runs import run


@pytest.mark.parametrize("name", ["socket.io", "django-channels"])
def test_a_real_chat_without_a_fault_passes(name: str, tmp_path: Path) -> None:
    (row,) = [row for row in ROWS if row.chat.protocol == name and row.name == "clean"]
    outcome = run(replace(row, swarm={"duration": "4s"}), tmp_path)
    if outcome.skipped:
        pytest.skip(f"NO {row.chat.name}: {outcome.skipped}")
    assert outcome.problems == []
