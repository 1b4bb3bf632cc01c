"""Reads the store: everything at start-up, the messages of one chat, and the log after a position."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from .records import Committed, Message, Position, StoredChat, StoredCustomer, StoreUnavailableError
from .schema import connect

T = TypeVar("T")

_CUSTOMER = "id, name, email, category, status, created_at FROM customers"
_CHAT = "row, id, customer_id, status, created_at FROM chats"
_MESSAGE = "m.id, c.id, m.seq, m.role, m.text, m.at FROM messages AS m JOIN chats AS c ON c.row = m.chat"


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads within it see the same state of the store."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def head(connection: sqlite3.Connection) -> Position:
    """The end of the log. Takes microseconds at any length."""
    query = (
        "SELECT coalesce((SELECT max(id) FROM messages), 0), coalesce((SELECT max(row) FROM chats), 0), "
        "coalesce((SELECT max(changed) FROM customers), 0)"
    )
    return Position(*connection.execute(query).fetchone())


def read_after(connection: sqlite3.Connection, before: Position, limit: int) -> Committed:
    """What was committed after `before`, with at most `limit` messages. Must run in one transaction."""
    after = head(connection)
    if after == before:
        return Committed(before, before)
    customers = connection.execute(f"SELECT {_CUSTOMER} WHERE changed > ? ORDER BY changed", (before.customers,))
    chats = connection.execute(f"SELECT {_CHAT} WHERE row > ? ORDER BY row", (before.chats,))
    query = f"SELECT {_MESSAGE} WHERE m.id > ? ORDER BY m.id LIMIT ?"
    messages = list(_messages(connection, query, before.messages, limit))
    if len(messages) == limit:
        after = msgspec.structs.replace(after, messages=messages[-1].id)
    found = [StoredCustomer(*row) for row in customers], [StoredChat(*row) for row in chats]
    return Committed(before, after, *found, messages, [None] * len(messages))


class Log:
    """Reads on its own thread and connection, so that reads delay neither the loop nor a commit.

    A read sees every message that got a 2xx before it began. Reads raise StoreUnavailableError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Finish pending reads and close the connection."""
        self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=True)

    async def messages(self, chat: StoredChat, after: int = 0, limit: int | None = None) -> list[Message]:
        """Messages of one chat whose `seq` is above `after`, in order, at most `limit`."""
        query = f"SELECT {_MESSAGE} WHERE m.chat = ? AND m.seq > ? ORDER BY m.seq LIMIT ?"
        return await self._read(lambda c: list(_messages(c, query, chat.row, after, -1 if limit is None else limit)))

    async def page(self, after: int, upto: int, limit: int) -> list[Message]:
        """Messages of all chats with `after` < id ≤ `upto`, in commit order, at most `limit`."""
        query = f"SELECT {_MESSAGE} WHERE m.id > ? AND m.id <= ? ORDER BY m.id LIMIT ?"
        return await self._read(lambda c: list(_messages(c, query, after, upto, limit)))

    async def everything(self, tail: int) -> Committed:
        """A consistent snapshot of all customers and chats, with the last `tail` messages of each chat."""

        def read(connection: sqlite3.Connection) -> Committed:
            tails = (
                "WITH ends AS (SELECT chat, max(seq) AS seq FROM messages GROUP BY chat) "  # noqa: S608
                f"SELECT {_MESSAGE} JOIN ends ON ends.chat = m.chat AND m.seq > ends.seq - ? ORDER BY m.id"
            )
            with snapshot(connection):
                customers = [StoredCustomer(*row) for row in connection.execute(f"SELECT {_CUSTOMER}")]
                chats = [StoredChat(*row) for row in connection.execute(f"SELECT {_CHAT} ORDER BY row")]
                messages = list(_messages(connection, tails, tail))
                return Committed(Position(), head(connection), customers, chats, messages, [None] * len(messages))

        return await self._read(read)

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, read)

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = connect(self._path, read_only=True)
            return read(self._connection)
        except sqlite3.Error as error:
            self._disconnect()
            raise StoreUnavailableError(str(error)) from error

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _messages(connection: sqlite3.Connection, query: str, *values: int) -> Iterator[Message]:
    return (Message(*row) for row in connection.execute(query, values))
