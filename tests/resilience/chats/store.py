"""The chats and messages, in an SQLite file. One writer thread commits all waiting writes together."""

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
    """The store is locked, full or broken. The write is certainly not stored."""


class Message(NamedTuple):
    """One message. Ids grow in commit order across all chats."""

    id: int
    chat: str
    role: str
    text: str


@dataclass
class Conversation:
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
    """A database file, or an in-memory database. Must be closed."""

    def __init__(self, database: str, wait_for_lock: float = 1.0) -> None:
        """Opens or creates it. `wait_for_lock`: seconds until a locked file counts as unavailable."""
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

    async def add_chat(self, conversation: Conversation) -> None:
        """Returns once it is on disk. Raises Unavailable."""
        await self._write(_ADD_CHAT, (conversation.id, conversation.email, conversation.name))

    async def add_message(self, chat: str, role: str, text: str, message_id: int | None = None) -> Message:
        """Returns once it is on disk. Raises Unavailable."""
        written = await self._write(_ADD_MESSAGE, (message_id, chat, role, text))
        return Message(written, chat, role, text)

    def conversations(self) -> Iterator[Conversation]:
        """Everything stored."""
        with self._lock:
            chats = self._connection.execute("SELECT id, email, name FROM chats ORDER BY rowid").fetchall()
        for chat in chats:
            conversation = Conversation(*chat)
            conversation.messages = {message.id: message for message in self.messages_of(conversation.id)}
            yield conversation

    def conversation(self, chat: str) -> Conversation | None:
        """One chat, without its messages."""
        with self._lock:
            row = self._connection.execute("SELECT id, email, name FROM chats WHERE id = ?", (chat,)).fetchone()
        return Conversation(*row) if row else None

    def messages_of(self, chat: str) -> list[Message]:
        with self._lock:
            return [Message(*row) for row in self._connection.execute(_MESSAGES_OF_A_CHAT, (chat,))]

    def close(self) -> None:
        """Writes what is waiting, and closes the database."""
        self._writes.put(None)
        self._writer.join()
        self._connection.close()

    async def _write(self, statement: str, values: tuple[object, ...]) -> int:
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
            first.done.get_loop().call_soon_threadsafe(_resolve, batch, result)
            if last:
                return

    def _commit(self, batch: list[_Write]) -> list[int] | Exception:
        """The new ids, or what went wrong."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                ids = [self._connection.execute(write.statement, write.values).lastrowid or 0 for write in batch]
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                return self._rolled_back(error)
            return ids

    def _rolled_back(self, error: sqlite3.Error) -> Exception:
        """Rolls back. Returns Unavailable, or another error if it is uncertain whether anything was stored."""
        try:
            # On a full disk, SQLite has already rolled back.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as worse:
            return worse
        return Unavailable(str(error))


def _resolve(batch: list[_Write], result: list[int] | Exception) -> None:
    """Runs in the event loop, in commit order, so that the waiting tasks continue in the order of their ids."""
    for number, write in enumerate(batch):
        if write.done.done():
            continue
        if isinstance(result, Exception):
            write.done.set_exception(result)
        else:
            write.done.set_result(result[number])
