"""Reads the store: everything at start-up, the messages of a chat, posts of a room, and the log after a position."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from .records import (
    Committed,
    Message,
    Position,
    Post,
    RoomChange,
    StoredChat,
    StoredCustomer,
    StoredRoom,
    StoreUnavailableError,
)
from .schema import connect

T = TypeVar("T")

_CUSTOMER = "id, name, email, category, status, created_at FROM customers"
_CHAT = "row, id, customer_id, status, created_at FROM chats"
_MESSAGE = "m.id, c.id, m.seq, m.role, m.text, m.at FROM messages AS m JOIN chats AS c ON c.row = m.chat"
_POST = "p.id, r.name, p.user, p.text, p.at FROM posts AS p JOIN rooms AS r ON r.row = p.room"
_CHANGE = "c.number, c.after, c.room, r.name, c.user, c.member FROM room_changes AS c JOIN rooms AS r ON r.row = c.room"


class LoadedRooms(NamedTuple):
    """All rooms, and the position in the log at which they were read."""

    position: Position
    rooms: list[StoredRoom]


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
        "coalesce((SELECT max(changed) FROM customers), 0), coalesce((SELECT max(id) FROM posts), 0), "
        "coalesce((SELECT max(number) FROM room_changes), 0)"
    )
    return Position(*connection.execute(query).fetchone())


def read_after(connection: sqlite3.Connection, before: Position, limit: int) -> Committed:
    """What was committed after `before`, with at most `limit` messages and `limit` posts, and no change of a room from
    after these posts. Must run in one transaction.
    """
    page = Committed(before, head(connection))
    after = page.after
    # Most commits are of one kind, so most of these are skipped.
    if after.customers != before.customers:
        found = connection.execute(f"SELECT {_CUSTOMER} WHERE changed > ? ORDER BY changed", (before.customers,))
        page.customers = [StoredCustomer(*row) for row in found]
    if after.chats != before.chats:
        found = connection.execute(f"SELECT {_CHAT} WHERE row > ? ORDER BY row", (before.chats,))
        page.chats = [StoredChat(*row) for row in found]
    if after.messages != before.messages:
        query = f"SELECT {_MESSAGE} WHERE m.id > ? ORDER BY m.id LIMIT ?"
        page.messages = list(_messages(connection, query, before.messages, limit))
        page.moments = [None] * len(page.messages)
        if len(page.messages) == limit:
            after = msgspec.structs.replace(after, messages=page.messages[-1].id)
    if after.posts != before.posts:
        query = f"SELECT {_POST} WHERE p.id > ? ORDER BY p.id LIMIT ?"
        page.posts = list(_posts(connection, query, before.posts, limit))
        page.post_moments = [None] * len(page.posts)
        if len(page.posts) == limit:
            after = msgspec.structs.replace(after, posts=page.posts[-1].id)
    if after.rooms != before.rooms:
        query = f"SELECT {_CHANGE} WHERE c.number > ? AND c.after <= ? ORDER BY c.number"
        found = connection.execute(query, (before.rooms, after.posts))
        page.room_changes = [RoomChange(*row) for row in found]
        last = page.room_changes[-1].number if page.room_changes else before.rooms
        after = msgspec.structs.replace(after, rooms=last)
    page.after = after
    return page


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

    async def rooms(self) -> LoadedRooms:
        """A consistent snapshot of all rooms with their members."""

        def read(connection: sqlite3.Connection) -> LoadedRooms:
            newest = "coalesce((SELECT max(id) FROM posts AS p WHERE p.room = r.row), 0)"
            with snapshot(connection):
                members: defaultdict[int, list[str]] = defaultdict(list)
                for row, user in connection.execute("SELECT room, user FROM members"):
                    members[row].append(user)
                found = connection.execute(f"SELECT r.row, r.name, {newest} FROM rooms AS r")  # noqa: S608
                rooms = [StoredRoom(row, name, last, frozenset(members[row])) for row, name, last in found]
                return LoadedRooms(head(connection), rooms)

        return await self._read(read)

    async def posts_for(self, row: int, user: str, after: int, limit: int) -> list[Post] | None:
        """A room's posts after an id, in order, at most `limit`; None if the user is no member when they are read."""

        def read(connection: sqlite3.Connection) -> list[Post] | None:
            with snapshot(connection):
                member = "SELECT 1 FROM members WHERE room = ? AND user = ?"
                if connection.execute(member, (row, user)).fetchone() is None:
                    return None
                query = f"SELECT {_POST} WHERE p.room = ? AND p.id > ? ORDER BY p.id LIMIT ?"
                return list(_posts(connection, query, row, after, limit))

        return await self._read(read)

    async def count_posts(self, row: int, after: int, upto: int, most: int) -> int:
        """How many posts a room has with `after` < id ≤ `upto`; counts up to `most`."""
        query = "SELECT count(*) FROM (SELECT 1 FROM posts WHERE room = ? AND id > ? AND id <= ? LIMIT ?)"
        return await self._read(lambda c: int(c.execute(query, (row, after, upto, most)).fetchone()[0]))

    async def posts_page(self, row: int, after: int, upto: int, limit: int) -> list[Post]:
        """A room's posts with `after` < id ≤ `upto`, in order, at most `limit`."""
        query = f"SELECT {_POST} WHERE p.room = ? AND p.id > ? AND p.id <= ? ORDER BY p.id LIMIT ?"
        return await self._read(lambda c: list(_posts(c, query, row, after, upto, limit)))

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


def _posts(connection: sqlite3.Connection, query: str, *values: int) -> Iterator[Post]:
    return (Post(*row) for row in connection.execute(query, values))
