"""Promises 3 and 4: two workers' stores and followers on one real SQLite file, in one process, in any order."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.store import schema
from chatswarm.backend.store.customers import open_chat, save_form
from chatswarm.backend.store.records import Committed, StoredChat, StoreUnavailableError
from chatswarm.backend.store.store import Store, Stored
from chatswarm.backend.workers import follower as module
from chatswarm.backend.workers.follower import Follower


class Worker:
    """A store and its follower, and everything that the follower published."""

    def __init__(self, path: Path, *, shared: bool = True) -> None:
        self.metrics = BackendMetrics()
        self.published: list[Committed] = []
        self.deaf = False
        self.follower = Follower(path, self.published.append, self.metrics, shared=shared)
        self.store = Store(path, self._committed, self.metrics, busy=1.0, shared=shared)

    def _committed(self, committed: Committed) -> None:
        if not self.deaf:
            self.follower.committed(committed)

    async def send(self, chat: StoredChat, text: str = "x", key: str | None = None) -> Stored:
        return await self.store.send(chat, "user", text, key)

    @property
    def ids(self) -> list[int]:
        return [message.id for each in self.published for message in each.messages]

    @property
    def names(self) -> list[str]:
        return [customer.name for each in self.published for customer in each.customers]

    def reads(self) -> float:
        names = ("bell", "clock", "request", "commit")
        values = [self.metrics.registry.get_sample_value("chat_log_reads_total", {"cause": each}) for each in names]
        return sum(value or 0 for value in values)


@asynccontextmanager
async def two(path: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    await asyncio.to_thread(schema.prepare, path)
    workers = Worker(path), Worker(path)
    for each in workers:
        each.store.start()
    try:
        yield workers
    finally:
        for each in workers:
            each.follower.close()
            assert await each.store.close(10)


def test_own_commits_are_published_without_reading_while_no_other_worker_writes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, other):
            chat = await one.store.write(open_chat(None, "a@x", "Ann"))
            for number in range(1, 6):
                assert (await one.send(chat)).id == number
            assert one.ids == [1, 2, 3, 4, 5]
            assert one.reads() == 0
            assert all(moment is not None for each in one.published for moment in each.moments)
            assert other.published == []

    asyncio.run(scenario())


def test_commits_of_others_before_an_own_commit_are_published_before_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, other):
            chat = await one.store.write(open_chat(None, "a@x", "Ann"))
            assert [(await one.send(chat)).id, (await other.send(chat)).id] == [1, 2]
            # No wake-up and no poll: `one` learns of 2 through its own 3.
            stored = await one.send(chat)
            assert (stored.id, stored.seq) == (3, 3)
            assert (one.ids, other.ids) == ([1, 2, 3], [1, 2])
            last = one.published[-1]
            assert [moment is None for moment in last.moments] == [True, False]

    asyncio.run(scenario())


def test_a_poll_publishes_new_commits_once_and_then_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, other):
            chat = await one.store.write(open_chat(None, "a@x", "Ann"))
            await asyncio.gather(*[one.send(chat, f"m{number}") for number in range(10)])
            assert other.follower.poll("bell")
            assert not other.follower.poll("clock")
            assert other.ids == list(range(1, 11))
            assert [each.id for committed in other.published for each in committed.chats] == [chat.id]
            assert other.names == ["Ann"]
            await one.store.write(save_form("a@x", "Bea", None, "{}"))
            await one.store.probe()
            assert other.follower.poll("clock")
            assert not other.follower.poll("clock")
            assert other.names == ["Ann", "Bea"]
            assert other.ids == one.ids

    asyncio.run(scenario())


def test_own_commits_that_were_read_before_they_were_reported_are_published_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, _):
            chat = await one.store.write(open_chat(None, "a@x", "Ann"))
            one.deaf = True
            await one.send(chat)
            one.deaf = False
            assert one.follower.poll("request")
            one.follower.committed(one.published[-1])
            await one.send(chat)
            assert one.ids == [1, 2]

    asyncio.run(scenario())


def test_a_long_backlog_is_read_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 4)

    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, other):
            chat = await one.store.write(open_chat(None, "a@x", "Ann"))
            for count in (3, 4, 5, 8, 11):
                await asyncio.gather(*[one.send(chat) for _ in range(count)])
                assert other.follower.poll("clock")
                assert other.ids == one.ids
            assert max(len(each.messages) for each in other.published) == 4

    asyncio.run(scenario())


def test_two_concurrent_writers_agree_on_everything(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, other):
            chats = [await one.store.write(open_chat(None, f"{n}@x", "Ann")) for n in range(3)]

            async def send(worker: Worker, name: str) -> None:
                for number in range(150):
                    await worker.send(chats[number % 3], f"{name} {number}", f"key {number}" if number % 3 else None)

            await asyncio.gather(
                *[send(one, f"one {n}") for n in range(2)], *[send(other, f"other {n}") for n in range(2)]
            )
            for worker in (one, other):
                worker.follower.poll("clock")
                # Each of four senders sent 50 messages without a key, and all four sent the same 100 keys.
                assert worker.ids == list(range(1, 301))
                seqs: dict[str, list[int]] = {}
                for each in worker.published:
                    for message in each.messages:
                        seqs.setdefault(message.chat_id, []).append(message.seq)
                assert sorted(map(len, seqs.values())) == [50, 50, 200]
                assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seqs.values())

    asyncio.run(scenario())


def test_an_unreadable_log_is_reported_and_read_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, other):
            chat = await one.store.write(open_chat(None, "a@x", "Ann"))
            await one.send(chat)
            away = (tmp_path / "a.db").rename(tmp_path / "away.db")
            with pytest.raises(StoreUnavailableError):
                other.follower.poll("request")
            away.rename(tmp_path / "a.db")
            assert other.follower.poll("request")
            assert other.ids == [1]

    asyncio.run(scenario())


def test_a_lone_worker_never_polls_but_finds_a_commit_of_unknown_outcome(tmp_path: Path) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(schema.prepare, tmp_path / "a.db")
        it = Worker(tmp_path / "a.db", shared=False)
        it.store.start()
        try:
            chat = await it.store.write(open_chat(None, "a@x", "Ann"))
            it.deaf = True
            await it.send(chat)
            it.deaf = False
            assert not it.follower.poll("request")
            assert it.ids == []
            # As after a commit whose sync failed: on disk, but not published.
            await it.send(chat)
            assert it.ids == [1, 2]
        finally:
            it.follower.close()
            assert await it.store.close(10)

    asyncio.run(scenario())


def test_a_writer_that_never_pauses_does_not_starve_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with two(tmp_path / "a.db") as (one, other):
            chat = await one.store.write(open_chat(None, "a@x", "Ann"))
            with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)) as greedy:
                end = threading.Event()

                def hog() -> None:
                    # Holds the lock 90 % of the time, like a worker under load that syncs.
                    while not end.is_set():
                        greedy.execute("BEGIN IMMEDIATE")
                        time.sleep(0.004)
                        greedy.execute("ROLLBACK")
                        time.sleep(0.0003)

                held = asyncio.get_running_loop().run_in_executor(None, hog)
                try:
                    for number in range(100):
                        assert (await other.send(chat)).id == number + 1
                finally:
                    end.set()
                    await held

    asyncio.run(scenario())
