"""A limit to assert on: the result of a search, with the names of `capacity.json`. No figure of it is None."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chatswarm.loadtests.capacity.record import RECORD, CapacityReport, CapacityResult
from chatswarm.loadtests.report.capacity import print_capacity

from .result import UndecidedError, text_of


class MeasuredCapacity:
    """How much load a chat holds, in messages per second or dashboards. `raw` is the whole `capacity.json`.

    A bound that was not shown raises UndecidedError when it is read, because no comparison with it could be a pass or a
    failure.
    """

    def __init__(self, report: CapacityReport, result: CapacityResult, folder: Path) -> None:
        """`folder`: that of the search, with a run for each probe."""
        self.raw = report
        self.folder = folder
        self.kind = result.kind
        self.gave_out = result.gave_out
        self.evidence = result.evidence
        self.probes = report.probes
        self._result = result

    @property
    def limit(self) -> float:
        """The highest load that was confirmed."""
        return self._figure("limit", self._result.limit)

    @property
    def low(self) -> float:
        """The limit is at least this, with a confidence of 90 %."""
        return self._figure("low", self._result.low)

    @property
    def high(self) -> float:
        """The limit is at most this. Only a target that gave out has an upper bound."""
        return self._figure("high", self._result.high)

    @property
    def knee(self) -> float:
        """The lowest load from which on latency rises."""
        return self._figure("knee", self._result.knee)

    @property
    def shown(self) -> bool:
        """Whether `at_least` was shown to hold; False: it was refuted."""
        if self._result.answer in (None, "cannot tell"):
            raise UndecidedError(f"at_least was not decided by this search\n{self.text()}")
        return self._result.answer == "shown"

    def text(self, width: int = 100) -> str:
        """The result as `chatswarm capacity` prints it."""
        return text_of(lambda console: print_capacity(console, self.raw), width)

    def _figure(self, name: str, value: float | None) -> float:
        if value is None:
            raise UndecidedError(f"{name} was not shown by this search\n{self.text()}")
        return value

    def __repr__(self) -> str:
        result = self._result
        bounds = f"limit={result.limit}, low={result.low}, high={result.high}, at_least={result.answer}"
        return f"<capacity of {self.raw.asked.scenario}: {bounds}, gave out: {self.gave_out}>"


def read_capacity(folder: Path) -> MeasuredCapacity | None:
    """The search in a folder; None if it has no result. Raises msgspec.MsgspecError and OSError."""
    path = folder / RECORD
    report = msgspec.json.decode(path.read_bytes(), type=CapacityReport) if path.exists() else None
    if report is None or report.result is None:
        return None
    return MeasuredCapacity(report, report.result, folder)
