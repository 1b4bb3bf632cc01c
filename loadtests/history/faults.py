"""The nemesis's part of the history: which faults it began and healed, with evidence, and the proxy's lag."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from chatswarm.loadtests.system.text import to_json

from .files import Header, Writer
from .manifest import NEMESIS, PROXY, boot_id, history_file
from .tables import FORMAT, FaultEvent

Evidence = Mapping[str, float | str]
"""What a fault did, such as `{"bytes_delayed": 51200}`. One in which every number is 0 and every text empty proves
nothing, and leaves the run undecided."""


class _FaultsFile:
    """The history of a process without users. Every row is on disk when the call returns: a nemesis may be killed by
    what it does. Times are monotonic seconds. Threads may share it. The manifest must name it, or it is not read.
    """

    def __init__(self, folder: Path, run: str, process: str) -> None:
        path = history_file(folder, process)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._closed = False
        self._writer = Writer(path, Header(FORMAT, run, process, boot_id()))

    def close(self) -> str | None:
        """Ends the file. Returns why it is not whole, or None. What comes later is dropped."""
        with self._lock:
            self._closed = True
            self._writer.close()
            return self._writer.failure

    def _put(self, table: str, rows: Iterable[Sequence[float | str]]) -> None:
        with self._lock:
            if self._closed:
                return
            for row in rows:
                self._writer.append(table, *row)
            self._writer.flush()


class FaultWriter(_FaultsFile):
    """Writes `history/nemesis.cs1`."""

    def __init__(self, folder: Path, run: str) -> None:
        super().__init__(folder, run, NEMESIS)

    def start(self, name: str, kind: str, time: float, evidence: Evidence | None = None) -> None:
        """The fault begins. Faults may overlap, also of one name: a stop belongs to the oldest that is not healed."""
        self._put("fault", [(name, kind, FaultEvent.START, time, _json(evidence))])

    def stop(self, name: str, kind: str, time: float, evidence: Evidence | None = None) -> None:
        """The fault is healed. Its evidence is that of its start and of its stop together."""
        self._put("fault", [(name, kind, FaultEvent.STOP, time, _json(evidence))])

    def trouble(self, time: float, detail: str) -> None:
        """Something went wrong with the nemesis itself: it leaves the run undecided."""
        self._put("trouble", [(time, NEMESIS, detail)])


class ProxyWriter(_FaultsFile):
    """Writes `history/proxy.cs1`: the proxy is a part of the rig, and its slowness must not count as the target's."""

    def __init__(self, folder: Path, run: str) -> None:
        super().__init__(folder, run, PROXY)

    def looked(self, samples: Iterable[tuple[float, float]], time: float, cpu: float) -> None:
        """Its loop's lag (when it woke, how late), and its CPU over the time until `time`, in cores."""
        self._put("lag", samples)
        self._put("cpu", [(time, cpu, 0)])


def _json(evidence: Evidence | None) -> str:
    return to_json(dict(evidence or {})).decode()
