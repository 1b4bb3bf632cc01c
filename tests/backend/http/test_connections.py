"""Promise 8: partial requests, idle sockets and connection floods hit limits; the list still responds."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.servers import (
    HANDSHAKE,
    PATIENCE,
    Backend,
    close_code,
    frame,
    raw_dashboard,
    read_all,
    running,
    say,
    until,
)

GET = b"GET /api/debug/users-chats HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /api/users/chats/%s/send HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n"
FILES = 256
TOTAL = FILES - 64


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with running(tmp_path_factory.mktemp("hasty"), "--request-timeout", "0.5s", "--idle-timeout", "1s") as backend:
        yield backend


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def connected(backend: Backend) -> socket.socket:
    return socket.create_connection(("127.0.0.1", backend.port), PATIENCE)


def ask(raw: socket.socket) -> bytes:
    """Read the list once; returns the head of the response, after reading its whole body."""
    raw.sendall(GET)
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = raw.recv(65536)
        assert piece, "closed"
        seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += raw.recv(65536)
    return head


def is_listed(backend: Backend) -> bool:
    """Whether the list responds on a new connection."""
    with contextlib.suppress(ConnectionError), connected(backend) as raw:
        return ask(raw).startswith(b"HTTP/1.1 200 ")
    return False


class TestSlowRequests:
    @pytest.mark.parametrize(
        "part",
        [
            b"GET /api/deb",
            b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            HANDSHAKE[:-2],
            POST % b"nope" + b'{"content": ',
            b"POST /api/users/data HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        ],
        ids=["line", "header", "handshake", "body", "chunk"],
    )
    @pytest.mark.parametrize("first", [True, False], ids=["first", "further"])
    def test_a_partial_request_gets_408(self, hasty: Backend, part: bytes, first: bool) -> None:
        timed_out = 'chat_connections_timed_out_total{what="request"}'
        before = hasty.metric(timed_out)
        with connected(hasty) as raw:
            if not first:
                ask(raw)
            raw.sendall(part)
            answer = read_all(raw)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b"}")
        assert hasty.metric(timed_out) == before + 1

    def test_a_request_sent_byte_by_byte_still_times_out(self, hasty: Backend) -> None:
        with connected(hasty) as raw:
            drips = 0
            with contextlib.suppress(ConnectionError):
                for byte in GET[:-1] * 3:
                    raw.sendall(bytes([byte]))
                    drips += 1
                    time.sleep(0.1)
            assert drips < len(GET) * 3 - 3
            assert b" 408 " in read_all(raw)

    def test_a_silent_connection_is_closed_without_a_response(self, hasty: Backend) -> None:
        with connected(hasty) as raw:
            assert read_all(raw) == b""

    def test_a_path_that_reads_no_body_gets_one_response(self, hasty: Backend) -> None:
        with connected(hasty) as raw:
            raw.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nxx")
            answer = read_all(raw)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b" 408 " not in answer

    def test_idle_connections_are_kept(self, hasty: Backend) -> None:
        with connected(hasty) as raw:
            for _ in range(2):
                assert ask(raw).startswith(b"HTTP/1.1 200 ")
                time.sleep(1)
            assert ask(raw).startswith(b"HTTP/1.1 200 ")

    def test_pipelined_requests_all_get_responses(self, hasty: Backend) -> None:
        with connected(hasty) as raw:
            raw.sendall(GET * 3 + GET[:10])
            answers = read_all(raw)
        assert answers.count(b"HTTP/1.1 200 ") == 3
        # The fourth was incomplete.
        assert answers.count(b"HTTP/1.1 408 ") == 1

    def test_no_traceback(self, hasty: Backend) -> None:
        assert "Traceback" not in hasty.errors


class TestIdleDashboards:
    def test_a_silent_dashboard_is_closed_with_1008(self, hasty: Backend) -> None:
        timed_out = 'chat_connections_timed_out_total{what="idle"}'
        before = hasty.metric(timed_out)
        with raw_dashboard(hasty.port, subscribe=False) as raw:
            assert close_code(raw) == 1008
        assert hasty.metric(timed_out) == before + 1

    def test_a_dashboard_that_has_sent_something_is_kept(self, hasty: Backend) -> None:
        with hasty.dashboard() as subscribed, hasty.dashboard(subscribe=False) as pinged:
            say(pinged, action="ping")
            assert frame(pinged)["type"] == "pong"
            time.sleep(2.5)
            for dashboard in (subscribed, pinged):
                say(dashboard, action="ping")
                assert frame(dashboard)["type"] == "pong"


class TestFlood:
    def test_reads_sends_and_dashboards_go_on(self, tmp_path: Path) -> None:
        with running(tmp_path, before=few_files) as backend, contextlib.ExitStack() as stack:
            chat_id = backend.new_chat()
            dashboard = stack.enter_context(backend.dashboard())
            kept = stack.enter_context(connected(backend))
            ask(kept)
            flood = [stack.enter_context(connected(backend)) for _ in range(2 * FILES)]
            # On connections from before the flood, and on new ones during it.
            for number in range(1, 6):
                assert backend.send(chat_id, "x").status_code == 200
                assert frame(dashboard)["data"]["seq"] == number
                assert ask(kept).startswith(b"HTTP/1.1 200 ")
                with connected(backend) as fresh:
                    assert ask(fresh).startswith(b"HTTP/1.1 200 ")
                with backend.dashboard():
                    pass
            # A partial request makes no difference.
            for raw in flood:
                with contextlib.suppress(ConnectionError):
                    raw.sendall(b"GET / HT")
            flood += [stack.enter_context(connected(backend)) for _ in range(FILES)]
            assert ask(kept).startswith(b"HTTP/1.1 200 ")
            newcomers = 'chat_connections_evicted_total{reason="newcomer"}'
            until(lambda: backend.metric(newcomers) >= len(flood) - TOTAL)
            assert backend.metric('chat_connections_evicted_total{reason="idle"}') == 0
            assert backend.metric("process_open_fds") < FILES
        assert "Traceback" not in backend.errors

    def test_idle_connections_are_evicted_if_there_are_no_newcomers(self, tmp_path: Path) -> None:
        with running(tmp_path, "--max-http-connections", "20") as backend, contextlib.ExitStack() as stack:
            first = stack.enter_context(connected(backend))
            ask(first)
            for _ in range(20):
                last = stack.enter_context(connected(backend))
                ask(last)
            assert read_all(first) == b""
            assert ask(last).startswith(b"HTTP/1.1 200 ")
            # Dashboards are not counted, and not evicted.
            with backend.dashboard() as dashboard:
                for _ in range(30):
                    ask(stack.enter_context(connected(backend)))
                say(dashboard, action="ping")
                assert frame(dashboard)["type"] == "pong"
            assert backend.metric('chat_connections_evicted_total{reason="idle"}') >= 31

    def test_more_dashboards_than_open_files_are_refused(self, tmp_path: Path) -> None:
        with running(tmp_path, before=few_files) as backend, contextlib.ExitStack() as stack:
            full = 'chat_dashboards_refused_total{reason="full"}'
            limit = TOTAL - TOTAL // 8
            for _ in range(limit):
                stack.enter_context(raw_dashboard(backend.port))
            with connected(backend) as raw:
                raw.sendall(HANDSHAKE)
                assert read_all(raw).startswith(b"HTTP/1.1 503 ")
            assert backend.metric(full) == 1
            assert backend.metric("chat_dashboards_connected") == limit
            assert f"--max-connections: expected enough open files for 16000 dashboards, got {FILES}," in backend.errors


def test_clients_that_read_no_responses_do_not_affect_others(tmp_path: Path) -> None:
    with running(tmp_path, "--max-http-connections", "20") as backend, contextlib.ExitStack() as stack:
        chat_id = backend.new_chat()
        backend.send_many([chat_id] * 10, 500)
        whole = b"GET /api/chats/%s HTTP/1.1\r\nHost: x\r\n\r\n" % chat_id.encode()
        for number in range(40):
            raw = stack.enter_context(socket.socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", backend.port))
            with contextlib.suppress(ConnectionError):
                raw.sendall(whole * (30 if number % 2 else 1))
        # While all of them are being served, no connection is free; soon they stop taking their responses.
        for _ in range(3):
            until(lambda: is_listed(backend))
        assert backend.send(chat_id, "x").status_code == 200
        assert backend.stop() == 0
