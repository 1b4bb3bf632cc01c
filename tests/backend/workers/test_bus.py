"""Promise 4: backends on one database with a real broker that is killed, paused, silent or missing."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection

from chatswarm.loadtests.system.children import free_port
from tests.backend.brokers import BlackholeProxy, Broker, broker
from tests.backend.servers import Backend, frame, running, until

CONNECTED = "chat_bus_connected"
BY_WAKEUP = 'chat_log_reads_total{cause="bell"}'
BY_CLOCK = 'chat_log_reads_total{cause="clock"}'


@contextmanager
def two(folder: Path, bus: str) -> Iterator[tuple[Backend, Backend]]:
    """Two backends with one worker each on one database."""
    with ExitStack() as stack:
        backends = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            flags = ("--bus", bus, "--database", f"sqlite:///{folder}/chat.db")
            backends.append(stack.enter_context(running(folder / name, *flags)))
        yield backends[0], backends[1]


def connected(backends: tuple[Backend, Backend]) -> bool:
    return all(each.metric(CONNECTED) for each in backends)


def talk(backends: tuple[Backend, Backend], dashboard: ClientConnection, chat_id: str, count: int = 5) -> None:
    """Send to the first backend; the second must announce each message once and in order."""
    for number in range(count):
        sent = backends[0].send(chat_id, f"{number}").json()
        notified = frame(dashboard)["data"]
        assert (notified["message_id"], notified["seq"]) == (sent["message_id"], sent["seq"])


def talk_by_wakeup(backends: tuple[Backend, Backend], dashboard: ClientConnection, chat_id: str) -> None:
    """The same, until a wake-up has caused a read."""
    before = backends[1].metric(BY_WAKEUP)

    def woken() -> bool:
        talk(backends, dashboard, chat_id)
        return backends[1].metric(BY_WAKEUP) >= before + 5

    until(woken)


@pytest.mark.parametrize("fault", ["killed", "paused", "cut off"])
def test_without_the_broker_all_is_announced_and_wakeups_resume_when_it_returns(tmp_path: Path, fault: str) -> None:
    with (
        broker(tmp_path) as bus,
        closing(BlackholeProxy(bus.port)) as hole,
        two(tmp_path, f"redis://127.0.0.1:{hole.port}" if fault == "cut off" else bus.url) as backends,
        backends[1].dashboard() as dashboard,
    ):
        faults: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "killed": (bus.kill, bus.start),
            "paused": (lambda: bus.signal(signal.SIGSTOP), lambda: bus.signal(signal.SIGCONT)),
            # New connections work all the time; the old ones never again.
            "cut off": (hole.swallow, lambda: None),
        }
        away, back = faults[fault]
        until(lambda: connected(backends))
        chat_id = backends[0].new_chat()
        talk_by_wakeup(backends, dashboard, chat_id)
        by_clock = backends[1].metric(BY_CLOCK)
        away()
        talk(backends, dashboard, chat_id)
        assert backends[1].metric(BY_CLOCK) > by_clock
        until(lambda: all("is not connected" in each.errors for each in backends))
        talk(backends, dashboard, chat_id)
        assert backends[0].metric('chat_messages_accepted_total{role="user"}') >= 15
        back()
        until(lambda: connected(backends))
        talk_by_wakeup(backends, dashboard, chat_id)
        for each in backends:
            # Logged at most once for each of the two connections, not for every attempt.
            assert 1 <= each.errors.count("is not connected") <= 2
            assert "Traceback" not in each.errors


def test_a_broker_missing_at_the_start_is_no_error_and_used_once_it_runs(tmp_path: Path) -> None:
    it = Broker(tmp_path, port=free_port())
    with two(tmp_path, it.url) as backends, backends[1].dashboard() as dashboard:
        chat_id = backends[0].new_chat()
        talk(backends, dashboard, chat_id)
        with ExitStack() as stack:
            it.start()
            stack.callback(it.kill)
            until(lambda: connected(backends))
            talk_by_wakeup(backends, dashboard, chat_id)
            # Stopping does not wait for a broker that does not respond.
            it.signal(signal.SIGSTOP)
            backends[0].send(chat_id, "last")
            assert backends[0].stop() == 0


def test_a_port_that_accepts_everything_and_never_replies_delays_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with two(tmp_path, url) as backends, backends[1].dashboard() as dashboard:
            talk(backends, dashboard, backends[0].new_chat(), 20)
            until(lambda: "is not connected" in backends[0].errors)
            assert not backends[0].metric(CONNECTED)
            assert backends[0].stop() == 0


def test_workers_wake_each_other_over_the_broker_too(tmp_path: Path) -> None:
    with (
        broker(tmp_path) as bus,
        running(tmp_path, "--workers", "2", "--bus", bus.url) as backend,
        backend.dashboards_everywhere(2) as dashboards,
    ):
        until(lambda: sum(backend.by_worker(f"{CONNECTED}{{worker}}").values()) == 2)
        chat_id = backend.new_chat()
        for _ in range(5):
            backend.send(chat_id, "x")
            for dashboard in dashboards:
                frame(dashboard)
        by_wakeup = backend.by_worker('chat_log_reads_total{worker,cause="bell"}')
        assert sum(by_wakeup.values()) > 0


def test_the_password_is_used_and_not_shown(tmp_path: Path) -> None:
    with broker(tmp_path, "s3cret") as bus, running(tmp_path, "--bus", bus.url) as backend:
        until(lambda: backend.metric(CONNECTED) == 1)
        assert f"The bus redis://127.0.0.1:{bus.port}/0 is connected" in backend.errors
        backend.stop()
        assert "s3cret" not in backend.errors + backend.output
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    with broker(tmp_path, "s3cret") as bus, running(wrong, "--bus", bus.url.replace("s3cret", "gu3ssed")) as backend:
        until(lambda: "is not connected" in backend.errors)
        assert "gu3ssed" not in backend.errors
        assert backend.metric(CONNECTED) == 0
