from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loadtests.faults.harness import FaultProxy, Proxied, fault_proxy


@pytest.fixture(scope="session", name="fault_proxy")
def started_fault_proxy() -> Iterator[FaultProxy]:
    with fault_proxy("--seed", "1") as started:
        yield started


@pytest.fixture
def proxied(fault_proxy: FaultProxy) -> Iterator[Proxied]:
    with fault_proxy.in_front() as proxied:
        yield proxied
