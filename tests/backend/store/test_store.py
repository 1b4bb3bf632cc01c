"""The store on real SQLite files: commits, order, retries and failures."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.store import schema
from chatswarm.backend.store.checkpoints import Checkpointer
from chatswarm.backend.store.customers import open_chat, save_form
from chatswarm.backend.store.log import Log
from chatswarm.backend.store.records import Committed, OutcomeUnknownError, Position, StoredChat, StoreUnavailableError
from chatswarm.backend.store.store import Store, Stored
from tests.backend.servers import PATIENCE


class Opened:
    """A store on a file, with everything that it published."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = BackendMetrics()
        self.published: list[Committed] = []
        self.store = Store(path, self.published.append, self.metrics, busy=0.1)

    async def chat(self, email: str = "a@x") -> StoredChat:
        return await self.store.write(open_chat(None, email, "Ann"))

    async def send(self, chat: StoredChat, text: str = "x", key: str | None = None) -> Stored:
        return await self.store.send(chat, "user", text, key)

    def batches(self) -> float:
        value = self.metrics.registry.get_sample_value("chat_commit_seconds_count")
        assert value is not None
        return value

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Opened]:
    await asyncio.to_thread(schema.prepare, path)
    it = Opened(path)
    it.store.start()
    try:
        yield it
    finally:
        assert await it.store.close(10)


def test_many_sends_share_one_commit_and_are_numbered_in_order(tmp_path: Path) -> None:
    """Promise 1: group commit. Promise 3: ids in commit order."""

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            chats = [await it.chat(f"{number}@x") for number in range(3)]
            before = it.batches()
            answers = await asyncio.gather(*[it.send(chats[number % 3], f"m{number}") for number in range(600)])
            assert it.batches() - before <= 10
            assert [answer.id for answer in answers] == list(range(1, 601))
            assert [answer.seq for answer in answers] == [number // 3 + 1 for number in range(600)]
            published = [message for each in it.published for message in each.messages]
            assert [(message.id, message.text) for message in published] == [(n + 1, f"m{n}") for n in range(600)]
        assert it.rows("SELECT id, text FROM messages ORDER BY id") == [(n + 1, f"m{n}") for n in range(600)]

    asyncio.run(scenario())


def test_an_acknowledged_message_is_visible_to_other_connections(tmp_path: Path) -> None:
    """Promise 1: nothing is acknowledged before it is committed."""

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            chat = await it.chat()
            for number in range(1, 20):
                await it.send(chat)
                assert it.rows("SELECT max(id) FROM messages") == [(number,)]

    asyncio.run(scenario())


def test_numbering_goes_on_after_reopening(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            chat = await it.chat()
            await asyncio.gather(*[it.send(chat) for _ in range(3)])
        async with opened(tmp_path / "a.db") as it:
            answer = await it.send(chat)
            assert (answer.id, answer.seq) == (4, 4)

    asyncio.run(scenario())


def test_every_commit_is_synced_and_none_runs_a_checkpoint(tmp_path: Path) -> None:
    """Promise 1: a 2xx means on disk, so FULL (2); and no checkpoint is on the commit's path."""

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            await it.chat()
            connection = it.store._connection
            assert connection is not None
            pragmas = ("synchronous", "wal_autocheckpoint", "journal_mode")
            found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
            assert found == [2, 0, "wal"]

    asyncio.run(scenario())


def test_a_batch_wakes_the_loop_once(tmp_path: Path) -> None:
    """Promise 1: group commit, with one wake-up of the loop for all its writes."""

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            chat = await it.chat()
            wake_ups = 0
            loop = it.store._loop

            class Counting:
                def call_soon_threadsafe(self, *arguments: Any) -> asyncio.Handle:
                    nonlocal wake_ups
                    wake_ups += 1
                    return loop.call_soon_threadsafe(*arguments)

                def __getattr__(self, name: str) -> Any:
                    return getattr(loop, name)

            it.store._loop = cast("asyncio.AbstractEventLoop", Counting())
            before = it.batches()
            await asyncio.gather(*[it.send(chat) for _ in range(500)])
            # Once one more batch is done, the writer is done with everything before it.
            await it.store.probe()
            assert wake_ups == it.batches() - before <= 10

    asyncio.run(scenario())


def test_a_hanging_checkpoint_delays_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 1: checkpoints stay off the commit's path."""
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_it: Checkpointer, _connection: sqlite3.Connection, _mode: str) -> None:
        hanging.set()
        go_on.wait(PATIENCE)

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            chat = await it.chat()
            it.store._checkpointer._every = 10
            try:
                for number in range(1, 50):
                    assert (await asyncio.wait_for(it.send(chat), PATIENCE / 2)).seq == number
                assert hanging.is_set()
            finally:
                go_on.set()

    monkeypatch.setattr(Checkpointer, "_checkpoint", hang)
    asyncio.run(scenario())


def test_reading_after_an_id_never_skips_a_message(tmp_path: Path) -> None:
    """Promise 3: ids grow in commit order, even if a batch fails, so nothing appears below an id that was seen."""

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            chats = [await it.chat(f"{number}@x") for number in range(4)]
            log = Log(it.path)
            seen: list[int] = []

            async def read() -> None:
                while len(seen) < 800:
                    page = await log.page(seen[-1] if seen else 0, 1 << 60, 100)
                    seen.extend(message.id for message in page)

            def fail(_connection: sqlite3.Connection, _now: str, _committed: Committed) -> None:
                raise ZeroDivisionError

            async def send(chat: StoredChat) -> None:
                stored = 0
                while stored < 200:
                    if stored % 20 == 0:
                        with suppress(StoreUnavailableError):
                            await it.store.write(fail)
                    with suppress(StoreUnavailableError):
                        await it.send(chat)
                        stored += 1

            try:
                await asyncio.wait_for(asyncio.gather(read(), *[send(chat) for chat in chats]), PATIENCE)
            finally:
                log.close()
            assert seen == list(range(1, 801))

    asyncio.run(scenario())


class TestIdempotency:
    """Promise 2."""

    def test_a_retry_gets_the_original_result_and_stores_nothing(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with opened(tmp_path / "a.db") as it:
                chat, other = await it.chat("a@x"), await it.chat("b@x")
                first = await it.send(chat, "once", "key")
                again = await it.send(chat, "other text", "key")
                assert (again.id, again.seq, again.at, again.fresh) == (first.id, first.seq, first.at, False)
                assert (await it.send(other, "x", "key")).fresh, "keys belong to their chat"
                assert (await it.send(chat, "x", "key2")).seq == 2
            assert it.rows("SELECT text FROM messages ORDER BY id") == [("once",), ("x",), ("x",)]
            assert len([message for each in it.published for message in each.messages]) == 3
            async with opened(tmp_path / "a.db") as it:
                assert (await it.send(chat, "x", "key")).id == first.id, "also after a restart"

        asyncio.run(scenario())

    def test_within_one_batch(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with opened(tmp_path / "a.db") as it:
                chat = await it.chat()
                # A lock delays the first batch while all other writes gather in the second.
                with closing(sqlite3.connect(it.path, isolation_level=None)) as lock:
                    lock.execute("BEGIN IMMEDIATE")
                    first = asyncio.create_task(it.send(chat, "first"))
                    await asyncio.sleep(0.02)
                    tasks = [asyncio.create_task(it.send(chat, f"m{n}", f"key{n % 7}")) for n in range(70)]
                    await asyncio.sleep(0.02)
                    lock.execute("ROLLBACK")
                answers = await asyncio.gather(first, *tasks)
                assert it.metrics.registry.get_sample_value("chat_commit_writes_bucket", {"le": "64.0"}) == 2
                assert [answer.fresh for answer in answers[1:]] == [True] * 7 + [False] * 63
                assert [answer.id for answer in answers[1:]] == [n % 7 + 2 for n in range(70)]
            assert it.rows("SELECT text FROM messages ORDER BY id") == [("first",), *[(f"m{n}",) for n in range(7)]]

        asyncio.run(scenario())


class TestFailures:
    def test_a_locked_database_is_refused_and_recovers(self, tmp_path: Path) -> None:
        """Promise 1: certainly not stored, and reported as such. Promise 3: a refused send takes no id."""

        async def scenario() -> None:
            async with opened(tmp_path / "a.db") as it:
                chat = await it.chat()
                await it.send(chat, "before")
                with closing(sqlite3.connect(it.path, isolation_level=None)) as lock:
                    lock.execute("BEGIN IMMEDIATE")
                    results = await asyncio.gather(*[it.send(chat, "during") for _ in range(5)], return_exceptions=True)
                    assert {type(result) for result in results} == {StoreUnavailableError}
                    with pytest.raises(StoreUnavailableError):
                        await it.store.probe()
                    lock.execute("ROLLBACK")
                await it.store.probe()
                answer = await it.send(chat, "after")
                assert (answer.id, answer.seq) == (2, 2)
            assert it.rows("SELECT text FROM messages ORDER BY id") == [("before",), ("after",)]
            assert [message.text for each in it.published for message in each.messages] == ["before", "after"]

        asyncio.run(scenario())

    def test_a_full_database_is_refused_whole_and_recovers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.db"
        pages = 40

        def connect_limited(path: Path, *, busy: float) -> sqlite3.Connection:
            connection = schema.connect(path, busy=busy)
            connection.execute(f"PRAGMA max_page_count = {pages}")
            return connection

        async def scenario() -> None:
            nonlocal pages
            async with opened(path) as it:
                chat = await it.chat()
                stored = 0
                while True:
                    results = await asyncio.gather(
                        *[it.send(chat, f"m{stored + n} {'x' * 3000}") for n in range(8)], return_exceptions=True
                    )
                    failed = {type(result) for result in results if isinstance(result, BaseException)}
                    if failed:
                        assert failed == {StoreUnavailableError}
                    stored += sum(isinstance(result, Stored) for result in results)
                    if failed:
                        break
                assert it.rows("SELECT count(*) FROM messages") == [(stored,)]
                pages = 4000
                assert (await it.send(chat, "after")).seq == stored + 1

        monkeypatch.setattr("chatswarm.backend.store.store.connect", connect_limited)
        asyncio.run(scenario())

    def test_a_read_only_database_is_refused_and_recovers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read_only = True

        def connect_as_told(path: Path, *, busy: float) -> sqlite3.Connection:
            return schema.connect(path, busy=busy, read_only=read_only)

        async def scenario() -> None:
            nonlocal read_only
            async with opened(tmp_path / "a.db") as it:
                with pytest.raises(StoreUnavailableError, match="readonly"):
                    await it.chat()
                read_only = False
                assert (await it.send(await it.chat())).seq == 1

        monkeypatch.setattr("chatswarm.backend.store.store.connect", connect_as_told)
        asyncio.run(scenario())

    def test_a_missing_file_is_not_replaced_by_an_empty_one(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with opened(tmp_path / "a.db") as it:
                chat = await it.chat()
                await it.send(chat)
                hidden = [path.rename(path.with_name("hidden-" + path.name)) for path in sorted(tmp_path.iterdir())]  # noqa: ASYNC240

                # After the next failure the store reopens its file, which is missing.
                def fail(_connection: sqlite3.Connection, _now: str, _committed: Committed) -> None:
                    raise sqlite3.OperationalError("made up")

                for _ in range(2):
                    with pytest.raises(StoreUnavailableError):
                        await it.store.write(fail)
                with pytest.raises(StoreUnavailableError):
                    await it.send(chat)
                assert not (tmp_path / "a.db").exists()
                for path in hidden:
                    path.rename(path.with_name(path.name.removeprefix("hidden-")))
                assert (await it.send(chat)).seq == 2

        asyncio.run(scenario())

    def check_unknown(self, folder: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[str], None]) -> None:
        """A send is unknown while `fail` raises for its statements, and the next one is stored as the first."""

        class Failing(sqlite3.Connection):
            def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
                if failing:
                    fail(sql)
                return super().execute(sql, *values)  # type: ignore[arg-type]

        failing = False

        def connect_failing(path: Path, *, busy: float) -> sqlite3.Connection:
            return sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False, factory=Failing)

        async def scenario() -> None:
            nonlocal failing
            async with opened(folder / "a.db") as it:
                chat = await it.chat()
                failing = True
                with pytest.raises(OutcomeUnknownError):
                    await it.send(chat)
                failing = False
                assert (await it.send(chat)).seq == 1

        monkeypatch.setattr("chatswarm.backend.store.store.connect", connect_failing)
        asyncio.run(scenario())

    def test_a_commit_that_fails_to_sync_is_unknown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Promise 1: what may be on disk is not reported as refused."""

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error

        self.check_unknown(tmp_path, monkeypatch, fail)

    def test_a_batch_that_cannot_be_rolled_back_is_unknown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Promise 1: unavailable only if the ROLLBACK succeeded."""

        def fail(sql: str) -> None:
            if sql.startswith(("INSERT", "ROLLBACK")):
                raise sqlite3.OperationalError("made up")

        self.check_unknown(tmp_path, monkeypatch, fail)

    def test_one_failing_write_fails_its_whole_batch(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with opened(tmp_path / "a.db") as it:
                chat = await it.chat()

                def fail(_connection: sqlite3.Connection, _now: str, _committed: Committed) -> None:
                    raise ZeroDivisionError

                with closing(sqlite3.connect(it.path, isolation_level=None)) as lock:
                    lock.execute("BEGIN IMMEDIATE")
                    first = asyncio.create_task(it.send(chat))
                    await asyncio.sleep(0.02)
                    writes = (it.send(chat), it.chat("new@x"), it.store.write(fail), it.send(chat))
                    tasks: list[asyncio.Future[object]] = [asyncio.ensure_future(each) for each in writes]
                    await asyncio.sleep(0.02)
                    lock.execute("ROLLBACK")
                await first
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(result) for result in results} == {StoreUnavailableError}
                assert (await it.send(chat)).seq == 2
            assert it.rows("SELECT email FROM customers") == [("a@x",)]
            assert it.rows("SELECT count(*) FROM chats") == [(1,)]

        asyncio.run(scenario())

    def test_after_closing_writes_are_refused(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with opened(tmp_path / "a.db") as it:
                chat = await it.chat()
                sends = [asyncio.create_task(it.send(chat)) for _ in range(10)]
                await asyncio.sleep(0)
                assert await it.store.close(10)
                assert [answer.seq for answer in await asyncio.gather(*sends)] == list(range(1, 11))
                with pytest.raises(StoreUnavailableError):
                    await it.send(chat)

        asyncio.run(scenario())


def test_the_write_ahead_log_stays_bounded(tmp_path: Path) -> None:

    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            it.store._checkpointer._too_long = 1 << 20
            it.store._checkpointer._every = 100
            chat = await it.chat()
            largest = 0
            for _ in range(40):
                await asyncio.gather(*[it.send(chat, "x" * 2000) for _ in range(100)])
                largest = max(largest, (tmp_path / "a.db-wal").stat().st_size)
            assert largest < 3 << 20
            assert (tmp_path / "a.db").stat().st_size > 4 << 20
        assert it.rows("SELECT count(*) FROM messages") == [(4000,)]

    asyncio.run(scenario())


def test_the_log_is_read_in_pages_while_others_write(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path / "a.db") as it:
            chats = [await it.store.write(open_chat(None, f"{n}@x", None)) for n in range(2)]
            await it.store.write(save_form("0@x", "Ann", "lead", "{}"))
            await asyncio.gather(*[it.send(chats[n % 2], f"m{n}") for n in range(10)])
            log = Log(it.path)
            try:
                assert [message.id for message in await log.page(3, 8, 3)] == [4, 5, 6]
                assert [message.id for message in await log.page(6, 8, 3)] == [7, 8]
                assert [message.text for message in await log.messages(chats[1], 2, 2)] == ["m5", "m7"]
                loaded = await log.everything(3)
                assert sorted(customer.name for customer in loaded.customers) == ["1@x", "Ann"]
                assert (loaded.chats, loaded.after) == (chats, Position(10, 2, 3))
                assert [message.id for message in loaded.messages] == [5, 6, 7, 8, 9, 10]
            finally:
                log.close()

    asyncio.run(scenario())


def test_many_processes_can_prepare_one_new_file_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            together = threading.Barrier(8)

            def prepare(path: Path, together: threading.Barrier = together) -> None:
                together.wait()
                schema.prepare(path)

            list(pool.map(prepare, [tmp_path / f"{number}.db"] * 8))


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    schema.prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(schema.ForeignDatabaseError, match="expected schema version 3, got 99"):
        schema.prepare(path)
