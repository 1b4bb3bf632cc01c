"""The push chat's writes on a real SQLite file, and the order of posts and changes of rooms in the log."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.store import schema
from chatswarm.backend.store.log import Log, read_after, snapshot
from chatswarm.backend.store.records import Committed, Position
from chatswarm.backend.store.rooms import Posted, post, put_room, set_member
from chatswarm.backend.store.store import Store


class Opened:
    """A store, what it has committed, and the log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.committed: list[Committed] = []
        self.store = Store(path, self.committed.append, BackendMetrics())
        self.log = Log(path)

    def changes(self) -> list[tuple[str, str | None, int, int]]:
        """Room, user, member and place of all changes so far."""
        return [
            (each.room, each.user, each.member, each.after) for commit in self.committed for each in commit.room_changes
        ]

    async def post(self, user: str, text: str, key: str | None = None) -> Posted | None:
        return await self.store.write(post(1, "a", user, text, key))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Opened]:
    await asyncio.to_thread(schema.prepare, path)
    it = Opened(path)
    it.store.start()
    try:
        yield it
    finally:
        it.log.close()
        assert await it.store.close(10)


def test_a_room_is_created_once_and_its_members_are_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            await it.store.write(put_room("a", ["ann", "bob"]))
            await it.store.write(put_room("a", ["bob", "eve"]))
            await it.store.write(put_room("a", ["bob", "eve"]))
            assert it.changes() == [
                ("a", None, 1, 0),
                ("a", "ann", 1, 0),
                ("a", "bob", 1, 0),
                ("a", "eve", 1, 0),
                ("a", "ann", 0, 0),
            ]
            loaded = await it.log.rooms()
            assert [(each.name, each.members) for each in loaded.rooms] == [("a", frozenset(["bob", "eve"]))]
            assert loaded.position == it.committed[-1].after == Position(rooms=5)

    asyncio.run(scenario())


def test_setting_a_member_twice_changes_nothing_and_an_unknown_room_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            await it.store.write(put_room("a", []))
            assert not await it.store.write(set_member("b", "ann", member=True))
            for member in (True, True, False, False):
                assert await it.store.write(set_member("a", "ann", member=member))
            assert it.changes() == [("a", None, 1, 0), ("a", "ann", 1, 0), ("a", "ann", 0, 0)]

    asyncio.run(scenario())


def test_only_members_post_and_ids_have_no_gaps(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            await it.store.write(put_room("a", ["ann"]))
            assert await it.post("eve", "no") is None
            assert await it.post("ann", "one") == Posted(1, fresh=True)
            assert await it.post("eve", "no", "key") is None
            assert await it.post("ann", "two") == Posted(2, fresh=True)
            assert [each.text for each in await it.log.posts_for(1, "ann", 0, 10) or []] == ["one", "two"]
            assert await it.log.posts_for(1, "eve", 0, 10) is None

    asyncio.run(scenario())


def test_a_known_key_gets_the_first_result_even_in_the_same_commit_and_after_leaving(tmp_path: Path) -> None:
    """Promise 2."""

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            await it.store.write(put_room("a", ["ann", "bob"]))
            found = await asyncio.gather(*[it.post("ann", "once", "key") for _ in range(3)], it.post("bob", "x", "key"))
            assert found == [
                Posted(1, fresh=True),
                Posted(1, fresh=False),
                Posted(1, fresh=False),
                Posted(2, fresh=True),
            ]
            await it.store.write(set_member("a", "ann", member=False))
            assert await it.post("ann", "once", "key") == Posted(1, fresh=False)
            assert await it.post("ann", "again", "other key") is None
            assert await it.log.count_posts(1, 0, 10, 5) == 2

    asyncio.run(scenario())


def test_within_one_commit_a_post_after_the_end_of_a_membership_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            await it.store.write(put_room("a", ["ann", "bob"]))
            found = tuple(
                await asyncio.gather(
                    it.post("ann", "before"),
                    it.store.write(set_member("a", "ann", member=False)),
                    it.post("ann", "after"),
                    it.post("bob", "after"),
                )
            )
            assert found == (Posted(1, fresh=True), True, None, Posted(2, fresh=True))
            assert it.changes()[-1] == ("a", "ann", 0, 1)

    asyncio.run(scenario())


def test_a_page_of_the_log_has_no_change_from_after_its_last_post(tmp_path: Path) -> None:
    """Promise 4: a follower sees posts and changes in the order in which they were committed."""

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            await it.store.write(put_room("a", ["ann"]))
            for number in range(5):
                await it.post("ann", str(number))
                await it.store.write(set_member("a", f"user {number}", member=True))
        with closing(schema.connect(tmp_path / "a.db")) as connection:
            position, seen = Position(), []
            while True:
                with snapshot(connection):
                    page = read_after(connection, position, 2)
                if page.after == position:
                    break
                assert page.before == position
                assert len(page.posts) <= 2
                assert all(change.after <= page.after.posts for change in page.room_changes)
                position = page.after
                ordered = [(each.id, 0, each.text) for each in page.posts]
                ordered += [(each.after, each.number, each.user or "") for each in page.room_changes]
                seen += [name for _, _, name in sorted(ordered)]
            expected = [name for number in range(5) for name in (str(number), f"user {number}")]
            assert seen == ["", "ann", *expected]
            assert position == Position(posts=5, rooms=7)

    asyncio.run(scenario())


def test_a_database_from_before_the_push_chat_gets_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    schema.prepare(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO chats VALUES (1, 'c', 'x', 'active', 't')")
        for table in ("rooms", "members", "room_changes", "posts"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 2")
    schema.prepare(path)
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert connection.execute("SELECT (SELECT count(*) FROM chats), (SELECT count(*) FROM posts)").fetchone() == (
            1,
            0,
        )
