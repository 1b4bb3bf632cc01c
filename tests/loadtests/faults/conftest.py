from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatswarm.loadtests.faults.fault import FaultContext
from chatswarm.loadtests.faults.toxiproxy import Toxiproxy
from chatswarm.loadtests.faults.undo_log import UndoLog

from .harness import PATIENCE, FaultProxy, Proxied, fault_proxy


@pytest.fixture(scope="session", name="fault_proxy")
def started_fault_proxy() -> Iterator[FaultProxy]:
    with fault_proxy("--seed", "1") as started:
        yield started


@pytest.fixture
def proxied(fault_proxy: FaultProxy) -> Iterator[Proxied]:
    with fault_proxy.in_front() as proxied:
        yield proxied


@pytest.fixture
def context(tmp_path: Path) -> Iterator[FaultContext]:
    """A context without anything to act on. At the end, pending undo actions are performed."""
    undo_log = UndoLog(tmp_path / "healer.log")
    yield FaultContext("http://127.0.0.1:9", "reference", tmp_path, undo_log)
    undo_log.close()


@pytest.fixture
def sockets(fault_proxy: FaultProxy, context: FaultContext) -> Iterator[Proxied]:
    """A proxy in front of the dashboards' sockets, created by the same client that the faults use."""
    api = Toxiproxy(f"http://{fault_proxy.api}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        name = f"sockets-{listener.getsockname()[1]}"
        _, port = api.create(name, f"127.0.0.1:{listener.getsockname()[1]}")
        context.toxiproxy, context.proxies = api, {"sockets": name}
        proxied = Proxied(fault_proxy, name, port, listener)
        yield proxied
        proxied.close()
        fault_proxy.request("DELETE", f"/proxies/{name}")
