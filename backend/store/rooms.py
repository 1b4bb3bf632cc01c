"""The writes of the push chat: rooms, their members, and posts. Each runs within a batch of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

import msgspec

from .records import Committed, Post, RoomChange


class Posted(msgspec.Struct, frozen=True, gc=False):
    """The result of a post. `fresh` is false if its idempotency key was known and nothing was stored."""

    id: int
    fresh: bool


def put_room(name: str, members: Iterable[str]) -> Callable[[sqlite3.Connection, str, Committed], None]:
    """The write that creates a room, or replaces its members."""
    wanted = frozenset(members)

    def run(connection: sqlite3.Connection, now: str, committed: Committed) -> None:
        row = _find(connection, name)
        if row is None:
            insert = "INSERT INTO rooms (name, created_at) VALUES (?, ?)"
            row = connection.execute(insert, (name, now)).lastrowid
            assert row is not None
            _log_changes(connection, committed, row, name, [None], member=True)
        found = connection.execute("SELECT user FROM members WHERE room = ?", (row,))
        present = frozenset(user for (user,) in found)
        _add(connection, committed, row, name, sorted(wanted - present))
        _remove(connection, committed, row, name, sorted(present - wanted))

    return run


def set_member(name: str, user: str, *, member: bool) -> Callable[[sqlite3.Connection, str, Committed], bool]:
    """The write that adds a member to a room, or removes one. Its result is false if there is no such room."""

    def run(connection: sqlite3.Connection, _now: str, committed: Committed) -> bool:
        row = _find(connection, name)
        if row is None:
            return False
        present = connection.execute("SELECT 1 FROM members WHERE room = ? AND user = ?", (row, user)).fetchone()
        if member and not present:
            _add(connection, committed, row, name, [user])
        elif present and not member:
            _remove(connection, committed, row, name, [user])
        return True

    return run


def post(
    row: int, room: str, user: str, text: str, key: str | None
) -> Callable[[sqlite3.Connection, str, Committed], Posted | None]:
    """The write for a post to the room with that row and name. Its result is None if the user is no member.

    A known key gets the first result, even if the user has left since: the post is stored.
    """

    def run(connection: sqlite3.Connection, now: str, committed: Committed) -> Posted | None:
        number = committed.before.posts + len(committed.posts) + 1
        # One statement, because sqlite3 releases the GIL in each and has to wait for it while the loop is busy.
        stored = connection.execute(
            "INSERT INTO posts SELECT ?1, ?2, ?3, ?4, ?5, ?6 "
            "WHERE EXISTS (SELECT 1 FROM members WHERE room = ?2 AND user = ?3) "
            "AND NOT EXISTS (SELECT 1 FROM posts WHERE room = ?2 AND user = ?3 AND key = ?6)",
            (number, row, user, text, now, key),
        ).rowcount
        if stored:
            committed.posts.append(Post(number, room, user, text, now))
            return Posted(number, fresh=True)
        query = "SELECT id FROM posts WHERE room = ? AND user = ? AND key = ?"
        first = connection.execute(query, (row, user, key)).fetchone()
        return Posted(first[0], fresh=False) if first else None

    return run


def _find(connection: sqlite3.Connection, name: str) -> int | None:
    found = connection.execute("SELECT row FROM rooms WHERE name = ?", (name,)).fetchone()
    return found[0] if found else None


def _add(connection: sqlite3.Connection, committed: Committed, row: int, name: str, users: list[str]) -> None:
    connection.executemany("INSERT INTO members VALUES (?, ?)", [(row, user) for user in users])
    _log_changes(connection, committed, row, name, users, member=True)


def _remove(connection: sqlite3.Connection, committed: Committed, row: int, name: str, users: list[str]) -> None:
    connection.executemany("DELETE FROM members WHERE room = ? AND user = ?", [(row, user) for user in users])
    _log_changes(connection, committed, row, name, users, member=False)


def _log_changes(
    connection: sqlite3.Connection,
    committed: Committed,
    row: int,
    name: str,
    users: Iterable[str | None],
    *,
    member: bool,
) -> None:
    number = committed.before.rooms + len(committed.room_changes)
    after = committed.before.posts + len(committed.posts)
    changes = [RoomChange(number + place, after, row, name, user, member) for place, user in enumerate(users, 1)]
    rows = [(each.number, each.after, each.row, each.user, each.member) for each in changes]
    connection.executemany("INSERT INTO room_changes VALUES (?, ?, ?, ?, ?)", rows)
    committed.room_changes += changes
