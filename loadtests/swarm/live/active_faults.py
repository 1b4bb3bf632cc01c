"""What has become of the faults: read from what the nemesis writes down, a row at the begin and one at the end of each.

The nemesis is in the testbed, another process on this machine; each of its rows is on disk before it goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.history.faults import NOT_BEGUN, NOT_HEALED, reasons
from chatswarm.loadtests.history.files import HistoryError, read
from chatswarm.loadtests.history.tables import FaultEvent
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

FaultKey = tuple[str, str]
"""A fault's name and kind."""


@dataclass(slots=True)
class FaultRecord:
    """What the nemesis wrote down of one fault. Moments are monotonic seconds, in order."""

    begun: list[float] = field(default_factory=list)
    healed: list[float] = field(default_factory=list)
    not_begun: list[str] = field(default_factory=list)
    """Why it could not begin, each time."""
    not_healed: list[str] = field(default_factory=list)

    @property
    def in_force_since(self) -> float | None:
        """The begin of the oldest one that is in force; None if none is."""
        return self.begun[len(self.healed)] if len(self.healed) < len(self.begun) else None


class ActiveFaults:
    """The faults of one run. `path`: the nemesis's history file, which may not exist yet."""

    def __init__(self, plans: Sequence[FaultPlan], path: Path) -> None:
        self._path = path
        self._size = 0
        self._known = sorted({(plan.name, plan.kind) for plan in plans})
        self._records: Mapping[FaultKey, FaultRecord] | None = {key: FaultRecord() for key in self._known}

    def records(self) -> Mapping[FaultKey, FaultRecord] | None:
        """What is known of each fault; None if that cannot be read."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size != self._size:
            self._size = size
            self._records = self._read()
        return self._records

    def active(self) -> Mapping[FaultKey, bool] | None:
        """By name and kind, whether it is in force; None if that cannot be read."""
        records = self.records()
        return None if records is None else {key: it.in_force_since is not None for key, it in records.items()}

    def _read(self) -> Mapping[FaultKey, FaultRecord] | None:
        try:
            tables = read(self._path).tables
        except (OSError, HistoryError):
            return None
        records = {key: FaultRecord() for key in self._known}
        rows = tables["fault"]
        for name, kind, event, time in zip(rows["name"], rows["kind"], rows["event"], rows["time"], strict=True):
            record = records[str(name), str(kind)]
            (record.begun if event == FaultEvent.START else record.healed).append(float(time))
        details = [str(detail) for detail in tables["trouble"]["detail"]]
        for (name, _), record in records.items():
            record.not_begun = reasons(details, name, NOT_BEGUN)
            record.not_healed = reasons(details, name, NOT_HEALED)
        return records
