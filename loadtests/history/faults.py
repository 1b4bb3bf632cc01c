"""Writers for the histories of the nemesis (faults), the fault proxy (lag and CPU) and the target's processes."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from chatswarm.loadtests.system.text import to_json

from .files import Header, Writer
from .manifest import NEMESIS, PROXY, TARGET, boot_id, history_file
from .tables import FORMAT, FaultEvent

Evidence = Mapping[str, float | str]
"""What a fault did, for example `{"bytes_delayed": 51200}`. If all numbers are 0 and all texts empty, it proves nothing
and leaves the run undecided."""

NOT_BEGUN, NOT_HEALED = "could not begin", "could not be healed"
"""What may have gone wrong with a fault."""


def reasons(details: Iterable[str], name: str, what: str) -> list[str]:
    """Why a fault could not begin, or be healed, from the details of the nemesis's troubles."""
    start = _failure(name, what, "")
    return [detail.removeprefix(start) for detail in details if detail.startswith(start)]


def _failure(name: str, what: str, reason: str) -> str:
    return f"the fault {name} {what}: {reason}"


class _UnbufferedHistory:
    """The history of a process without users. Thread-safe. Times are monotonic seconds.

    Every row is on disk when the call returns, because a fault may kill the nemesis. The judge reads the file only if
    the manifest lists its process.
    """

    def __init__(self, folder: Path, run: str, process: str) -> None:
        path = history_file(folder, process)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._closed = False
        self._writer = Writer(path, Header(FORMAT, run, process, boot_id()))

    def close(self) -> str | None:
        """Ends the file; later rows are dropped. Returns why it is incomplete, or None."""
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


class FaultWriter(_UnbufferedHistory):
    """Writes `history/nemesis.cs1`."""

    def __init__(self, folder: Path, run: str) -> None:
        super().__init__(folder, run, NEMESIS)

    def start(self, name: str, kind: str, time: float, evidence: Evidence | None = None) -> None:
        """A fault starts. Faults may overlap, even with the same name: a stop belongs to the oldest active one."""
        self._put("fault", [(name, kind, FaultEvent.START, time, _json(evidence))])

    def stop(self, name: str, kind: str, time: float, evidence: Evidence | None = None) -> None:
        """A fault is healed. Its evidence is that of its start and its stop combined."""
        self._put("fault", [(name, kind, FaultEvent.STOP, time, _json(evidence))])

    def trouble(self, time: float, detail: str) -> None:
        """Something went wrong with the nemesis itself, which leaves the run undecided."""
        self._put("trouble", [(time, NEMESIS, detail)])

    def failed(self, time: float, name: str, what: str, reason: str) -> None:
        """A fault could not begin, or be healed. Leaves the run undecided, too."""
        self.trouble(time, _failure(name, what, reason))


class ProxyWriter(_UnbufferedHistory):
    """Writes `history/proxy.cs1`: the proxy is part of the rig, so its slowness must not be blamed on the target."""

    def __init__(self, folder: Path, run: str) -> None:
        super().__init__(folder, run, PROXY)

    def looked(self, samples: Iterable[tuple[float, float]], time: float, cpu: float) -> None:
        """Samples of the loop's lag (when it woke, and how late), and the CPU used up to `time`, in cores."""
        self._put("lag", samples)
        self._put("cpu", [(time, cpu, 0)])


class ProcessSample(NamedTuple):
    """One process of the target in the second before."""

    pid: int
    name: str
    cpu: float  # in cores; NaN: not measured
    memory: int  # bytes that are resident


class TargetWriter(_UnbufferedHistory):
    """Writes `history/target.cs1`: what the target's processes did, which changes no outcome."""

    def __init__(self, folder: Path, run: str) -> None:
        super().__init__(folder, run, TARGET)

    def looked(self, time: float, samples: Iterable[ProcessSample]) -> None:
        """One look at all processes."""
        self._put("process", [(time, *sample) for sample in samples])

    def note(self, time: float, detail: str) -> None:
        """Something that whoever reads the figures must know."""
        self._put("note", [(time, TARGET, detail)])


def _json(evidence: Evidence | None) -> str:
    return to_json(dict(evidence or {})).decode()
