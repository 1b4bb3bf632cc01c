"""The result of a search in pytest: no figure of it is None."""

from pathlib import Path

import pytest

from chatswarm.loadtests.capacity.search import perform
from chatswarm.loadtests.plugin.capacity import MeasuredCapacity, read_capacity
from chatswarm.loadtests.plugin.result import UndecidedError
from tests.loadtests.capacity.searched import MadeUp, begun


def measured(folder: Path, made: MadeUp, wanted: float | None = None) -> MeasuredCapacity:
    perform(begun(folder), folder, made, wanted)
    found = read_capacity(folder)
    assert found is not None
    return found


def test_what_was_found(tmp_path: Path) -> None:
    found = measured(tmp_path, MadeUp(137), 100)
    assert found.shown
    assert found.low <= found.limit < 137 < found.high
    assert (found.kind, found.gave_out, len(found.probes)) == ("found", "target", 13)
    assert "it held 134 messages/s" in found.text()
    assert repr(found).startswith("<capacity of steady: limit=134.5, ")


def test_a_bound_that_was_not_shown_cannot_be_compared(tmp_path: Path) -> None:
    found = measured(tmp_path, MadeUp(1e9))
    assert found.low == 1280
    for name in ("high", "knee", "shown"):
        with pytest.raises(UndecidedError, match="LOWER BOUND"):
            getattr(found, name)


def test_a_search_that_has_not_ended_has_no_result(tmp_path: Path) -> None:
    perform(begun(tmp_path), tmp_path, MadeUp(137, stops_at=4))
    assert read_capacity(tmp_path) is None
    assert read_capacity(tmp_path / "nowhere") is None
