"""The message store: one writer thread, and as many writes per commit as are waiting.

    await send()  ──┐                     ┌─ BEGIN … INSERT … COMMIT ─┐                     ┌─► on_commit, then
    await send()  ──┼─► queue ─► writer ──┤   one transaction for all ├─► one wake-up ──────┤   every await at once
    await probe() ──┘                     └───────────────────────────┘   of the loop       └─►

While a commit is syncing, what arrives waits and shares the next one. Nothing is answered before COMMIT has returned.
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
"""Writes that may wait for the writer; more are refused, so that a locked store cannot fill the memory."""

_CHUNKS = (256, 64, 16, 4, 1)
"""Rows per statement. sqlite3 lets go of the interpreter in every step, and waits to get it back while the loop is
busy, so one statement for many rows is worth more than it looks; few sizes, so that all stay prepared."""

_RETRY = 0.0005
"""Seconds between two tries to get the write lock. SQLite's own waiting soon sleeps 100 ms at a time, so that a worker
that is always quicker would keep the others out."""

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
"""What COMMIT may fail with and certainly have done nothing. Of I/O errors only a failed write is as certain: pages are
written in order, and the one that marks the commit comes last. After a failed sync it may be on disk all the same."""

_log = logging.getLogger("chatswarm.backend.store.store")


class Stored(msgspec.Struct, frozen=True, gc=False):
    """The answer to a send. `fresh` is false if its idempotency key was known and nothing was stored."""

    id: int
    seq: int
    at: str
    fresh: bool


class _Send(msgspec.Struct):
    answer: asyncio.Future[Stored]
    chat: StoredChat
    role: Role
    text: str
    key: str | None


class _Write(msgspec.Struct, Generic[T]):
    """A rarer write: `run` gets the connection, the time and what the commit brings; its return value is the answer."""

    answer: asyncio.Future[T]
    run: Callable[[sqlite3.Connection, str, Committed], T]


class _Batch(msgspec.Struct):
    """A batch that was tried: answers in the order of its jobs, or why there are none."""

    jobs: list[_Send | _Write[object]]
    answers: list[object]
    committed: Committed
    seconds: float
    failure: Exception | None = None


class Store:
    """What was said, on disk. All methods belong to the event loop; the thread is started by `start`.

    `on_commit` is called on the loop with what each commit brought, in commit order and before any write of that commit
    is answered. Writes raise StoreUnavailableError when certainly not done, OutcomeUnknownError when that is open.
    `busy` is the longest wait for a lock, in seconds. A file that is `shared` has writers in other processes as well.
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
        # The writer's own, touched by no other thread:
        self._connection: sqlite3.Connection | None = None
        self._position = Position()
        self._last_seqs: dict[int, int] = {}
        self._quiet_until = 0.0

    @property
    def waiting(self) -> int:
        """Writes that were asked for and not answered yet."""
        return self._waiting

    def start(self) -> None:
        """Open the database (which `schema.prepare` has seen) and begin to write. Raises sqlite3.Error."""
        self._loop = asyncio.get_running_loop()
        self._reopen()
        self._thread.start()
        self._checkpointer.start()

    async def close(self, longest: float) -> bool:
        """Finish what is waiting and close the file, within `longest` seconds; False if that was not enough."""
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, longest)
        await asyncio.to_thread(self._checkpointer.close, longest)
        return not self._thread.is_alive()

    async def send(self, chat: StoredChat, role: Role, text: str, key: str | None) -> Stored:
        """Store one message; its answer means that it is on disk. `text` must be encodable as UTF-8."""
        answer: asyncio.Future[Stored] = self._loop.create_future()
        self._put(_Send(answer, chat, role, text, key))
        return await answer

    async def write(self, run: Callable[[sqlite3.Connection, str, Committed], T]) -> T:
        """Run a rarer write as part of a batch. It must leave nothing behind but what it writes and appends."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._put(_Write(answer, run))  # type: ignore[arg-type]  # a _Write[T] is a _Write[object] to whoever only runs it
        return await answer

    async def probe(self) -> None:
        """Write something, for real. Raises what a send would raise."""

        def touch(connection: sqlite3.Connection, _now: str, _committed: Committed) -> None:
            connection.execute("UPDATE probe SET times = times + 1 WHERE id = 1")

        await self.write(touch)

    def _put(self, job: _Send | _Write[object]) -> None:
        if self._closing or self._waiting >= MAX_WAITING:
            raise StoreUnavailableError("shutting down" if self._closing else "too many writes are waiting")
        self._waiting += 1
        self._queue.put(job)

    def _deliver(self, batch: _Batch) -> None:
        """On the loop: publish what a commit brought, then answer everyone who waited for it."""
        self._waiting -= len(batch.jobs)
        if batch.failure is None:
            self._metrics.commit_seconds.observe(batch.seconds)
            self._metrics.commit_writes.observe(len(batch.jobs))
            try:
                self._on_commit(batch.committed)
            except Exception:  # noqa: BLE001
                # It is on disk all the same, so it must still be answered.
                _log.exception("Publishing a commit failed")
            for job, answer in zip(batch.jobs, batch.answers, strict=True):
                if not job.answer.done():
                    job.answer.set_result(answer)  # type: ignore[arg-type]  # paired by _try
        else:
            self._metrics.commits_failed.inc()
            for job in batch.jobs:
                if not job.answer.done():
                    job.answer.set_exception(batch.failure)

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
                except RuntimeError:  # the loop is closed: nobody waits any more
                    break
                self._checkpointer.wrote(len(jobs), self._connection)
        if self._connection is not None:
            self._connection.close()

    def _commit(self, jobs: list[_Send | _Write[object]]) -> _Batch:
        """All of the jobs in one transaction, or none of them."""
        started = time.perf_counter()
        batch = _Batch(jobs, [], Committed(self._position, self._position), 0.0)
        committing = False
        try:
            connection = self._connection or self._reopen()
            self._begin(connection)
            if self._shared:
                self._catch_up(connection)
            batch.committed.before = batch.committed.after = self._position
            seqs = self._try(connection, batch)
            committing = True
            connection.execute("COMMIT")
            batch.committed.moments = [time.monotonic()] * len(batch.committed.messages)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not be half done
            certain = self._roll_back(error) and not (committing and not _certain(error))
            if started > self._quiet_until:
                self._quiet_until = started + 1
                outcome = "refused" if certain else "lost track of"
                _log.warning("A batch of %d was %s: %s", len(jobs), outcome, _told(error))
            batch.failure = (StoreUnavailableError if certain else OutcomeUnknownError)(_told(error))
        else:
            self._last_seqs.update(seqs)
            self._position = batch.committed.after
        batch.seconds = time.perf_counter() - started
        return batch

    def _try(self, connection: sqlite3.Connection, batch: _Batch) -> dict[int, int]:
        """Everything between BEGIN and COMMIT. Returns the new last number of each chat that got messages."""
        now = timestamp()
        known = self._known_keys(connection, batch.jobs)
        seqs: dict[int, int] = {}
        rows: list[tuple[object, ...]] = []
        for job in batch.jobs:
            if isinstance(job, _Write):
                batch.answers.append(job.run(connection, now, batch.committed))
                continue
            number = job.chat.row
            if job.key is not None and (first := known.get((number, job.key))):
                batch.answers.append(first)
                continue
            seq = seqs[number] = (seqs.get(number) or self._last_seqs.get(number, 0)) + 1
            message = Message(
                batch.committed.before.messages + len(rows) + 1, job.chat.id, seq, job.role, job.text, now
            )
            rows.append((message.id, number, seq, job.role, job.text, now, job.key))
            batch.committed.messages.append(message)
            batch.answers.append(Stored(message.id, seq, now, fresh=True))
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

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Under the write lock: the counters as they are on disk, if others have written."""
        position = head(connection)
        if position.messages != self._position.messages:
            grown = "SELECT chat, max(seq) FROM messages WHERE id > ? GROUP BY chat"
            self._last_seqs.update(connection.execute(grown, (self._position.messages,)).fetchall())
        self._position = position

    @staticmethod
    def _after(connection: sqlite3.Connection, committed: Committed) -> Position:
        if committed.customers or committed.chats:
            return head(connection)
        before, count = committed.before, len(committed.messages)
        return Position(before.messages + count, before.chats, before.customers) if count else before

    def _known_keys(
        self, connection: sqlite3.Connection, jobs: Sequence[_Send | _Write[object]]
    ) -> dict[tuple[int, str], Stored]:
        """The first answers to those idempotency keys of the jobs that were stored before."""
        asked = [(job.chat.row, job.key) for job in jobs if isinstance(job, _Send) and job.key is not None]
        known: dict[tuple[int, str], Stored] = {}
        for chunk in _chunks(asked):
            values = ",".join(["(?,?)"] * len(chunk))
            # CROSS JOIN keeps the few asked for outside and the index of the many inside.
            found = connection.execute(
                f"WITH asked (chat, key) AS (VALUES {values}) SELECT m.chat, m.key, m.id, m.seq, m.at "  # noqa: S608
                "FROM asked CROSS JOIN messages AS m WHERE m.chat = asked.chat AND m.key = asked.key",
                [x for pair in chunk for x in pair],
            )
            known.update({(chat, key): Stored(i, seq, at, fresh=False) for chat, key, i, seq, at in found})
        return known

    def _reopen(self) -> sqlite3.Connection:
        """A new connection, and the counters as they are on disk."""
        connection = connect(self._path, busy=self._busy)
        self._position = head(connection)
        self._last_seqs = dict(connection.execute("SELECT chat, max(seq) FROM messages GROUP BY chat"))
        # From here on SQLite does not wait for locks itself: see _begin.
        connection.execute("PRAGMA busy_timeout = 0")
        self._connection = connection
        return connection

    def _roll_back(self, error: Exception) -> bool:
        """Whether the failed transaction is certainly undone. But after a lock, the next batch opens the file anew."""
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
        _log.warning("Closing a failed connection failed, too: %s", _told(error))


def _chunks(rows: list[tuple[object, ...]] | list[tuple[int, str]]) -> list[list[tuple[object, ...]]]:
    chunks: list[list[tuple[object, ...]]] = []
    at = 0
    for size in _CHUNKS:
        while len(rows) - at >= size:
            chunks.append(list(rows[at : at + size]))
            at += size
    return chunks


def _code(error: Exception) -> int:
    # Errors that are not SQLite's own have none, and nor have some that the sqlite3 module makes itself.
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else sqlite3.SQLITE_IOERR


def _certain(error: Exception) -> bool:
    code = _code(error)
    return code & 0xFF in _CERTAIN_AT_COMMIT or code == sqlite3.SQLITE_IOERR_WRITE


def _told(error: Exception) -> str:
    return f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
