"""Faults of the store, on the reference backend's: 503 while they last, and back by itself."""

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
from chatswarm.loadtests.protocols import PROTOCOLS
from chatswarm.loadtests.protocols.protocol import Customer, Request
from chatswarm.loadtests.run.reference_chat import ReferenceBackend
from chatswarm.loadtests.system.children import free_port

from .acts import fault, plan, proven
from .victims import given_victim, until


class Sender:
    """A customer with a chat at the reference backend."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx.Client(base_url=base_url, timeout=30, trust_env=False)
        self.target = PROTOCOLS["reference"](None)
        customer = Customer("Ada", "ada@example.com")
        self.ask(self.target.submit_contact(customer)).raise_for_status()
        self.chat = self.target.read_created(self.ask(self.target.create_chat(customer)).raise_for_status().content)
        self.sent = 0

    def ask(self, request: Request) -> httpx.Response:
        return self.http.request(request.method, request.path, content=request.body, headers=dict(request.headers))

    def send(self) -> httpx.Response:
        answer = self.ask(self.target.send(self.chat, f"message {self.sent} {'x' * 900}"))
        self.sent += answer.is_success
        return answer

    def stored(self) -> int:
        """How many of its messages there are."""
        return self.target.read_whole_chat(self.ask(self.target.whole_chat(self.chat)).content).total


@pytest.fixture
def sender(world: FaultContext, tmp_path: Path) -> Iterator[Sender]:
    """At a backend that is all that faults may act on."""
    world.database = tmp_path / "chat.db"
    backend = ReferenceBackend(tmp_path / "backend.log", world.database, free_port())
    try:
        backend.wait()
        world.processes = {"target": backend}
        made = Sender(backend.base_url)
        yield made
        made.http.close()
    finally:
        backend.stop()


def is_unavailable(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0


def test_a_locked_store_refuses_and_comes_back(world: FaultContext, sender: Sender) -> None:
    assert sender.send().is_success
    lock = fault(world, "lock_store")
    lock.begin()
    assert is_unavailable(sender.send())
    assert sender.stored() == 1, "reading goes on"
    evidence = lock.heal()
    assert float(evidence["locked_seconds"]) > 0
    assert sender.send().is_success
    assert sender.stored() == sender.sent == 2


def test_a_full_store_refuses_and_comes_back(world: FaultContext, sender: Sender) -> None:
    managed = world.processes["target"]
    unlimited = resource.prlimit(managed.pid, resource.RLIMIT_FSIZE)
    assert KINDS["fill_store"].unfit(plan("fill_store"), world) is None
    full = fault(world, "fill_store")
    full.begin()
    assert list(world.pledges._pledged.values()) == [["file_limit", managed.pid, *unlimited]]
    answers = [sender.send() for _ in range(60)]
    assert is_unavailable(answers[-1]), "64 KB more than there was, and no further"
    assert sender.stored() == sender.sent < 60
    evidence = full.heal()
    assert evidence["full"] == "chat.db-wal"
    assert resource.prlimit(managed.pid, resource.RLIMIT_FSIZE) == unlimited
    assert world.pledges._pledged == {}
    assert sender.send().is_success
    assert sender.stored() == sender.sent


def test_a_store_that_had_room_enough_proves_nothing(world: FaultContext, sender: Sender) -> None:
    full = fault(world, "fill_store")
    full.begin()
    assert sender.send().is_success
    assert not proven(full.heal())


def test_a_log_that_starts_over_was_not_full(world: FaultContext, sender: Sender) -> None:
    """Where the log has been moved into the database, what is written next takes the place of what was there."""
    for _ in range(40):
        sender.send()
    assert world.database is not None
    with sqlite3.connect(world.database) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    connection.close()
    full = fault(world, "fill_store")
    full.begin()
    assert all(sender.send().is_success for _ in range(20))
    assert not proven(full.heal())


def test_one_of_several_processes_is_gone_when_it_is_healed(world: FaultContext, sender: Sender) -> None:
    full = fault(world, "fill_store")
    full.begin()
    managed = world.processes["target"]
    managed.start()
    assert not proven(full.heal())
    assert sender.send().is_success


def test_a_lock_that_is_not_to_be_had(
    world: FaultContext, sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_faults, "_LOCKING", 0.2)
    first, second = fault(world, "lock_store"), fault(world, "lock_store", number=1)
    first.begin()
    with pytest.raises(FaultError, match=r"chat\.db: expected its lock within 0\.2 s, got: database is locked"):
        second.begin()
    assert second.heal() == {}
    assert proven(first.heal())
    assert sender.send().is_success


def test_a_store_that_is_gone_by_then(world: FaultContext, tmp_path: Path) -> None:
    world.database = tmp_path / "gone.db"
    lock = fault(world, "lock_store")
    with pytest.raises(FaultError, match=r"gone\.db: expected its lock within 10 s, got: unable to open database file"):
        lock.begin()
    assert lock.heal() == {}
    assert not world.database.exists()


def test_a_path_with_signs_of_a_url(world: FaultContext, tmp_path: Path) -> None:
    folder = tmp_path / "50% ?mode=ro#"
    folder.mkdir()
    world.database = folder / "chat.db"
    connection = sqlite3.connect(world.database)
    connection.execute("CREATE TABLE t (x)")
    lock = fault(world, "lock_store")
    lock.begin()
    connection.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.execute("INSERT INTO t VALUES (1)")
    time.sleep(0.01)
    assert proven(lock.heal())
    connection.execute("INSERT INTO t VALUES (1)")
    connection.close()


def test_what_they_need_is_said_before_any_load(world: FaultContext, tmp_path: Path) -> None:
    unknown = "expected database, the path of the target's SQLite file, because chatswarm did not start it"
    assert KINDS["lock_store"].unfit(plan("lock_store"), world) == unknown
    for content in (None, b"no database"):
        path = tmp_path / "some.db"
        if content is not None:
            path.write_bytes(content)
        problem = KINDS["lock_store"].unfit(plan("lock_store", f'database = "{path}"'), world)
        assert problem == f"database: expected an SQLite file, got {path}"
    path.write_bytes(b"")
    assert KINDS["lock_store"].unfit(plan("lock_store", f'database = "{path}"'), world) is None


def test_a_target_that_would_die_of_a_full_file_is_not_given_one(world: FaultContext, tmp_path: Path) -> None:
    with given_victim(tmp_path, "children") as victim:  # a shell and its `sleep`
        world.processes = {"target": victim.given()}
        (tmp_path / "some.db").write_bytes(b"")
        text = f'database = "{tmp_path / "some.db"}"'
        problem = KINDS["fill_store"].unfit(plan("fill_store", text), world)
        assert problem == f"expected a target that ignores SIGXFSZ: pid {victim.pid} would die of it"
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as asleep:
        until(lambda: store_faults._ignores(asleep.pid, signal.SIGXFSZ))
        asleep.kill()
    assert not target_processes.alive(asleep.pid)
