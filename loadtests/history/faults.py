"""The nemesis's history: which faults it began and healed, and the evidence that they did something."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from .files import Header, Writer
from .manifest import NEMESIS, boot_id, history_file
from .schema import FORMAT, FaultEvent

Evidence = Mapping[str, float | str]
"""What a fault did, such as `{"bytes_delayed": 51200}`. One in which every number is 0 and every text empty proves
nothing, and leaves the run undecided."""


class FaultWriter:
    """Writes `history/nemesis.cs1`. The manifest must name NEMESIS among its processes, or it is not read.

    Every row is on disk when the call returns: a nemesis may be killed by what it does. Times are monotonic seconds.
    """

    def __init__(self, folder: Path, run: str) -> None:
        path = history_file(folder, NEMESIS)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = Writer(path, Header(FORMAT, run, NEMESIS, boot_id()))

    def start(self, name: str, kind: str, time: float, evidence: Evidence | None = None) -> None:
        """The fault begins. Faults may overlap, also of one name: a stop belongs to the oldest that is not healed."""
        self._put(name, kind, FaultEvent.START, time, evidence)

    def stop(self, name: str, kind: str, time: float, evidence: Evidence | None = None) -> None:
        """The fault is healed. Its evidence is that of its start and of its stop together."""
        self._put(name, kind, FaultEvent.STOP, time, evidence)

    def close(self) -> str | None:
        """Ends the file. Returns why it is not whole, or None."""
        self._writer.close()
        return self._writer.failure

    def _put(self, name: str, kind: str, event: FaultEvent, time: float, evidence: Evidence | None) -> None:
        text = msgspec.json.encode(dict(evidence or {})).decode()
        self._writer.append("fault", name, kind, event, time, text)
        self._writer.flush()
