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

_LOCK_TIMEOUT = 10.0  # seconds to wait for the lock
_HEADROOM = 64 << 10
"""Bytes that a full file may still grow by. Writes soon fail, but without any headroom every read would fail too."""


class StoreFault(Fault):
    """A fault that acts on the target's database file."""

    @classmethod
    def unfit(cls, plan: FaultPlan, context: FaultContext) -> str | None:
        path = cls.file(plan, context)
        if path is None:
            return "expected database, the path of the target's SQLite file, because chatswarm did not start it"
        return None if _is_sqlite(path) else f"database: expected an SQLite file, got {path}"

    @staticmethod
    def file(plan: FaultPlan, context: FaultContext) -> Path | None:
        """The plan's database file, or else the reference backend's."""
        return Path(plan.text("database")) if plan.text("database") else context.database


class LockStoreFault(StoreFault):
    """Holds the write lock: writes fail, reads do not. If this process dies, the system releases the lock."""

    connection: sqlite3.Connection | None = None

    def begin(self) -> None:
        path = self.file(self.plan, self.context)
        assert path is not None
        try:
            # Opened and closed by the same thread, so `check_same_thread` can stay on.
            uri = f"{path.resolve().as_uri()}?mode=rw"
            self.connection = sqlite3.connect(uri, uri=True, timeout=_LOCK_TIMEOUT, isolation_level=None)
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise FaultError(f"database {path}: expected its lock within {_LOCK_TIMEOUT:g} s, got: {error}") from error
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
    """Simulates a full disk: the target's processes may not grow any file beyond the store's largest file now.

    As on a full disk, only growth fails. A write-ahead log that starts over in its existing space succeeds, and then
    there is no evidence. The kernel reports EFBIG, which SQLite treats like a full disk, under another name.
    Linux only. The target must ignore SIGXFSZ, as Python, Node.js and Go do.
    """

    def __init__(self, plan: FaultPlan, number: int, context: FaultContext) -> None:
        super().__init__(plan, number, context)
        self.undo_ids: list[int] = []

    @classmethod
    def unfit(cls, plan: FaultPlan, context: FaultContext) -> str | None:
        managed = context.processes.get("target")
        if managed is None or not managed.known:
            return "expected --pid, the target's process, because chatswarm did not start it"
        if any(not _ignores(pid, signal.SIGXFSZ) for pid in target_processes.tree(managed.pid)):
            return f"expected a target that ignores SIGXFSZ: pid {managed.pid} would die of it"
        return super().unfit(plan, context)

    def begin(self) -> None:
        path = self.file(self.plan, self.context)
        assert path is not None
        managed = self.context.processes["target"]
        self.limit = max(map(_size, _files(path))) + _HEADROOM
        for pid in target_processes.tree(managed.pid):
            try:
                soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                self.undo_ids.append(self.context.undo_log.add("file_limit", pid, soft, hard))
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (self.limit, hard))
            except PermissionError:
                raise FaultError(f"pid {pid}: expected permission to limit its files, got none") from None
            except ProcessLookupError:
                continue

    def heal(self) -> Evidence:
        path = self.file(self.plan, self.context)
        assert path is not None
        # A file that is exactly as long as the limit was stopped by it.
        full = [file.name for file in _files(path) if _size(file) == self.limit] if self.undo_ids else []
        for undo_id in self.undo_ids:
            self.context.undo_log.undo(undo_id)
        return {"full": ", ".join(full), "file_limit": str(self.limit)} if full else {}


def _is_sqlite(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(16) in (b"SQLite format 3\0", b"")
    return False


def _files(path: Path) -> list[Path]:
    """The files that grow when the target writes: the database, or its log."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")]


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _ignores(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal. True if the process is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("SigIgn:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return True


STORE_FAULTS: dict[str, type[Fault]] = {"lock_store": LockStoreFault, "fill_store": FillStoreFault}
