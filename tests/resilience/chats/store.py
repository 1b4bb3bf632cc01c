"""What is kept, in an SQLite file: one thread writes, as many writes per commit as are waiting."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_TABLES = """
CREATE TABLE IF NOT EXISTS chats (id TEXT PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, chat TEXT NOT NULL, role TEXT NOT NULL,
                                     text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS messages_of_chats ON messages (chat, id);
"""
_ADD_CHAT = "INSERT INTO chats VALUES (?, ?, ?)"
_ADD_MESSAGE = "INSERT INTO messages (id, chat, role, text) VALUES (?, ?, ?, ?)"
_MESSAGES_OF_A_CHAT = "SELECT id, chat, role, text FROM messages WHERE chat = ? ORDER BY id"


class Unavailable(Exception):
    """The store is locked, full or broken. What was to be written is certainly not there."""


class Message(NamedTuple):
    """What somebody wrote. Ids grow in commit order over all chats."""

    id: int
    chat: str
    role: str
    text: str


@dataclass
class Room:
    """One customer's chat, with its messages by id, in order."""

    id: str
    email: str
    name: str
    messages: dict[int, Message] = field(default_factory=dict)


class _Write(NamedTuple):
    statement: str
    values: tuple[object, ...]
    done: asyncio.Future[int]


class Store:
    """A database file, or memory where there is none. Must be closed."""

    def __init__(self, database: str, wait_for_lock: float = 1.0) -> None:
        """Opens or makes it. `wait_for_lock`: seconds until a locked file counts as unavailable."""
        self._connection = sqlite3.connect(
            database or ":memory:", isolation_level=None, timeout=wait_for_lock, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_TABLES)
        self._lock = threading.Lock()
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    async def add_chat(self, room: Room) -> None:
        """Returns when it is on disk. Raises Unavailable."""
        await self._written(_ADD_CHAT, (room.id, room.email, room.name))

    async def add_message(self, chat: str, role: str, text: str, message_id: int | None = None) -> Message:
        """Returns when it is on disk. Raises Unavailable."""
        written = await self._written(_ADD_MESSAGE, (message_id, chat, role, text))
        return Message(written, chat, role, text)

    def rooms(self) -> Iterator[Room]:
        """All that is kept."""
        with self._lock:
            chats = self._connection.execute("SELECT id, email, name FROM chats ORDER BY rowid").fetchall()
        for chat in chats:
            room = Room(*chat)
            room.messages = {message.id: message for message in self.messages_of(room.id)}
            yield room

    def room(self, chat: str) -> Room | None:
        """One chat, without its messages."""
        with self._lock:
            row = self._connection.execute("SELECT id, email, name FROM chats WHERE id = ?", (chat,)).fetchone()
        return Room(*row) if row else None

    def messages_of(self, chat: str) -> list[Message]:
        with self._lock:
            return [Message(*row) for row in self._connection.execute(_MESSAGES_OF_A_CHAT, (chat,))]

    def close(self) -> None:
        """Writes what is waiting, and ends."""
        self._writes.put(None)
        self._writer.join()
        self._connection.close()

    async def _written(self, statement: str, values: tuple[object, ...]) -> int:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._writes.put(_Write(statement, values, done))
        return await done

    def _write_all(self) -> None:
        while (first := self._writes.get()) is not None:
            batch = [first]
            last = False
            with contextlib.suppress(queue.Empty):
                while (more := self._writes.get_nowait()) is not None:
                    batch.append(more)
                last = True
            result = self._commit(batch)
            first.done.get_loop().call_soon_threadsafe(_tell, batch, result)
            if last:
                return

    def _commit(self, batch: list[_Write]) -> list[int] | Exception:
        """The ids of what was written; or what went wrong."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                ids = [self._connection.execute(write.statement, write.values).lastrowid or 0 for write in batch]
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                return self._undone(error)
            return ids

    def _undone(self, error: sqlite3.Error) -> Exception:
        """Why nothing was written; only if that is certain, Unavailable."""
        try:
            # On a full disk SQLite has rolled back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as worse:
            return worse
        return Unavailable(str(error))


def _tell(batch: list[_Write], result: list[int] | Exception) -> None:
    """In the loop, in commit order: who waits for the ids runs in the order of the ids."""
    for number, write in enumerate(batch):
        if write.done.done():
            continue
        if isinstance(result, Exception):
            write.done.set_exception(result)
        else:
            write.done.set_result(result[number])
