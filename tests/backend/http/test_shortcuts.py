"""What passes by uvicorn's and FastAPI's usual way behaves the same: ready reads of the list, and usual handshakes."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from chatswarm.loadtests.system.children import free_port
from tests.backend.servers import HANDSHAKE, PATIENCE, Backend, running

GET = b"GET /api/debug/users-chats HTTP/1.1\r\nHost: x\r\n%s\r\n"
_LENGTH = re.compile(rb"content-length: (\d+)")


def responses(port: int, requests: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of the responses to requests that are written at once."""
    found: list[tuple[bytes, bytes]] = []
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
        raw.sendall(requests)
        with raw.makefile("rb") as stream:
            for _ in range(count):
                head = b"".join(iter(stream.readline, b"\r\n"))
                length = _LENGTH.search(head)
                found.append((head, stream.read(int(length[1])) if length else b""))
            if b"connection: close" in found[-1][0]:
                assert stream.read() == b""
    return found


def test_pipelined_requests_are_answered_in_order(shared: Backend) -> None:
    chat = shared.new_chat("pipelined@example.org")
    body = b'{"content": "in between"}'
    send = b"POST /api/users/chats/%s/send HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
    get, health = GET % b"", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [get, get, send % (chat.encode(), len(body), body), get, health, get]
    found = responses(shared.port, b"".join(requests), len(requests))
    assert all(head.startswith(b"HTTP/1.1 200 ") for head, _ in found)
    assert [b"in between" in text for _, text in found] == [False, False, False, True, False, True]
    assert b'"message_id"' in found[2][1]
    assert b'"status"' in found[4][1]


@pytest.mark.parametrize(
    ("header", "body"),
    [(b"Content-Length: 4\r\n", b"body"), (b"Connection: close\r\n", b""), (b"Expect: 100-continue\r\n", b"")],
    ids=["body", "close", "expect"],
)
def test_an_unusual_read_of_the_list_has_the_usual_response(shared: Backend, header: bytes, body: bytes) -> None:
    ((usual_head, usual),) = responses(shared.port, GET % b"", 1)
    ((head, text),) = responses(shared.port, GET % header + body, 1)
    assert text == usual
    assert re.sub(rb"date: .*|connection: close\r\n", b"", head) == re.sub(rb"date: .*", b"", usual_head)


def test_what_is_ready_is_ready_on_the_apis_port_only(tmp_path: Path) -> None:
    pages = free_port()
    with running(tmp_path, "--pages-port", str(pages)) as backend:
        ((api, _),) = responses(backend.port, GET % b"", 1)
        ((page, _),) = responses(pages, GET % b"", 1)
    assert api.startswith(b"HTTP/1.1 200 ")
    assert page.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"", b"101"),
        (b"X-Long: %s\r\n" % (b"x" * 5000), b"101"),
        (b"Content-Length: 0\r\n", b"101"),
        (b"X-Too-Long: %s\r\n" % (b"x" * 9000), b"400"),
        (b"".join(b"X-%d: x\r\n" % number for number in range(200)), b"400"),
        (b"Content-Length: 4\r\n", b"400"),
        (b"Transfer-Encoding: chunked\r\n", b"400"),
    ],
    ids=["usual", "long", "empty body", "too long", "too many", "body", "chunked"],
)
def test_a_handshake_within_its_limits_is_accepted_and_any_other_refused(
    shared: Backend, more: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), PATIENCE) as raw:
        raw.sendall(HANDSHAKE[:-2] + more + b"\r\n")
        assert raw.recv(1 << 16).split(b" ")[1] == status


def test_a_handshake_with_another_method_is_405(shared: Backend) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), PATIENCE) as raw:
        raw.sendall(HANDSHAKE.replace(b"GET", b"PUT"))
        assert raw.recv(1 << 16).split(b" ")[1] == b"405"
