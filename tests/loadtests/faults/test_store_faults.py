"""Store faults on the reference backend: it responds with 503 while they last, and recovers by itself."""

from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chatswarm.loadtests.faults import store_faults, target_processes
from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import FaultContext
from chatswarm.loadtests.faults.kinds import KINDS
from chatswarm.loadtests.protocols.protocol import Answer, Request
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend

from .acts import fault, plan, proven
from .victims import given_victim, until


class Sender:
    """A customer with a chat at the reference backend."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx.Client(base_url=base_url, timeout=30, trust_env=False)
        self.protocol = Reference()
        self.customer = self.protocol.user("widget", 0, "run", {})
        self.ask(next(self.protocol.login(self.customer))).raise_for_status()
        creating = self.protocol.create_chat(self.customer)
        created = self.ask(next(creating))
        with pytest.raises(StopIteration) as done:
            creating.send(Answer(created.status_code, {}, created.content))
        self.chat = str(done.value.value)
        self.sent = 0

    def ask(self, request: Request) -> httpx.Response:
        return self.http.request(request.method, request.path, content=request.body, headers=dict(request.headers))

    def send(self) -> httpx.Response:
        response = self.ask(self.protocol.send(self.customer, self.chat, f"message {self.sent} {'x' * 900}", ""))
        self.sent += response.is_success
        return response

    def stored(self) -> int:
        """How many of its messages are stored."""
        reading = self.protocol.whole_chat(self.customer, self.chat)
        return len(self.protocol.read_whole_chat(self.ask(reading).content).texts)


@pytest.fixture
def sender(context: FaultContext, tmp_path: Path) -> Iterator[Sender]:
    """Connected to a backend that is the only target of the faults."""
    context.database = tmp_path / "chat.db"
    backend = ReferenceBackend(tmp_path / "backend.log", context.database, free_port())
    try:
        backend.wait()
        context.processes = {"target": backend}
        made = Sender(backend.base_url)
        yield made
        made.http.close()
    finally:
        backend.stop()


def is_unavailable(response: httpx.Response) -> bool:
    return response.status_code == 503 and int(response.headers["Retry-After"]) > 0


def test_a_locked_store_refuses_and_comes_back(context: FaultContext, sender: Sender) -> None:
    assert sender.send().is_success
    lock = fault(context, "lock_store")
    lock.begin()
    assert is_unavailable(sender.send())
    assert sender.stored() == 1, "reads still work"
    evidence = lock.heal()
    assert float(evidence["locked_seconds"]) > 0
    assert sender.send().is_success
    assert sender.stored() == sender.sent == 2


def test_a_full_store_refuses_and_comes_back(context: FaultContext, sender: Sender) -> None:
    managed = context.processes["target"]
    unlimited = resource.prlimit(managed.pid, resource.RLIMIT_FSIZE)
    assert KINDS["fill_store"].unfit(plan("fill_store"), context) is None
    full = fault(context, "fill_store")
    full.begin()
    assert list(context.undo_log._actions.values()) == [["file_limit", managed.pid, *unlimited]]
    responses = [sender.send() for _ in range(60)]
    assert is_unavailable(responses[-1]), "the store may grow by 64 KB only"
    assert sender.stored() == sender.sent < 60
    evidence = full.heal()
    assert evidence["full"] == "chat.db-wal"
    assert resource.prlimit(managed.pid, resource.RLIMIT_FSIZE) == unlimited
    assert context.undo_log._actions == {}
    assert sender.send().is_success
    assert sender.stored() == sender.sent


def test_a_store_with_enough_space_proves_nothing(context: FaultContext, sender: Sender) -> None:
    full = fault(context, "fill_store")
    full.begin()
    assert sender.send().is_success
    assert not proven(full.heal())


def test_a_log_that_starts_over_is_not_full(context: FaultContext, sender: Sender) -> None:
    """After a checkpoint, new writes overwrite the log instead of growing it."""
    for _ in range(40):
        sender.send()
    assert context.database is not None
    with sqlite3.connect(context.database) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    connection.close()
    full = fault(context, "fill_store")
    full.begin()
    assert all(sender.send().is_success for _ in range(20))
    assert not proven(full.heal())


def test_a_process_that_is_gone_does_not_keep_it_from_healing(context: FaultContext, sender: Sender) -> None:
    full = fault(context, "fill_store")
    full.begin()
    managed = context.processes["target"]
    managed.start()
    assert not proven(full.heal())
    assert sender.send().is_success


def test_a_lock_that_cannot_be_acquired(
    context: FaultContext, sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_faults, "_LOCK_TIMEOUT", 0.2)
    first, second = fault(context, "lock_store"), fault(context, "lock_store", number=1)
    first.begin()
    with pytest.raises(FaultError, match=r"chat\.db: expected its lock within 0\.2 s, got: database is locked"):
        second.begin()
    assert second.heal() == {}
    assert proven(first.heal())
    assert sender.send().is_success


def test_a_store_that_no_longer_exists(context: FaultContext, tmp_path: Path) -> None:
    context.database = tmp_path / "gone.db"
    lock = fault(context, "lock_store")
    with pytest.raises(FaultError, match=r"gone\.db: expected its lock within 10 s, got: unable to open database file"):
        lock.begin()
    assert lock.heal() == {}
    assert not context.database.exists()


def test_a_path_with_special_characters_of_urls(context: FaultContext, tmp_path: Path) -> None:
    folder = tmp_path / "50% ?mode=ro#"
    folder.mkdir()
    context.database = folder / "chat.db"
    connection = sqlite3.connect(context.database)
    connection.execute("CREATE TABLE t (x)")
    lock = fault(context, "lock_store")
    lock.begin()
    connection.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.execute("INSERT INTO t VALUES (1)")
    time.sleep(0.01)
    assert proven(lock.heal())
    connection.execute("INSERT INTO t VALUES (1)")
    connection.close()


def test_missing_requirements_are_reported_before_any_load(context: FaultContext, tmp_path: Path) -> None:
    unknown = "expected database, the path of the target's SQLite file, because chatswarm did not start it"
    assert KINDS["lock_store"].unfit(plan("lock_store"), context) == unknown
    for content in (None, b"no database"):
        path = tmp_path / "some.db"
        if content is not None:
            path.write_bytes(content)
        problem = KINDS["lock_store"].unfit(plan("lock_store", f'database = "{path}"'), context)
        assert problem == f"database: expected an SQLite file, got {path}"
    path.write_bytes(b"")
    assert KINDS["lock_store"].unfit(plan("lock_store", f'database = "{path}"'), context) is None


def test_a_target_that_does_not_ignore_sigxfsz_is_refused(context: FaultContext, tmp_path: Path) -> None:
    with given_victim(tmp_path, "children") as victim:  # a shell and its `sleep`
        context.processes = {"target": victim.given()}
        (tmp_path / "some.db").write_bytes(b"")
        text = f'database = "{tmp_path / "some.db"}"'
        problem = KINDS["fill_store"].unfit(plan("fill_store", text), context)
        assert problem == f"expected a target that ignores SIGXFSZ: pid {victim.pid} would die of it"
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as asleep:
        until(lambda: store_faults._ignores(asleep.pid, signal.SIGXFSZ))
        asleep.kill()
    assert not target_processes.alive(asleep.pid)
