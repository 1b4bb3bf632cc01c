"""Reading the store: what the list needs at the start, one chat with its messages, and the log after an id."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from chatswarm.backend.records import Chat, Customer, Message, StoreUnavailableError
from chatswarm.backend.schema import connect

T = TypeVar("T")

_MESSAGE = "m.id, c.id, m.seq, m.role, m.text, m.at FROM messages AS m JOIN chats AS c ON c.row = m.chat"


class Log:
    """Reads on a thread and a connection of its own, so that they hold up neither the loop nor a commit.

    What was answered with 2xx before a read began is in it. Reads raise StoreUnavailableError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the connection; reads that were asked for before are finished first."""
        self._thread.submit(self._forget)
        self._thread.shutdown(wait=True)

    async def messages(self, chat: Chat, after: int = 0, limit: int | None = None) -> list[Message]:
        """Messages of one chat whose `seq` is above `after`, in order, at most `limit`."""
        query = f"SELECT {_MESSAGE} WHERE m.chat = ? AND m.seq > ? ORDER BY m.seq LIMIT ?"
        return await self._read(lambda c: list(_messages(c, query, chat.row, after, -1 if limit is None else limit)))

    async def page(self, after: int, upto: int, limit: int) -> list[Message]:
        """Messages of all chats with `after` < id ≤ `upto`, in commit order, at most `limit`."""
        query = f"SELECT {_MESSAGE} WHERE m.id > ? AND m.id <= ? ORDER BY m.id LIMIT ?"
        return await self._read(lambda c: list(_messages(c, query, after, upto, limit)))

    async def everything(self, tail: int) -> tuple[list[Customer], list[Chat], list[Message], int]:
        """All customers and chats, the last `tail` messages of each chat in commit order, and the last message's id."""

        def read(connection: sqlite3.Connection) -> tuple[list[Customer], list[Chat], list[Message], int]:
            customers = "SELECT id, name, email, category, status, created_at FROM customers"
            chats = "SELECT row, id, customer_id, status, created_at FROM chats ORDER BY row"
            tails = (
                "WITH ends AS (SELECT chat, max(seq) AS seq FROM messages GROUP BY chat) "  # noqa: S608
                f"SELECT {_MESSAGE} JOIN ends ON ends.chat = m.chat AND m.seq > ends.seq - ? ORDER BY m.id"
            )
            return (
                [Customer(*row) for row in connection.execute(customers)],
                [Chat(*row) for row in connection.execute(chats)],
                list(_messages(connection, tails, tail)),
                connection.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()[0],
            )

        return await self._read(read)

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, read)

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = connect(self._path, read_only=True)
            return read(self._connection)
        except sqlite3.Error as error:
            self._forget()
            raise StoreUnavailableError(str(error)) from error

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _messages(connection: sqlite3.Connection, query: str, *values: int) -> Iterator[Message]:
    return (Message(*row) for row in connection.execute(query, values))
