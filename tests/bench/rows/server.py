"""What the reference chat costs, beside other chat servers that do the same: per send, per delivery, per refetch."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.metadata import version
from typing import Final

from tests.bench.chat_servers import ChatServer, Starts, new_chat, reference_chat
from tests.bench.driver import Driver, Load, driving
from tests.bench.opponents.centrifugo import centrifugo, centrifugo_versions
from tests.bench.opponents.node_ws import node_ws, node_ws_versions
from tests.bench.opponents.tutorial import tutorial
from tests.bench.row import Row, Sample, Sides

RATE: Final = 100.0
"""Messages per second in every row."""

_WARM_UP: Final = 50
"""Messages that are sent before anything is measured."""

_MANY: Final = 15_000
_IN_TIME: Final = 0.1
"""Seconds: the limit on the p99 of what is notified, for a server's capacity."""

_LATE: Final = 2.0
"""Seconds: the update target of the guide."""


def _measured(server: ChatServer, driver: Driver, count: int) -> tuple[Load, float]:
    """Sends messages, after a few that are not measured. Returns what became of them, and the server's CPU seconds."""
    driver.send(RATE, _WARM_UP)
    before = server.cpu()
    load = driver.send(RATE, count)
    return load, server.cpu() - before


def _problems(load: Load, driver: Driver) -> list[str]:
    problems = []
    if load.lost:
        problems.append(f"{load.lost:,} deliveries were lost")
    if driver.cut_off:
        problems.append(f"{driver.cut_off:,} dashboards were cut off")
    return problems


def _per_send(start: Starts) -> Sample:
    """The CPU of a send that one dashboard is told of, in ms."""
    with start() as server, driving(server.port, server.wire, 1) as driver:
        # Until the first checkpoint, the write-ahead log grows, and each commit writes its new size, too.
        driver.send(5 * RATE, 1500)
        load, cpu = _measured(server, driver, 800)
        return Sample(cpu / load.messages * 1e3, len(load.latencies), _problems(load, driver))


def _per_delivery(start: Starts) -> Sample:
    """The CPU of one more delivery, in µs: the slope between few and many dashboards."""
    used: list[float] = []
    work = 0
    problems: list[str] = []
    few, many, count = 100, 1000, 600
    for dashboards in (few, many):
        with start() as server, driving(server.port, server.wire, dashboards) as driver:
            load, cpu = _measured(server, driver, count)
            used.append(cpu)
            work += len(load.latencies)
            problems += _problems(load, driver)
    return Sample((used[1] - used[0]) / ((many - few) * count) * 1e6, work, problems)


def _per_core(start: Starts) -> Sample:
    """Deliveries per second of CPU, with the p99 of what is notified within its limit."""
    with start() as server, driving(server.port, server.wire, 500) as driver:
        load, cpu = _measured(server, driver, 800)
        problems = _problems(load, driver)
        late = load.quantile(99)
        if late > _IN_TIME:
            problems.append(f"expected a notified p99 of at most {_IN_TIME * 1e3:g} ms, got {late * 1e3:.0f} ms")
        return Sample(len(load.latencies) / cpu, len(load.latencies), problems, {"notified p99 in ms": late * 1e3})


def _others_notified(*, stalled: bool) -> Sample:
    """The p50 of what is notified on dashboards that read, in ms, beside one that does not, up to its cut-off."""
    with reference_chat() as server, driving(server.port, server.wire, 100) as driver:
        number = driver.stall() if stalled else None
        load = driver.send(RATE, 1500)
        problems = _problems(load, driver)
        if number is not None and not driver.is_reset(number):
            problems.append("the stalled dashboard was not cut off, so the row proves nothing")
        late = sum(latency > _LATE for latency in load.latencies)
        if late:
            problems.append(f"{late:,} deliveries were late")
        return Sample(load.quantile(50) * 1e3, len(load.latencies), problems, {"p99 in ms": load.quantile(99) * 1e3})


def _per_refetch(driver: Driver, server: ChatServer) -> Sample:
    """The CPU of one refetch, in ms: of messages with and without refetches."""
    without, request = _measured(server, driver, 400)[1], b"GET /api/debug/users-chats HTTP/1.1\r\nHost: x\r\n"
    before = server.cpu()
    load = driver.send(RATE, 400, refetches=1000.0, request=request)
    used = server.cpu() - before
    return Sample((used - without) / load.refetches * 1e3, load.refetches, details={"with a list": load.fresh})


@contextmanager
def _refetching() -> Iterator[Sides]:
    with reference_chat() as server:
        for number in range(99):
            new_chat(server.port, f"{number}@x")
        with driving(server.port, server.wire, 1) as driver:
            driver.add_readers(100)
            yield Sides(partial(_per_refetch, driver, server))


@contextmanager
def _notifying() -> Iterator[Sides]:
    with reference_chat() as server, driving(server.port, server.wire, _MANY) as driver:

        def notify() -> Sample:
            load = driver.send(1.0, 3)
            last = [max(load.latencies[at : at + _MANY]) for at in range(0, len(load.latencies), _MANY)]
            return Sample(sum(last) / len(last), problems=_problems(load, driver))

        yield Sides(notify)


def _connect() -> Sample:
    with reference_chat() as server, driving(server.port, server.wire, 0) as driver:
        before = server.cpu()
        seconds = driver.connect(_MANY)
        return Sample(seconds, details={"CPU of the backend in s": server.cpu() - before})


def _against(
    ours: Callable[[], Sample], theirs: Callable[[], Sample], versions: Callable[[], Mapping[str, str]]
) -> Callable[[], AbstractContextManager[Sides]]:
    @contextmanager
    def sides() -> Iterator[Sides]:
        yield Sides(ours, theirs, versions())

    return sides


@contextmanager
def _connecting() -> Iterator[Sides]:
    yield Sides(_connect)


def _tutorial_versions() -> Mapping[str, str]:
    return {package: version(package) for package in ("fastapi", "httptools", "uvicorn", "uvloop", "websockets")}


ROWS = [
    Row(
        "P3b", f"CPU per durable send, one dashboard, {RATE:.0f} messages/s", "ms", 1.0,
        _against(partial(_per_send, reference_chat), partial(_per_send, tutorial), _tutorial_versions),
        "the tutorial's send, in memory", runs=5,
    ),
    Row(
        "P4", "backend CPU per delivery, slope from 100 to 1,000 dashboards, 100 messages/s", "µs", 0.25,
        _against(partial(_per_delivery, reference_chat), partial(_per_delivery, node_ws), node_ws_versions),
        "Node.js ws",
    ),
    Row(
        "P4b", "deliveries per second and core, 500 dashboards, 100 messages/s, notified p99 ≤ 100 ms", "1/s", 1.0,
        _against(partial(_per_core, reference_chat), partial(_per_core, centrifugo), centrifugo_versions),
        "Centrifugo", at_least=True,
    ),
    Row("P7", "one message notified to the last of 15,000 dashboards on one process", "s", 0.15, _notifying, runs=5),
    Row("P7b", "15,000 dashboards connect, on the machine that the driver shares", "s", 6.0, _connecting),
    Row(
        "P8", "others' notified p50 beside a stalled dashboard", "ms", 1.2,
        _against(
            partial(_others_notified, stalled=True), partial(_others_notified, stalled=False), dict
        ),
        "the same without it",
    ),
    Row("P9", "backend CPU per refetch, 100 chats, 100 messages/s", "ms", 0.06, _refetching, runs=5),
]  # fmt: skip
