"""The database file: its tables, connections to it, and the check that it belongs to this backend."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

# "cswm": shown by `file`, and distinguishes our databases from others.
APPLICATION_ID = 0x6373776D
VERSION = 3

PREPARE_TIMEOUT: Final = 5.0
"""Seconds to wait for other processes that are preparing the same file."""

# The push chat: rooms, who is in them now, and what was posted there. `room_changes` is the log of what happened to
# rooms, by which every worker follows `rooms` and `members`: `after` is the last post before the change.
_PUSH_TABLES = """
CREATE TABLE rooms (row INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL);
CREATE TABLE members (room INTEGER NOT NULL, user TEXT NOT NULL, PRIMARY KEY (room, user)) WITHOUT ROWID;
CREATE TABLE room_changes (
    number INTEGER PRIMARY KEY, after INTEGER NOT NULL, room INTEGER NOT NULL, user TEXT, member INTEGER NOT NULL
);
CREATE TABLE posts (
    id INTEGER PRIMARY KEY, room INTEGER NOT NULL, user TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL, key TEXT
);
CREATE INDEX posts_by_room ON posts (room);
CREATE UNIQUE INDEX posts_by_key ON posts (room, user, key) WHERE key IS NOT NULL;
"""

# `customers.changed` numbers the changes of all customers: rows above a position have changed since.
_TABLES = f"""
CREATE TABLE customers (
    id TEXT PRIMARY KEY, email TEXT UNIQUE, name TEXT NOT NULL, category TEXT NOT NULL, status TEXT NOT NULL,
    form TEXT NOT NULL, created_at TEXT NOT NULL, changed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX customers_by_change ON customers (changed);
CREATE TABLE chats (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, customer_id TEXT NOT NULL, status TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, chat INTEGER NOT NULL, seq INTEGER NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL,
    at TEXT NOT NULL, key TEXT
);
CREATE UNIQUE INDEX messages_in_order ON messages (chat, seq);
CREATE UNIQUE INDEX messages_by_key ON messages (chat, key) WHERE key IS NOT NULL;
CREATE TABLE probe (id INTEGER PRIMARY KEY, times INTEGER NOT NULL);
INSERT INTO probe VALUES (1, 0);
{_PUSH_TABLES}
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""  # noqa: S608

_WITHOUT_PUSH = 2
"""The version before the push chat. Nothing else was changed, so such a file only gets the new tables."""


class ForeignDatabaseError(Exception):
    """The file is not a database of this backend, or has another schema version."""


def connect(path: Path, *, create: bool = False, read_only: bool = False, busy: float = 1.0) -> sqlite3.Connection:
    """A connection in autocommit mode that waits `busy` seconds for a lock and may be passed to another thread.

    Only `create` may create the file: after a failure, a missing file must not be replaced by an empty one.
    """
    mode = "rwc" if create else "ro" if read_only else "rw"
    uri = f"{path.as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    # Checkpoints run on their own thread: on the commit's path, their sync would block all senders.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
    return connection


def prepare(path: Path) -> None:
    """Create the database if it does not exist, bring it to this version, and check that it is ours and in WAL mode.

    Raises ForeignDatabaseError for any other file, sqlite3.Error if it cannot be opened or written.
    """
    try:
        connection = connect(path, create=True, busy=PREPARE_TIMEOUT)
    except sqlite3.DatabaseError as error:
        raise _foreign(path, error) from error
    try:
        application, version, tables = _identity(connection)
        if (application, tables) == (0, 0) or (application, version) == (APPLICATION_ID, _WITHOUT_PUSH):
            application, version, tables = _create(connection)
        if application != APPLICATION_ID:
            raise ForeignDatabaseError(
                f"{path}: expected a chatswarm database, got one with application id {application}"
            )
        if version != VERSION:
            raise ForeignDatabaseError(f"{path}: expected schema version {VERSION}, got {version}")
        if _journal(connection) != "wal":
            raise ForeignDatabaseError(
                f"{path}: expected a file system that can hold a WAL database, got one that cannot"
            )
    except sqlite3.DatabaseError as error:
        raise _foreign(path, error) from error
    finally:
        connection.close()


def _create(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Create the missing tables, unless another process has just created them."""
    connection.execute("BEGIN IMMEDIATE")
    application, version, tables = _identity(connection)
    statements = ""
    if (application, tables) == (0, 0):
        statements = _TABLES
    elif (application, version) == (APPLICATION_ID, _WITHOUT_PUSH):
        statements = f"{_PUSH_TABLES}; PRAGMA user_version = {VERSION}"
    for statement in statements.split(";"):
        connection.execute(statement)
    connection.execute("COMMIT")
    return _identity(connection)


def _journal(connection: sqlite3.Connection) -> str:
    """Switch to a write-ahead log. Returns the resulting journal mode. SQLite itself does not wait for locks here."""
    end = time.monotonic() + PREPARE_TIMEOUT
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return mode


def _identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """A consistent reading of application id, schema version and number of tables."""
    query = (
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), "
        "(SELECT count(*) FROM sqlite_master)"
    )
    application, version, tables = connection.execute(query).fetchone()
    return application, version, tables


def _foreign(path: Path, error: sqlite3.DatabaseError) -> Exception:
    """Python raises DatabaseError itself for a file that is not a database; locks and the like are subclasses."""
    if type(error) is sqlite3.DatabaseError:
        return ForeignDatabaseError(f"{path}: expected a chatswarm database, got: {error}")
    return error
