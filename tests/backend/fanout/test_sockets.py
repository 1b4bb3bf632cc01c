"""A dashboard's connection in short-lived states, on a transport that records calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.protocol import State

from chatswarm.backend.fanout.sockets import DashboardProtocol, Sockets


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent = 0
        self.end = ""

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return bool(self.end)

    def close(self) -> None:
        self.end = self.end or "closed"

    def abort(self) -> None:
        self.end = "aborted"


def connection(state: State) -> tuple[DashboardProtocol, Transport]:
    """A connection in this state, after its handshake unless it is connecting."""
    config = Config(app="none:none", interface="asgi3", log_config=None)
    config.loaded, config.loaded_app = True, lambda: None
    it = DashboardProtocol(config, ServerState(), {}, sockets=Sockets(buffer_limit=1000, unsent_limit=5))
    transport = Transport()
    it.connection_made(transport)
    it.conn.state = state
    it.handshake_complete = state is not State.CONNECTING
    return it, transport


def in_a_loop(test: Callable[[], None]) -> None:
    async def run() -> None:
        test()

    asyncio.run(run())


@pytest.mark.parametrize("state", [State.CONNECTING, State.CLOSING, State.CLOSED])
def test_nothing_is_written_unless_it_is_open(state: State) -> None:
    """Promise 7: raw writes only while the connection is open."""

    def test() -> None:
        it, transport = connection(state)
        assert not it.write(b"frame")
        assert transport.written == []

    in_a_loop(test)


def test_nothing_is_written_while_the_transport_is_closing() -> None:
    """Promise 7: no writes while its transport is closing."""

    def test() -> None:
        it, transport = connection(State.OPEN)
        assert it.write(b"frame")
        transport.close()
        assert not it.write(b"frame")
        assert transport.written == [b"frame"]

    in_a_loop(test)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("unsent", [0, 500])
def test_a_shutdown_closes_it_in_any_state(state: State, unsent: int) -> None:
    """Promise 7: uvicorn's own raises InvalidState if the dashboard has sent Close, and skips the rest."""

    def test() -> None:
        it, transport = connection(state)
        transport.unsent = unsent
        it.shutdown()
        assert transport.end == "closed"

    in_a_loop(test)


def test_a_shutdowns_close_code_is_1012() -> None:
    def test() -> None:
        it, _ = connection(State.OPEN)
        assert it.close_code == 1006, "if it ended now"
        it.shutdown()
        assert it.close_code == 1012
        assert connection(State.CONNECTING)[0].close_code is None

    in_a_loop(test)


class TestCuts:
    """Promise 6."""

    def test_over_the_limit_it_gets_1013(self) -> None:
        def test() -> None:
            it, transport = connection(State.OPEN)
            transport.unsent = 996
            assert it.write(b"1234")
            assert not it.write(b"12345")
            assert transport.written == [b"1234", b"\x88\x0a" + (1013).to_bytes(2, "big") + b"too slow"]
            assert transport.end == "closed"

        in_a_loop(test)

    def test_one_that_took_nothing_for_longer_than_5_s_is_aborted(self) -> None:
        def test() -> None:
            it, transport = connection(State.OPEN)
            reasons: list[str] = []
            it._sockets.on_cut = reasons.append
            now = it.loop.time() - 100
            it._backlog.last_progress = now
            it._since = now
            assert it.write(b"x" * 100)
            transport.unsent = 100
            for seconds in (0.0, 1.0, 5.0):
                it.check_limits(now + seconds)
                assert (transport.end, reasons) == ("", [])
            it.check_limits(now + 5.1)
            assert (transport.end, reasons) == ("aborted", ["age"])

        in_a_loop(test)
