"""The database file: its tables, how it is opened, and the check that it is ours."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

# "cswm": what `file` shows and what tells our database from anybody else's.
APPLICATION_ID = 0x6373776D
VERSION = 2

PATIENCE: Final = 5.0
"""Seconds that preparing waits for others who are preparing the same file."""

# `customers.changed` is the number of a customer's last change among those of all: what is above a number is news.
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
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""  # noqa: S608


class ForeignDatabaseError(Exception):
    """The file is not a database of this backend, or of another version of it."""


def connect(path: Path, *, create: bool = False, read_only: bool = False, busy: float = 1.0) -> sqlite3.Connection:
    """A connection in autocommit mode that waits `busy` seconds for a lock; it may be handed to another thread.

    Only `create` may make a new file: after a failure, a missing file must not be replaced by an empty one.
    """
    mode = "rwc" if create else "ro" if read_only else "rw"
    uri = f"{path.as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    # Checkpoints run on a thread of their own: on the commit's path they would stop all senders while they sync.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
    return connection


def prepare(path: Path) -> None:
    """Make the database if there is none, and see to it that it is ours and in WAL mode.

    Raises ForeignDatabaseError for anybody else's file, sqlite3.Error if it cannot be opened or written.
    """
    try:
        connection = connect(path, create=True, busy=PATIENCE)
    except sqlite3.DatabaseError as error:
        raise _foreign(path, error) from error
    try:
        application, version, tables = _identity(connection)
        if (application, tables) == (0, 0):
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
    """Make the tables, unless another process that was started at the same time has made them meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    if _identity(connection)[0::2] == (0, 0):
        for statement in _TABLES.split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")
    return _identity(connection)


def _journal(connection: sqlite3.Connection) -> str:
    """Switch to a write-ahead log; the journal that there is then. SQLite itself does not wait for others here."""
    end = time.monotonic() + PATIENCE
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
    """Application id, schema version and number of tables, as one moment had them."""
    query = (
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), "
        "(SELECT count(*) FROM sqlite_master)"
    )
    application, version, tables = connection.execute(query).fetchone()
    return application, version, tables


def _foreign(path: Path, error: sqlite3.DatabaseError) -> Exception:
    """Python reports a file that is no database as a DatabaseError proper; locks and the like are subclasses."""
    if type(error) is sqlite3.DatabaseError:
        return ForeignDatabaseError(f"{path}: expected a chatswarm database, got: {error}")
    return error
