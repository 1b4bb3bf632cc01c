"""Which faults are in force: read from what the nemesis writes down, a row at the begin and one at the end of each.

The nemesis is in `chatswarm run`, another process on this machine; each of its rows is on disk before it goes on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from chatswarm.loadtests.history.files import HistoryError, read
from chatswarm.loadtests.history.tables import FaultEvent
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan


class ActiveFaults:
    """The faults of one run. `path`: the nemesis's history, which need not be there yet."""

    def __init__(self, plans: Sequence[FaultPlan], path: Path) -> None:
        self._path = path
        self._size = 0
        self._known = {(plan.name, plan.kind) for plan in plans}
        self._active: Mapping[tuple[str, str], bool] | None = dict.fromkeys(sorted(self._known), False)

    def active(self) -> Mapping[tuple[str, str], bool] | None:
        """By name and kind, whether it is in force; None if that cannot be read."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size != self._size:
            self._size = size
            self._active = self._read()
        return self._active

    def _read(self) -> Mapping[tuple[str, str], bool] | None:
        try:
            rows = read(self._path).tables["fault"]
        except (OSError, HistoryError):
            return None
        begun: Counter[tuple[str, str]] = Counter()
        for name, kind, event in zip(rows["name"], rows["kind"], rows["event"], strict=True):
            begun[str(name), str(kind)] += 1 if event == FaultEvent.START else -1
        return {key: begun[key] > 0 for key in sorted(self._known)}
