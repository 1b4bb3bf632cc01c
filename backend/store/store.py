"""The message store: one writer thread, which commits all waiting writes together.

    await send()  ──┐                     ┌─ BEGIN … INSERT … COMMIT ─┐                     ┌─► on_commit, then
    await send()  ──┼─► queue ─► writer ──┤   one transaction for all ├─► one wake-up ──────┤   every await at once
    await probe() ──┘                     └───────────────────────────┘   of the loop       └─►

Writes that arrive while a commit is syncing share the next one. No write is acknowledged before COMMIT has returned.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from chatswarm.backend.metrics.metrics import BackendMetrics

from .checkpoints import Checkpointer
from .log import head
from .records import Committed, Message, OutcomeUnknownError, Position, Role, StoredChat, StoreUnavailableError
from .schema import connect
from .timestamps import timestamp

T = TypeVar("T")

MAX_BATCH = 1024
MAX_WAITING = 20_000
"""Limit on waiting writes; more are refused, so that a locked store cannot exhaust memory."""

_CHUNKS = (256, 64, 16, 4, 1)
"""Rows per statement. sqlite3 releases the GIL in every step and has to wait for it while the loop is busy, so one
statement for many rows saves a lot. There are few sizes so that all statements stay prepared."""

_RETRY = 0.0005
"""Seconds between two attempts to get the write lock. SQLite's own back-off soon sleeps 100 ms at a time, so a faster
worker would starve the others."""

_CERTAIN_AT_COMMIT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Errors of COMMIT after which certainly nothing was stored. Of the I/O errors, only a failed write is as certain:
pages are written in order, and the one that marks the commit comes last. After a failed sync, it may be on disk."""

_log = logging.getLogger("chatswarm.backend.store.store")


class Stored(msgspec.Struct, frozen=True, gc=False):
    """The result of a send. `fresh` is false if its idempotency key was known and nothing was stored."""

    id: int
    seq: int
    at: str
    fresh: bool


class _Send(msgspec.Struct):
    future: asyncio.Future[Stored]
    chat: StoredChat
    role: Role
    text: str
    key: str | None


class _Write(msgspec.Struct, Generic[T]):
    """Any other write. `run` gets the connection, the time and the commit to append to, and returns the result."""

    future: asyncio.Future[T]
    run: Callable[[sqlite3.Connection, str, Committed], T]


class _Batch(msgspec.Struct):
    """A batch after its commit: the results in the order of its jobs, or the failure."""

    jobs: list[_Send | _Write[object]]
    results: list[object]
    committed: Committed
    seconds: float
    failure: Exception | None = None


class Store:
    """The messages on disk. All methods belong to the event loop; `start` starts the writer thread.

    `on_commit` is called on the loop with each commit, in commit order and before any of its writes is acknowledged.
    Writes raise StoreUnavailableError if they certainly did not happen, OutcomeUnknownError if that is unknown.
    `busy` is the longest wait for a lock, in seconds. A `shared` file has writers in other processes.
    """

    def __init__(
        self,
        path: Path,
        on_commit: Callable[[Committed], None],
        metrics: BackendMetrics,
        *,
        busy: float = 1.0,
        shared: bool = False,
    ) -> None:
        self._path = path
        self._on_commit = on_commit
        self._metrics = metrics
        self._busy = busy
        self._shared = shared
        self._queue: queue.SimpleQueue[_Send | _Write[object] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._closing = False
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._checkpointer = Checkpointer(path, metrics)
        # Used only by the writer thread:
        self._connection: sqlite3.Connection | None = None
        self._position = Position()
        self._last_seqs: dict[int, int] = {}
        self._log_again_at = 0.0

    @property
    def waiting(self) -> int:
        """The number of writes that are not acknowledged yet."""
        return self._waiting

    def start(self) -> None:
        """Open the database, prepared by `schema.prepare`, and start the writer. Raises sqlite3.Error."""
        self._loop = asyncio.get_running_loop()
        self._reopen()
        self._thread.start()
        self._checkpointer.start()

    async def close(self, longest: float) -> bool:
        """Finish the waiting writes and close the file within `longest` seconds; False if that took too long."""
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, longest)
        await asyncio.to_thread(self._checkpointer.close, longest)
        return not self._thread.is_alive()

    async def send(self, chat: StoredChat, role: Role, text: str, key: str | None) -> Stored:
        """Store one message; returns once it is on disk. `text` must be encodable as UTF-8."""
        future: asyncio.Future[Stored] = self._loop.create_future()
        self._put(_Send(future, chat, role, text, key))
        return await future

    async def write(self, run: Callable[[sqlite3.Connection, str, Committed], T]) -> T:
        """Run any other write within a batch. It must have no side effects except its writes and what it appends."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Write(future, run))  # type: ignore[arg-type]  # a _Write[T] is used as a _Write[object] here
        return await future

    async def probe(self) -> None:
        """Commit a real write, as a health check. Raises the same errors as `send`."""

        def touch(connection: sqlite3.Connection, _now: str, _committed: Committed) -> None:
            connection.execute("UPDATE probe SET times = times + 1 WHERE id = 1")

        await self.write(touch)

    def _put(self, job: _Send | _Write[object]) -> None:
        if self._closing or self._waiting >= MAX_WAITING:
            raise StoreUnavailableError("shutting down" if self._closing else "too many writes are waiting")
        self._waiting += 1
        self._queue.put(job)

    def _deliver(self, batch: _Batch) -> None:
        """On the loop: publish a commit, then acknowledge its writes."""
        self._waiting -= len(batch.jobs)
        if batch.failure is None:
            self._metrics.commit_seconds.observe(batch.seconds)
            self._metrics.commit_writes.observe(len(batch.jobs))
            try:
                self._on_commit(batch.committed)
            except Exception:  # noqa: BLE001
                # The commit is on disk, so its writes must still be acknowledged.
                _log.exception("Publishing a commit failed")
            for job, result in zip(batch.jobs, batch.results, strict=True):
                if not job.future.done():
                    job.future.set_result(result)  # type: ignore[arg-type]  # paired by _write_all
        else:
            self._metrics.commits_failed.inc()
            for job in batch.jobs:
                if not job.future.done():
                    job.future.set_exception(batch.failure)

    # On the writer's thread from here on.

    def _work(self) -> None:
        ending = False
        while not ending:
            jobs: list[_Send | _Write[object]] = []
            job = self._queue.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) == MAX_BATCH:
                    break
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
            else:
                ending = True
            if jobs:
                batch = self._commit(jobs)
                try:
                    self._loop.call_soon_threadsafe(self._deliver, batch)
                except RuntimeError:  # the loop is closed: nobody is waiting
                    break
                self._checkpointer.wrote(len(jobs), self._connection)
        if self._connection is not None:
            self._connection.close()

    def _commit(self, jobs: list[_Send | _Write[object]]) -> _Batch:
        """Run all jobs in one transaction: all of them succeed, or none."""
        started = time.perf_counter()
        batch = _Batch(jobs, [], Committed(self._position, self._position), 0.0)
        committing = False
        try:
            connection = self._connection or self._reopen()
            self._begin(connection)
            if self._shared:
                self._refresh_counters(connection)
            batch.committed.before = batch.committed.after = self._position
            seqs = self._write_all(connection, batch)
            committing = True
            connection.execute("COMMIT")
            moment = time.monotonic()
            batch.committed.moments = [moment] * len(batch.committed.messages)
            batch.committed.post_moments = [moment] * len(batch.committed.posts)
        except Exception as error:  # noqa: BLE001  # after any error, the transaction must be undone
            certain = self._roll_back(error) and not (committing and not _certain(error))
            if started > self._log_again_at:
                self._log_again_at = started + 1
                outcome = "refused" if certain else "lost track of"
                _log.warning("A batch of %d was %s: %s", len(jobs), outcome, _describe(error))
            batch.failure = (StoreUnavailableError if certain else OutcomeUnknownError)(_describe(error))
        else:
            self._last_seqs.update(seqs)
            self._position = batch.committed.after
        batch.seconds = time.perf_counter() - started
        return batch

    def _write_all(self, connection: sqlite3.Connection, batch: _Batch) -> dict[int, int]:
        """Do all work between BEGIN and COMMIT. Returns the new last `seq` of each chat that got messages."""
        now = timestamp()
        known = self._known_keys(connection, batch.jobs)
        seqs: dict[int, int] = {}
        rows: list[tuple[object, ...]] = []
        for job in batch.jobs:
            if isinstance(job, _Write):
                batch.results.append(job.run(connection, now, batch.committed))
                continue
            number = job.chat.row
            if job.key is not None and (first := known.get((number, job.key))):
                batch.results.append(first)
                continue
            seq = seqs[number] = (seqs.get(number) or self._last_seqs.get(number, 0)) + 1
            message = Message(
                batch.committed.before.messages + len(rows) + 1, job.chat.id, seq, job.role, job.text, now
            )
            rows.append((message.id, number, seq, job.role, job.text, now, job.key))
            batch.committed.messages.append(message)
            batch.results.append(Stored(message.id, seq, now, fresh=True))
            if job.key is not None:
                known[(number, job.key)] = Stored(message.id, seq, now, fresh=False)
        for chunk in _chunks(rows):
            values = ",".join(["(?,?,?,?,?,?,?)"] * len(chunk))
            connection.execute(f"INSERT INTO messages VALUES {values}", [x for row in chunk for x in row])  # noqa: S608
        batch.committed.after = self._after(connection, batch.committed)
        return seqs

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the write lock, within `busy` seconds."""
        end = time.monotonic() + self._busy
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if _code(error) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(_RETRY)
            else:
                return

    def _refresh_counters(self, connection: sqlite3.Connection) -> None:
        """Under the write lock: reload the counters if other processes have written."""
        position = head(connection)
        if position.messages != self._position.messages:
            grown = "SELECT chat, max(seq) FROM messages WHERE id > ? GROUP BY chat"
            self._last_seqs.update(connection.execute(grown, (self._position.messages,)).fetchall())
        self._position = position

    @staticmethod
    def _after(connection: sqlite3.Connection, committed: Committed) -> Position:
        if committed.customers or committed.chats:
            return head(connection)
        before = committed.before
        return msgspec.structs.replace(
            before,
            messages=before.messages + len(committed.messages),
            posts=before.posts + len(committed.posts),
            rooms=before.rooms + len(committed.room_changes),
        )

    def _known_keys(
        self, connection: sqlite3.Connection, jobs: Sequence[_Send | _Write[object]]
    ) -> dict[tuple[int, str], Stored]:
        """The original results for the idempotency keys that are already stored."""
        asked = [(job.chat.row, job.key) for job in jobs if isinstance(job, _Send) and job.key is not None]
        known: dict[tuple[int, str], Stored] = {}
        for chunk in _chunks(asked):
            values = ",".join(["(?,?)"] * len(chunk))
            # CROSS JOIN makes SQLite loop over the few keys and look each up in the index.
            found = connection.execute(
                f"WITH asked (chat, key) AS (VALUES {values}) SELECT m.chat, m.key, m.id, m.seq, m.at "  # noqa: S608
                "FROM asked CROSS JOIN messages AS m WHERE m.chat = asked.chat AND m.key = asked.key",
                [x for pair in chunk for x in pair],
            )
            known.update({(chat, key): Stored(i, seq, at, fresh=False) for chat, key, i, seq, at in found})
        return known

    def _reopen(self) -> sqlite3.Connection:
        """Open a new connection and reload the counters."""
        connection = connect(self._path, busy=self._busy)
        self._position = head(connection)
        self._last_seqs = dict(connection.execute("SELECT chat, max(seq) FROM messages GROUP BY chat"))
        # From here on, _begin waits for locks instead of SQLite.
        connection.execute("PRAGMA busy_timeout = 0")
        self._connection = connection
        return connection

    def _roll_back(self, error: Exception) -> bool:
        """Whether the failed transaction is certainly undone. The next batch reopens the file, except after a lock."""
        connection, self._connection = self._connection, None
        if connection is None:
            return True
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            _close(connection)
            return False
        if _code(error) & 0xFF == sqlite3.SQLITE_BUSY:
            self._connection = connection
        else:
            _close(connection)
        return True


def _close(connection: sqlite3.Connection) -> None:
    try:
        connection.close()
    except sqlite3.Error as error:
        _log.warning("Closing a failed connection failed, too: %s", _describe(error))


def _chunks(rows: list[tuple[object, ...]] | list[tuple[int, str]]) -> list[list[tuple[object, ...]]]:
    chunks: list[list[tuple[object, ...]]] = []
    at = 0
    for size in _CHUNKS:
        while len(rows) - at >= size:
            chunks.append(list(rows[at : at + size]))
            at += size
    return chunks


def _code(error: Exception) -> int:
    # Errors from outside SQLite have no code, and neither do some that the sqlite3 module raises itself.
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else sqlite3.SQLITE_IOERR


def _certain(error: Exception) -> bool:
    code = _code(error)
    return code & 0xFF in _CERTAIN_AT_COMMIT or code == sqlite3.SQLITE_IOERR_WRITE


def _describe(error: Exception) -> str:
    return f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
