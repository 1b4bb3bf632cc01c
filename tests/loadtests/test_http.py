"""The swarm's HTTP over real sockets: the moment of sending, nothing resent, nothing raised."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chatswarm.loadtests.swarm import http
from chatswarm.loadtests.swarm.http import Client, client_for, exchange
from chatswarm.loadtests.targets.target import Request

GET = Request("GET", "/list")
POST = Request("POST", "/send", b"hello")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def server(handle: Callable[[socket.socket, int], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server on plain threads; `handle(connection, number)` is called for each request; yields what came in."""
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                requests.append(data)
                handle(connection, len(requests))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def client_of(url: str) -> Iterator[Client]:
    client = client_for(url, 1)
    try:
        yield client
    finally:
        client.close()


def answer(connection: socket.socket, number: int) -> None:
    connection.sendall(OK)


def test_a_full_answer() -> None:
    with server(answer) as (url, requests), client_of(url) as client:
        before = time.monotonic()
        got = exchange(client, POST)
        assert (got.status, got.body, got.complete, got.written, got.problem) == (200, b"ok", True, True, "")
        assert before <= got.sent <= got.done <= time.monotonic()
        assert b"hello" in requests[0]


def test_nobody_listens_so_nothing_was_written() -> None:
    with server(answer) as (url, _):
        pass
    with client_of(url) as client:
        got = exchange(client, POST)
    assert (got.status, got.complete, got.written) == (0, False, False)
    assert "refused" in got.problem


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("part", [b"", OK[:20], OK[:-1]], ids=["no answer", "half a head", "half a body"])
def test_a_cut_connection_is_seen_and_nothing_is_resent(request_: Request, part: bytes) -> None:
    def cut(connection: socket.socket, number: int) -> None:
        if number == 1:
            answer(connection, number)
        else:
            connection.sendall(part)
            connection.shutdown(socket.SHUT_RDWR)

    with server(cut) as (url, requests), client_of(url) as client:
        assert exchange(client, request_).complete
        got = exchange(client, request_)
        assert got.written
        assert not got.complete
        assert got.problem
        assert len(requests) == 2, "the request was sent again behind our back"
        assert exchange(client, request_).problem, "and the client is usable afterwards"


def test_a_hanging_target_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.2)
    with server(lambda connection, _: connection.sendall(OK[:-1])) as (url, _), client_of(url) as client:
        got = exchange(client, POST)
    assert (got.status, got.complete, got.written) == (200, False, True)
    assert "no full answer within 0.2 s" in got.problem


def test_an_answer_cut_short_by_the_time_out_does_not_spoil_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.2)

    def half_then_whole(connection: socket.socket, number: int) -> None:
        connection.sendall(OK[:-1] if number == 1 else OK)

    with server(half_then_whole) as (url, _), client_of(url) as client:
        assert not exchange(client, GET).complete
        assert exchange(client, GET).body == b"ok"


def test_connections_are_used_again_unless_they_idled(monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []

    def note(connection: socket.socket, number: int) -> None:
        ports.append(connection.getpeername()[1])
        connection.sendall(OK)

    with server(note) as (url, _), client_of(url) as client:
        exchange(client, GET)
        exchange(client, GET)
        monkeypatch.setattr(http, "IDLE_LIMIT", 0.0)
        exchange(client, GET)
    assert ports[0] == ports[1] != ports[2]
