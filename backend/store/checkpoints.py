"""Checkpoints the write-ahead log on its own thread, off the commit's path, and keeps the log bounded."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

from chatswarm.backend.metrics.metrics import BackendMetrics

from .schema import connect

EVERY: Final = 1000
"""Writes after which a checkpoint is due."""

TOO_LONG: Final = 32 << 20
"""Size of the log, in bytes, at which the writer runs a checkpoint itself between two commits. A passive checkpoint
cannot shorten the log while commits keep coming: the log restarts only if a commit finds all pages moved."""

_log = logging.getLogger("chatswarm.backend.store.store")


class Checkpointer:
    """A thread with its own connection. `wrote` is called by the writer's thread, all else by the loop's."""

    def __init__(self, path: Path, metrics: BackendMetrics, *, every: int = EVERY, too_long: int = TOO_LONG) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._metrics = metrics
        self._every = every
        self._too_long = too_long
        self._since = 0
        self._due = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="store-checkpointer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Stop the thread; the last connection to close checkpoints the rest."""
        self._ending = True
        self._due.set()
        self._thread.join(timeout)

    def wrote(self, count: int, connection: sqlite3.Connection | None) -> None:
        """Record `count` writes; if the log has still grown too long, truncate it now."""
        self._since += count
        if self._since < self._every:
            return
        self._since = 0
        try:
            size = self._wal.stat().st_size
        except OSError:
            size = 0
        self._metrics.wal_bytes.set(size)
        if size > self._too_long and connection is not None:
            # The thread has already moved most pages, so this is quick. It waits for other connections' reads to end.
            connection.execute("PRAGMA busy_timeout = 200")
            self._checkpoint(connection, "TRUNCATE")
            connection.execute("PRAGMA busy_timeout = 0")
        else:
            self._due.set()

    def _work(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._ending:
                return
            try:
                with closing(connect(self._path)) as connection:
                    self._checkpoint(connection, "PASSIVE")
            except sqlite3.Error:
                _log.exception("A checkpoint found no database")

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> None:
        try:
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            # Pages that were not moved are still in the log, and the next checkpoint moves them.
            _log.warning("A checkpoint failed: %s", error)
