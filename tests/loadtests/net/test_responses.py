from __future__ import annotations

import socket
import time

import pytest

from chatswarm.loadtests.net.responses import (
    EmptyResponseError,
    NotHttpError,
    Reader,
    TooLargeError,
    TruncatedResponseError,
    keeps_alive,
    read_body,
    read_head,
)

MOST = 1000


def read(data: bytes, *, ends: bool = True) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection stays open."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        if ends:
            theirs.shutdown(socket.SHUT_WR)
        reader = Reader(ours, time.monotonic() + 10)
        head = read_head(reader)
        return head.status, read_body(reader, head, MOST), keeps_alive(head)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"http/1.1  404 \xff\r\nCONTENT-LENGTH:2\r\n\r\nok", (404, b"ok", True)),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", (200, b"ok", True)),
        (b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200 OK\r\nno header\r\n: none\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200 OK\r\nX-Long: a\r\n  b\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"Content-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", False)),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", (200, b"until the end", False)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\nuntil the end", (200, b"until the end", False)),
        (b"HTTP/1.1 204 No\r\n\r\n", (204, b"", True)),
        (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok", True)),
        (b"HTTP/1.1 103 Hints\r\nContent-Length: 9\r\n\r\n" * 3 + b"HTTP/1.1 204 No\r\n\r\n", (204, b"", True)),
        (b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\n\r\n\x81\x00", (101, b"", False)),
    ],
)
def test_responses_that_a_browser_accepts(data: bytes, expected: tuple[int, bytes, bool]) -> None:
    assert read(data) == expected


@pytest.mark.parametrize(
    "chunks",
    [
        b"2\r\nok\r\n0\r\n\r\n",
        b"1\r\no\r\n01\r\nk\r\n000\r\n\r\n",
        b"2;name=value\r\nok\r\n0 ;x\r\nTrailer: 1\r\n\r\n",
        b"2\nok\n0\n\n",
    ],
)
@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"gzip, chunked"])
def test_chunks(chunks: bytes, coding: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + coding + b"\r\nContent-Length: 7\r\n\r\n" + chunks
    assert read(data, ends=False) == (200, b"ok", True)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyResponseError),
        (b"\r\n", EmptyResponseError),
        (b"HTT", NotHttpError),
        (b"SSH-2.0\r\n", NotHttpError),
        (b"HTTP/1.1 20 OK\r\n\r\n", NotHttpError),
        (b"HTTP/1.1 2000 OK\r\n\r\n", NotHttpError),
        (b"HTTP/1.1 OK\r\n\r\n", NotHttpError),
        (b"HTTP/1.1 200 OK\r\nServ", TruncatedResponseError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", TruncatedResponseError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", TruncatedResponseError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\n", NotHttpError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n", NotHttpError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", TooLargeError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1001), TooLargeError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", TooLargeError),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 70_000, NotHttpError),
    ],
)
def test_responses_that_are_errors(data: bytes, error: type[Exception]) -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.settimeout(10)
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        reader = Reader(ours, time.monotonic() + 10)
        with pytest.raises(error):
            read_body(reader, read_head(reader), MOST)


def test_the_deadline_is_for_the_whole_response() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\n")
        with pytest.raises(TimeoutError):
            read_head(Reader(ours, time.monotonic() + 0.05))
