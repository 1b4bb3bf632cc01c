"""Faults of the target's SQLite file: locked by another writer, or full."""

import resource
import signal
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from . import target_processes
from .error import FaultError
from .fault import Fault, FaultContext

_LOCKING = 10.0  # seconds in which the lock must be had
_ROOM = 64 << 10
"""Bytes that a full file may still grow by: what is written next does not fit, but not every read fails as well."""


class StoreFault(Fault):
    """What they share: the file."""

    @classmethod
    def unfit(cls, plan: FaultPlan, world: FaultContext) -> str | None:
        path = cls.file(plan, world)
        if path is None:
            return "expected database, the path of the target's SQLite file, because chatswarm did not start it"
        return None if _is_sqlite(path) else f"database: expected an SQLite file, got {path}"

    @staticmethod
    def file(plan: FaultPlan, world: FaultContext) -> Path | None:
        """The file of the plan, else the one that is known."""
        return Path(plan.text("database")) if plan.text("database") else world.database


class LockStoreFault(StoreFault):
    """Another writer holds the lock: writing is refused, reading is not. A dying process lets go of it by itself."""

    connection: sqlite3.Connection | None = None

    def begin(self) -> None:
        path = self.file(self.plan, self.world)
        assert path is not None
        try:
            # In this thread only, so that SQLite's own check may stay on.
            uri = f"{path.resolve().as_uri()}?mode=rw"
            self.connection = sqlite3.connect(uri, uri=True, timeout=_LOCKING, isolation_level=None)
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise FaultError(f"database {path}: expected its lock within {_LOCKING:g} s, got: {error}") from error
        self.held_since = time.monotonic()

    def heal(self) -> Evidence:
        if self.connection is None:
            return {}
        held = self.connection.in_transaction
        with suppress(sqlite3.Error):
            self.connection.execute("ROLLBACK")
        self.connection.close()
        return {"locked_seconds": round(time.monotonic() - self.held_since, 3)} if held else {}


class FillStoreFault(StoreFault):
    """No room: the target's processes may let no file grow beyond what its largest one of the store is now.

    Only what grows fails, as on a full disk: a write-ahead log that starts over in the room that it has does not, and
    then this leaves no evidence. What the kernel says is EFBIG, which SQLite tells from a full disk by its name only.
    Linux; SIGXFSZ must be ignored by the target, as it is in Python, Node.js and Go.
    """

    def __init__(self, plan: FaultPlan, number: int, world: FaultContext) -> None:
        super().__init__(plan, number, world)
        self.pledges: list[int] = []

    @classmethod
    def unfit(cls, plan: FaultPlan, world: FaultContext) -> str | None:
        managed = world.processes.get("target")
        if managed is None or not managed.known:
            return "expected --pid, the target's process, because chatswarm did not start it"
        if any(not _ignores(pid, signal.SIGXFSZ) for pid in target_processes.tree(managed.pid)):
            return f"expected a target that ignores SIGXFSZ: pid {managed.pid} would die of it"
        return super().unfit(plan, world)

    def begin(self) -> None:
        path = self.file(self.plan, self.world)
        assert path is not None
        managed = self.world.processes["target"]
        self.limit = max(map(_size, _files(path))) + _ROOM
        for pid in target_processes.tree(managed.pid):
            try:
                soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                self.pledges.append(self.world.pledges.make("file_limit", pid, soft, hard))
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (self.limit, hard))
            except PermissionError:
                raise FaultError(f"pid {pid}: expected leave to limit its files, got none") from None
            except ProcessLookupError:
                continue

    def heal(self) -> Evidence:
        path = self.file(self.plan, self.world)
        assert path is not None
        # A file that grew up to the limit, and not a byte further, is one that had no more room.
        full = [file.name for file in _files(path) if _size(file) == self.limit] if self.pledges else []
        for pledge in self.pledges:
            self.world.pledges.redeem(pledge)
        return {"full": ", ".join(full), "file_limit": str(self.limit)} if full else {}


def _is_sqlite(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(16) in (b"SQLite format 3\0", b"")
    return False


def _files(path: Path) -> list[Path]:
    """What grows when the target writes: the database itself, or its log."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")]


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _ignores(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal; a process that has gone does."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return True


STORE_FAULTS: dict[str, type[Fault]] = {"lock_store": LockStoreFault, "fill_store": FillStoreFault}
