"""How rogues connect to the chat under attack: several addresses, a path prefix, TLS."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import trustme

from chatswarm.loadtests.faults.rogues.attacked_chat import AttackedChat, NotLetInError, final_response
from chatswarm.loadtests.faults.rogues.websocket import Dashboard
from chatswarm.loadtests.protocols.catalogue import find_protocol
from chatswarm.loadtests.protocols.protocol import Handshake, Request
from tests.loadtests.names import names

from .misbehaving import CONNECTED, TEXT, Connection, server

T = TypeVar("T")
LIST = Request("GET", "/list")


def at(url: str, do: Callable[[AttackedChat], Awaitable[T]]) -> T:
    async def run() -> T:
        return await do(AttackedChat(url, find_protocol("reference"), {}))

    return asyncio.run(run())


def saying(answer: bytes) -> Callable[[Connection], None]:
    def serve(connection: Connection) -> None:
        connection.head()
        connection.sock.sendall(answer)
        connection.read_on()

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def peers(chat: AttackedChat) -> list[str]:
    found = []
    for _ in range(4):
        connection = await chat.connect()
        found.append(connection.sock.getpeername()[0])
        connection.close()
    return found


@pytest.mark.parametrize(
    ("heard", "status"),
    [
        (b"", None),
        (b"HTTP/1.1 20", None),
        (b"HTTP/1.1 200 OK", None),
        (b"HTTP/1.1 200 OK\r\n", 200),
        (b"\r\nHTTP/1.0 403\n", 403),
        (b"HTTP/1.1 101 Up\r\n", 101),
        (b"HTTP/1.1 103 Hints\r\n", None),
        (b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n", None),
        (b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 401 No\r\n", 401),
        (b"SSH-2.0\r\n", None),
    ],
)
def test_the_final_responses_status(heard: bytes, status: int | None) -> None:
    assert final_response(heard)[0] == status


def test_connections_are_spread_over_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
    with server(saying(OK)) as one:
        port = one.listener.getsockname()[1]
        with server(saying(OK), listener=socket.create_server(("127.0.0.2", port))):
            assert at(f"http://chat.test:{port}", peers) == ["127.0.0.1", "127.0.0.2"] * 2


def test_an_address_that_refuses_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
    with server(saying(OK)) as one:
        assert at(f"http://chat.test:{one.listener.getsockname()[1]}", peers) == ["127.0.0.1"] * 4


def test_an_address_that_failed_is_not_tried_first_for_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
    real, tried = asyncio.selector_events.BaseSelectorEventLoop.sock_connect, []

    async def connect(self: Any, sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        await real(self, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", connect)
    with server(saying(OK)) as one:
        at(f"http://chat.test:{one.listener.getsockname()[1]}", peers)
    assert tried == ["127.0.0.3", *["127.0.0.1"] * 4]


@pytest.mark.parametrize("order", [1, -1])
def test_the_chats_refusal_is_reported_rather_than_a_missing_route(monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"][::order]})

    async def connect(_: Any, __: socket.socket, address: Any) -> None:
        number = errno.ECONNREFUSED if address[0] == "127.0.0.1" else errno.ENETUNREACH
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", connect)
    with pytest.raises(ConnectionRefusedError):
        at("http://chat.test:1", peers)


def test_a_limit_of_this_machine_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
    tried: list[str] = []

    async def connect(_: Any, __: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", connect)
    with pytest.raises(OSError, match="open files"):
        at("http://chat.test:1", peers)
    assert tried == ["127.0.0.1"]


def test_the_urls_path_prefixes_requests_and_handshakes() -> None:
    lines: list[str] = []

    def serve(connection: Connection) -> None:
        head = connection.head()
        lines.append(head.split("\r\n")[0])
        if "websocket" in head.lower():
            connection.upgrade(head)
        else:
            connection.sock.sendall(OK)

    async def both(chat: AttackedChat) -> None:
        assert await chat.status(Request("GET", "/a%2Fb/ä\r\n")) == 200
        await (await Dashboard.open(chat, Handshake("/ws/dashboard?a=b"))).close()

    with server(serve) as chat:
        at(f"{chat.url}/team%2Fa/", both)
    assert lines == ["GET /team%2Fa/a%2Fb/%C3%A4%0D%0A HTTP/1.1", "GET /team%2Fa/ws/dashboard?a=b HTTP/1.1"]


@pytest.mark.parametrize(
    "refusal",
    [
        b"HTTP/1.0 403 Forbidden\r\n\r\nwithout an end",
        b"HTTP/1.1 403\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 403 No\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_every_form_of_a_refusal_is_understood(refusal: bytes) -> None:
    async def refused(chat: AttackedChat) -> tuple[int, int]:
        with pytest.raises(NotLetInError) as caught:
            await Dashboard.open(chat)
        return caught.value.status, await chat.status(LIST)

    with server(saying(refusal)) as chat:
        assert at(chat.url, refused) == (403, 403)


def test_frames_that_come_with_the_response_are_received() -> None:
    def serve(connection: Connection) -> None:
        head, sock = connection.head(), connection.sock
        ours, theirs = socket.socketpair()
        with ours, theirs:
            connection.sock = ours
            connection.upgrade(head)
            connection.send(TEXT, CONNECTED)
            connection.sock = sock
            sock.sendall(b"HTTP/1.1 103 Hints\r\n\r\n" + theirs.recv(1 << 16))
        connection.read_on()

    async def heard(chat: AttackedChat) -> str:
        dashboard = await Dashboard.open(chat)
        try:
            return (await dashboard.receive()).kind.name
        finally:
            await dashboard.close()

    with server(serve) as chat:
        assert at(chat.url, heard) == "CONNECTED"


def test_the_systems_certificates_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with server(saying(OK), context) as chat, authority.cert_pem.tempfile() as pem:
        with pytest.raises(ssl.SSLCertVerificationError):
            at(chat.url, peers)
        monkeypatch.setenv("SSL_CERT_FILE", pem)
        assert at(chat.url, lambda chat: chat.status(LIST)) == 200
