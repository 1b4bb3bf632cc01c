"""The swarm's WebSocket against a real server, made with the library `websockets`."""

import asyncio
import errno
import os
import resource
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import gevent
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.swarm.net import websocket
from chatswarm.loadtests.swarm.net.websocket import Closed, ConnectError, WebSocket, socket_url

Handler = Callable[[ServerConnection], Awaitable[None]]
Refusal = Callable[[ServerConnection, Request], Response]


def each(take: Callable[[bytes], object]) -> Callable[[Sequence[bytes]], None]:
    """For `listen`: takes messages one by one."""

    def taking(messages: Sequence[bytes]) -> None:
        for message in messages:
            take(message)

    return taking


@contextmanager
def server(
    handler: Handler, tls: ssl.SSLContext | None = None, refuse: Refusal | None = None, **options: Any
) -> Iterator[str]:
    """A WebSocket server in a separate thread, with options of `serve`; yields its URL."""
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    started, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, ssl=tls, process_request=refuse, **options) as running:
            ready.append(running.sockets[0].getsockname()[1])
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert started.wait(5)
    try:
        yield f"{'wss' if tls else 'ws'}://localhost:{ready[0]}/ws"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def test_sending_and_receiving() -> None:
    with server(echo) as url:
        socket_ = WebSocket(url, 5)
        socket_.send("hällo")
        assert socket_.receive(5) == ["hällo".encode()]
        assert socket_.received_at > 0
        socket_.close()


@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages_arrive_the_same_compressed_and_not(compression: str | None) -> None:
    messages: list[str | bytes] = [
        "short",
        "long " * 20_000,
        b"\x00\xffbinary",
        b"long binary" * 20_000,
        "",
        b"",
        "short",
        "ä",
    ]
    kinds: list[type] = []

    async def echo_all(connection: ServerConnection) -> None:
        async for message in connection:
            kinds.append(type(message))
            await connection.send(message)
            if message == "short":
                await connection.send(iter(["in ", "parts ", "x" * 5000]))

    bodies = [each.encode() if isinstance(each, str) else each for each in messages]
    in_parts = b"in parts " + b"x" * 5000
    expected = [found for each in bodies for found in ([each, in_parts] if each == b"short" else [each])]
    with server(echo_all, compression=compression) as url:
        socket_ = WebSocket(url, 5)
        assert socket_.deflate == (compression is not None)
        received: list[bytes] = []
        for message in messages:
            socket_.send(message)
        while len(received) < len(expected):
            received += socket_.receive(5)
        socket_.close()
    assert received == expected
    assert kinds == [type(message) for message in messages]


def test_fragments_make_one_message() -> None:
    async def in_parts(connection: ServerConnection) -> None:
        await connection.send(iter(["one ", "two ", "three"]))
        await connection.send("whole")
        await connection.wait_closed()

    with server(in_parts) as url:
        socket_ = WebSocket(url, 5)
        received: list[bytes] = []
        while len(received) < 2:
            received += socket_.receive(5)
        assert received == [b"one two three", b"whole"]
        socket_.close()


def test_pings_are_answered() -> None:
    async def ping(connection: ServerConnection) -> None:
        await (await connection.ping())
        await connection.send("ponged")
        await connection.wait_closed()

    with server(ping) as url:
        socket_ = WebSocket(url, 5)
        assert socket_.receive(5) == [b"ponged"]
        socket_.close()


def test_silence_does_not_end_the_connection() -> None:
    with server(echo) as url:
        socket_ = WebSocket(url, 5)
        assert socket_.receive(0.05) == []
        socket_.send("still there")
        assert socket_.receive(5) == [b"still there"]
        socket_.close()


def test_the_servers_close_code() -> None:
    async def restart(connection: ServerConnection) -> None:
        await connection.send("last words")
        await connection.close(1012, "restart")

    with server(restart) as url:
        socket_ = WebSocket(url, 5)
        assert socket_.receive(5) == [b"last words"]
        with pytest.raises(Closed, match="restart") as caught:
            socket_.receive(5)
        assert caught.value.code == 1012
        with pytest.raises(Closed):
            socket_.send("too late")
        socket_.close()


def test_a_connection_that_breaks() -> None:
    async def abort(connection: ServerConnection) -> None:
        connection.transport.abort()

    with server(abort) as url:
        socket_ = WebSocket(url, 5)
        with pytest.raises(Closed) as caught:
            socket_.receive(5)
        socket_.close()
        assert caught.value.code == 1006


def test_connecting_without_a_listener() -> None:
    with server(echo) as url:
        pass
    with pytest.raises(ConnectError, match="refused") as caught:
        WebSocket(url, 5)
    assert caught.value.status == 0


def test_a_refused_handshake_has_its_status() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "not from here")

    with server(echo, refuse=refuse) as url, pytest.raises(ConnectError, match="403") as caught:
        WebSocket(url, 5)
    assert caught.value.status == 403


def test_a_handshake_without_a_response_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConnectError, match="timed out"):
        WebSocket(f"ws://127.0.0.1:{silent.getsockname()[1]}/ws", 0.2)


def test_tls_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with server(echo, context) as url:
        with pytest.raises(ConnectError, match="certificate verify failed"):
            WebSocket(url, 5)
        file = tmp_path_factory.mktemp("tls") / "authority.pem"
        authority.cert_pem.write_to_path(str(file))
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        socket_ = WebSocket(url, 5)
        socket_.send("secret")
        assert socket_.receive(5) == [b"secret"]
        socket_.close()


def test_socket_url() -> None:
    assert socket_url("http://localhost:8000/", "/ws/dashboard") == "ws://localhost:8000/ws/dashboard"
    assert socket_url("https://chat.example.com", "/ws") == "wss://chat.example.com/ws"


def test_listening_passes_on_messages_until_the_end(tls: ssl.SSLContext | None) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("one")
        await connection.send(iter(["tw", "o"]))
        await (await connection.ping())
        await connection.send("x" * 70_000)
        await connection.send("three")
        await connection.close(1012, "restart")

    taken: list[bytes] = []
    with server(talk, tls) as url:
        socket_ = WebSocket(url, 5)
        with pytest.raises(Closed) as caught:
            socket_.listen(taken.extend, 5)
        socket_.close()
    assert taken == [b"one", b"two", b"x" * 70_000, b"three"]
    assert caught.value.code == 1012


def test_frames_that_arrive_together_are_taken_together(tls: ssl.SSLContext | None) -> None:
    texts = [b"%d" % number for number in range(5)]
    server_ = _LateReader(b"".join(Frame(Opcode.TEXT, text).serialize(mask=False) for text in texts), tls)
    socket_ = WebSocket(server_.url, 5)
    taken: list[Sequence[bytes]] = []
    socket_.listen(taken.append, 0.2)
    socket_.close()
    server_.close()
    assert taken == [texts]


def test_listening_ends_after_its_timeout_and_loses_nothing() -> None:
    taken: list[bytes] = []
    with server(echo) as url:
        socket_ = WebSocket(url, 5)
        socket_.listen(taken.extend, 0.05)
        socket_.send("hello")
        socket_.listen(taken.extend, 0.5)
        socket_.close()
    assert taken == [b"hello"]


def test_an_error_in_the_callback_reaches_the_greenlet() -> None:
    def fail(_: Sequence[bytes]) -> None:
        raise KeyError("oh")

    with server(echo) as url:
        socket_ = WebSocket(url, 5)
        socket_.send("hello")
        with pytest.raises(KeyError):
            socket_.listen(fail, 5)
        socket_.close()


class _LateReader:
    """A server that sends `frames`, but reads nothing after the handshake until `reads` is set; then it reads all."""

    def __init__(self, frames: bytes, tls: ssl.SSLContext | None) -> None:
        self._frames, self._tls = frames, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        # The kernel buffers little, so that the test need not send much.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.url = f"{'wss' if tls else 'ws'}://localhost:{self._listener.getsockname()[1]}/ws"
        self.reads = threading.Event()
        self.received: list[bytes] = []  # the payload of every frame, in order
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            protocol = ServerProtocol(max_size=None)
            protocol.receive_data(connection.recv(65536))
            (request,) = protocol.events_received()
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
            connection.sendall(b"".join(protocol.data_to_send()) + self._frames)
            self.reads.wait(60)
            while data := connection.recv(65536):
                protocol.receive_data(data)
                self.received += [bytes(each.data) for each in protocol.events_received() if isinstance(each, Frame)]

    def wait_for(self, frames: int) -> None:
        """Waits until this many have been read. `close` does not wait for the kernel to take its frame."""
        deadline = time.monotonic() + 30
        while len(self.received) < frames:
            assert time.monotonic() < deadline, f"expected {frames} frames, got {len(self.received)}"
            gevent.sleep(0.01)

    def close(self) -> None:
        self.reads.set()
        self._listener.close()
        self._thread.join()


@pytest.fixture(scope="module")
def localhost_tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's context for localhost, and the file of the authority that it is trusted by."""
    authority, file = trustme.CA(), tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context, str(file)


@pytest.fixture(params=["ws", "wss"])
def tls(
    request: pytest.FixtureRequest, localhost_tls: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext | None:
    """Nothing, then a server's TLS that clients trust."""
    if request.param == "ws":
        return None
    monkeypatch.setenv("SSL_CERT_FILE", localhost_tls[1])
    return localhost_tls[0]


class _AllTaken(Exception):
    """Ends `listen` from its callback."""


def _opened(server: _LateReader) -> WebSocket:
    socket_ = WebSocket(server.url, 5, deflate=False)
    socket_._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return socket_


def test_answers_from_the_callback_wait_for_a_peer_that_does_not_read_and_keep_their_order(
    tls: ssl.SSLContext | None,
) -> None:
    texts = [b"%d" % number for number in range(80)]
    frames = b"".join(Frame(Opcode.TEXT, text).serialize(mask=False) for text in texts[:-1])
    ping, last = (Frame(code, data).serialize(mask=False) for code, data in ((Opcode.PING, b"p"), (Opcode.TEXT, b"79")))
    server_ = _LateReader(frames + ping + last, tls)
    socket_ = _opened(server_)
    taken: list[bytes] = []

    def answer(text: bytes) -> None:
        taken.append(text)
        assert socket_.send_soon(text.decode().ljust(10_000) if len(taken) % 2 else text.ljust(10_000))
        if len(taken) == len(texts):
            raise _AllTaken

    with pytest.raises(_AllTaken):
        socket_.listen(each(answer), 20)
    assert taken == texts, "the loop was never blocked"
    assert socket_._outbox.waiting > 100_000, "the kernel took it all: the test shows nothing"
    socket_._feed(Frame(Opcode.PING, b"late").serialize(mask=False), [])
    server_.reads.set()
    socket_.send(b"after all")
    assert socket_._outbox.waiting == 0
    server_.wait_for(len(texts) + 3)
    socket_.close()
    server_.close()
    expected = [text.ljust(10_000) for text in texts]
    server_.received.remove(b"p")  # the answer to the ping, which may go before those to frames that came with it
    assert server_.received == [*expected, b"late", b"after all", b"\x03\xe9"]


def test_a_peer_that_does_not_read_ends_the_connection_after_all_that_had_arrived(tls: ssl.SSLContext | None) -> None:
    texts = [b"%d" % number for number in range(80)]
    frames = b"".join(Frame(Opcode.TEXT, text).serialize(mask=False) for text in texts)
    server_ = _LateReader(frames, tls)
    socket_ = _opened(server_)
    taken: list[bytes] = []
    answered: list[bool] = []

    def answer(text: bytes) -> None:
        taken.append(text)
        answered.append(socket_.send_soon("x" * 100_000))

    with pytest.raises(Closed, match="1006 the peer does not read") as caught:
        socket_.listen(each(answer), 20)
    assert (caught.value.code, caught.value.rig_failed) == (1006, False)
    assert taken == texts
    assert answered == sorted(answered, reverse=True)
    assert 10 <= answered.count(True) < 70
    with pytest.raises(Closed, match="does not read"):
        socket_.send("too late")
    socket_.close()
    server_.close()


def test_one_large_message_is_never_too_much(tls: ssl.SSLContext | None) -> None:
    server_ = _LateReader(b"", tls)
    socket_ = _opened(server_)
    assert socket_.send_soon(b"x" * (3 << 20))
    assert not socket_.send_soon("too much now"), "more than 1 MiB was waiting before it"
    socket_.close()
    server_.close()
    server_ = _LateReader(b"", tls)
    socket_ = _opened(server_)
    assert socket_.send_soon(b"x" * (3 << 20))
    server_.reads.set()
    socket_.send("last")
    server_.wait_for(2)
    socket_.close()
    server_.close()
    assert server_.received == [b"x" * (3 << 20), b"last", b"\x03\xe9"]


def test_sending_waits_for_the_peer_until_the_timeout(tls: ssl.SSLContext | None) -> None:
    server_ = _LateReader(b"", tls)
    socket_ = _opened(server_)
    socket_._timeout = 0.2
    with pytest.raises(Closed, match="1006 the peer does not read"):
        socket_.send("x" * 2_000_000)
    with pytest.raises(Closed, match="1006 the peer does not read"):
        socket_.receive(5)
    socket_.close()
    server_.close()


def test_messages_of_several_greenlets_do_not_mix(tls: ssl.SSLContext | None) -> None:
    server_ = _LateReader(b"", tls)
    socket_ = _opened(server_)
    texts = [letter * 200_000 for letter in "abcde"]
    sending = [gevent.spawn(socket_.send, text) for text in texts]
    gevent.sleep(0)
    server_.reads.set()
    gevent.joinall(sending, raise_error=True)
    server_.wait_for(5)
    socket_.close()
    server_.close()
    assert server_.received == [*(text.encode() for text in texts), b"\x03\xe9"]


def test_closing_wakes_a_greenlet_that_is_sending(tls: ssl.SSLContext | None) -> None:
    server_ = _LateReader(b"", tls)
    socket_ = _opened(server_)
    socket_._timeout = 60
    sending = gevent.spawn(socket_.send, "x" * 2_000_000)
    gevent.sleep(0)
    socket_.close()
    with pytest.raises(Closed):
        sending.get(timeout=30)
    server_.close()


@pytest.mark.parametrize(("number", "rig_failed"), [(errno.ENOBUFS, True), (errno.ECONNRESET, False)])
def test_a_write_that_fails_ends_the_connection(number: int, rig_failed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, "oh")

    with responding(ACCEPT + b"\r\n" + b"\x81\x02hi\x81\x02ho") as (url, _):
        socket_ = WebSocket(url, 5)
        taken: list[bytes] = []
        answers: list[bool] = []

        def answer(text: bytes) -> None:
            taken.append(text)
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", fail)
                answers.append(socket_.send_soon("x"))

        with pytest.raises(Closed, match="oh") as caught:
            socket_.listen(each(answer), 5)
        socket_.close()
    assert (taken, answers) == ([b"hi", b"ho"], [False, False])
    assert (caught.value.code, caught.value.rig_failed) == (1006, rig_failed)


def test_half_a_surrogate_pair_is_sent_as_a_browser_sends_it() -> None:
    with server(echo) as url:
        socket_ = WebSocket(url, 5)
        socket_.send("a\ud83db")
        assert socket_.receive(5) == ["a\ufffdb".encode()]
        socket_.close()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 10_000])
def test_messages_are_the_same_however_the_bytes_are_split(size: int) -> None:
    """A raw server sends its response and all frames in pieces of `size` bytes."""
    frames = b"".join(
        [
            Frame(Opcode.TEXT, b"short").serialize(mask=False),
            Frame(Opcode.TEXT, b"", fin=True).serialize(mask=False),
            Frame(Opcode.TEXT, b"frag", fin=False).serialize(mask=False),
            Frame(Opcode.PING, b"now").serialize(mask=False),
            Frame(Opcode.CONT, b"ment", fin=True).serialize(mask=False),
            Frame(Opcode.TEXT, b"m" * 300).serialize(mask=False),
            Frame(Opcode.BINARY, b"bin").serialize(mask=False),
            Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=False),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_raw() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            protocol = ServerProtocol()
            protocol.receive_data(connection.recv(65536))
            (request,) = protocol.events_received()
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
            data = b"".join(protocol.data_to_send()) + frames
            for at in range(0, len(data), size):
                connection.sendall(data[at : at + size])
            while connection.recv(65536):
                pass

    thread = threading.Thread(target=serve_raw)
    thread.start()
    taken: list[bytes] = []
    with listener:
        socket_ = WebSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/ws", 5)
        with pytest.raises(Closed, match="1000 bye"):
            socket_.listen(taken.extend, 5)
        socket_.close()
        thread.join()
    assert taken == [b"short", b"", b"fragment", b"m" * 300, b"bin"]


def test_a_broken_frame_ends_the_connection() -> None:
    async def nonsense(connection: ServerConnection) -> None:
        connection.transport.write(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
        await connection.wait_closed()

    with server(nonsense) as url:
        socket_ = WebSocket(url, 5)
        with pytest.raises(Closed):
            socket_.listen(lambda _: None, 5)
        socket_.close()


ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n"
)


@contextmanager
def responding(response: bytes, *, closes: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A raw server that sends `response` to each handshake, with the right key for KEY. Yields its URL and requests."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[bytes] = []
    connections: list[socket.socket] = []

    def serve_raw() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            requests.append(connection.recv(65536))
            key = requests[-1].partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
            connection.sendall(response.replace(b"KEY", accept_key(key).encode()))
            if closes:
                connection.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve_raw, daemon=True)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/chat/ws", requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "response",
    [
        ACCEPT + b"\r\n",
        ACCEPT + b"Set-Cookie: " + b"x" * 20_000 + b"\r\n\r\n",
        ACCEPT + b"X-Trace: y\r\n" * 500 + b"\r\n",
        ACCEPT + b"X: folded\r\n line\r\nX-\xe9: y\r\nno field\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ACCEPT + b"\r\n",
        ACCEPT.replace(b"\r\n", b"\n") + b"\n",
    ],
    ids=["plain", "a long cookie", "many headers", "odd lines", "hints before it", "bare newlines"],
)
def test_a_handshake_that_a_browser_accepts_is_accepted(response: bytes) -> None:
    with responding(response + b"\x81\x05hello") as (url, _):
        socket_ = WebSocket(url, 5)
        assert socket_.receive(5) == [b"hello"]
        socket_.close()


@pytest.mark.parametrize(
    ("response", "status", "said"),
    [
        (b"HTTP/1.1 403 No\r\n\r\n", 403, "HTTP 403"),  # and the connection stays open
        (b"HTTP/1.1 302 Found\r\nlocation: /login\r\n\r\n", 302, "HTTP 302, Location: /login"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<", 200, "HTTP 200"),
        (b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 0, "missing Sec-WebSocket-Accept"),
        (ACCEPT.replace(b"KEY", b"other") + b"\r\n", 0, "invalid Sec-WebSocket-Accept"),
        (ACCEPT + b"Sec-WebSocket-Extensions: x-other\r\n\r\n", 0, "Unsupported extension"),
        (ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate; x=1\r\n\r\n", 0, "Unsupported extension"),
        (ACCEPT + b"Sec-WebSocket-Protocol: other\r\n\r\n", 0, "no subprotocols supported"),
        (b"HTTP/1.1 99 Odd\r\n\r\n", 0, "expected an HTTP answer"),
        (b"HTTP/1.1 1000 Odd\r\n\r\n", 0, "expected an HTTP answer"),
        (b"SSH-2.0-OpenSSH\r\n", 0, "expected an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000, 0, "expected an HTTP answer"),
    ],
    ids=lambda value: value[:60].decode("ascii", "replace") if isinstance(value, bytes) else None,
)
def test_any_other_response_to_a_handshake_is_reported_at_once(response: bytes, status: int, said: str) -> None:
    with responding(response) as (url, _), pytest.raises(ConnectError, match=said) as caught:
        WebSocket(url, 5)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("cut", "said"), [(b"", "without an answer"), (ACCEPT[:30], "in the middle of b'HTTP/1.1 101")]
)
def test_a_handshake_that_is_cut(cut: bytes, said: str) -> None:
    with responding(cut, closes=True) as (url, _), pytest.raises(ConnectError, match=said) as caught:
        WebSocket(url, 5)
    assert caught.value.status == 0


@pytest.mark.parametrize(
    ("offered", "answer", "selected"),
    [
        (("a", "b"), b"Sec-WebSocket-Protocol: b\r\n", "b"),
        ((), b"", None),
        (("a", "b"), b"", ConnectError),
        (("a", "b"), b"Sec-WebSocket-Protocol: c\r\n", ConnectError),
        (("a", "b"), b"Sec-WebSocket-Protocol: A\r\n", ConnectError),
        (("a", "b"), b"Sec-WebSocket-Protocol: a, b\r\n", ConnectError),
        (("a", "b"), b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n", ConnectError),
        (("a", "b"), b"Sec-WebSocket-Protocol: \r\n", ConnectError),
    ],
    ids=["one of them", "none offered", "none selected", "another", "another case", "both", "twice", "empty"],
)
def test_subprotocols_are_agreed_on_as_in_chrome(
    offered: tuple[str, ...], answer: bytes, selected: str | type[ConnectError] | None
) -> None:
    """Each row is what Chromium 156 did."""
    with responding(ACCEPT + answer + b"\r\n") as (url, requests):
        if selected is ConnectError:
            with pytest.raises(ConnectError) as caught:
                WebSocket(url, 5, subprotocols=offered)
            assert caught.value.status == 0, "it is the target's fault"
        else:
            socket_ = WebSocket(url, 5, subprotocols=offered)
            assert socket_.subprotocol == selected
            socket_.close()
    assert (b"Sec-WebSocket-Protocol: a, b\r\n" in requests[0]) == bool(offered)


@pytest.mark.parametrize("offered", [("secret token",), ("secret", "secret"), ("",)])
def test_a_subprotocol_that_a_browser_refuses_is_not_sent(offered: tuple[str, ...]) -> None:
    with responding(ACCEPT + b"\r\n") as (url, requests):
        with pytest.raises(ConnectError, match="expected subprotocols") as caught:
            WebSocket(url, 5, subprotocols=offered)
        assert requests == []
    assert caught.value.status == -errno.EINVAL
    assert "secret" not in str(caught.value)


def test_a_real_server_selects_a_subprotocol() -> None:
    with server(echo, subprotocols=["v2", "v1"]) as url:
        socket_ = WebSocket(url, 5, subprotocols=["v1", "v0"])
        assert socket_.subprotocol == "v1"
        socket_.close()


def test_compression_is_offered_as_chrome_does_unless_it_is_switched_off() -> None:
    with responding(ACCEPT + b"\r\n") as (url, requests):
        for deflate in (True, False):
            socket_ = WebSocket(url, 5, deflate=deflate)
            assert not socket_.deflate, "the server did not agree"
            socket_.close()
    assert b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" in requests[0]
    assert b"Sec-WebSocket-Extensions" not in requests[1]


def test_messages_are_read_whether_compressed_or_not_once_it_is_agreed_on() -> None:
    packed = zlib.compressobj(wbits=-15)
    first, again = (packed.compress(b"hello") + packed.flush(zlib.Z_SYNC_FLUSH) for _ in range(2))
    frames = b"".join(
        bytes([first_byte, len(data)]) + data
        for first_byte, data in [(0xC1, first[:-4]), (0x81, b"plain"), (0xC2, again[:-4]), (0x82, b"binary")]
    )
    with responding(ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" + frames) as (url, _):
        socket_ = WebSocket(url, 5)
        received: list[bytes] = []
        while len(received) < 4:
            received += socket_.receive(5)
        socket_.close()
    assert received == [b"hello", b"plain", b"hello", b"binary"]


def test_what_unpacks_to_more_than_the_size_limit_is_the_rigs_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_MAX_MESSAGE", 1000)
    packed = zlib.compressobj(wbits=-15)
    data = packed.compress(b"x" * 2000) + packed.flush(zlib.Z_SYNC_FLUSH)
    frame = bytes([0xC1, len(data) - 4]) + data[:-4]
    with responding(ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" + frame) as (url, _):
        socket_ = WebSocket(url, 5)
        with pytest.raises(Closed) as caught:
            socket_.receive(5)
        socket_.close()
    assert caught.value.rig_failed


def test_nothing_after_a_close_frame_is_a_message() -> None:
    frames = b"\x81\x02hi\x88\x02\x03\xe8\x81\x02no\x82\x02no"
    with responding(ACCEPT + b"\r\n" + frames) as (url, _):
        socket_ = WebSocket(url, 5)
        taken: list[bytes] = []
        with pytest.raises(Closed, match="1000"):
            socket_.listen(taken.extend, 5)
        socket_.close()
    assert taken == [b"hi"]


def test_the_headers_and_the_peer_of_an_open_websocket() -> None:
    extra = b"X-Served-By: worker-2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n"
    with responding(ACCEPT + extra + b"\r\n") as (url, _):
        socket_ = WebSocket("ws://chat.test/ws", 5, via=("127.0.0.1", int(url.split(":")[2].split("/")[0])))
        assert socket_.headers.first("x-served-by") == "worker-2"
        assert socket_.headers.every("set-cookie") == ["a=1", "b=2"]
        assert f"ws://{socket_.peer}/chat/ws" == url, "through a proxy, it is the proxy's"
        socket_.close()


def test_the_headers_and_the_peer_of_a_refusal() -> None:
    refusal = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: a=1\r\n\r\n"
    with responding(refusal) as (url, _), pytest.raises(ConnectError) as caught:
        WebSocket(url, 5)
    assert caught.value.headers == (("www-authenticate", "Bearer"), ("set-cookie", "a=1"))
    assert f"ws://{caught.value.peer}/chat/ws" == url


def test_an_ipv6_peer_has_brackets() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectError) as caught:
            WebSocket(f"ws://[::1]:{port}/ws", 0.2)
    assert caught.value.peer == f"[::1]:{port}"


def test_without_a_connection_there_is_no_peer_and_no_header() -> None:
    with server(echo) as url:
        pass
    with pytest.raises(ConnectError) as caught:
        WebSocket(url, 5)
    assert (caught.value.peer, caught.value.headers, caught.value.retry_after) == ("", (), None)


def test_cookies_go_with_the_handshake_and_come_with_any_response_to_it() -> None:
    jar = CookieJar()
    for number, head in enumerate((b"HTTP/1.1 302 X\r\n", b"HTTP/1.1 401 X\r\n", ACCEPT, ACCEPT)):
        with responding(head + b"Set-Cookie: c%d=1; Path=/\r\n\r\n" % number) as (url, requests):
            try:
                WebSocket(url, 5, {"cookie": "own=1"}, cookies=jar).close()
            except ConnectError:
                assert head is not ACCEPT
    assert b"Cookie: own=1; c0=1; c1=1; c2=1\r\n" in requests[0]
    assert requests[0].lower().count(b"cookie:") == 1


def test_a_refused_handshake_has_its_retry_after() -> None:
    with responding(b"HTTP/1.1 429 Slow\r\nRetry-After: 5\r\n\r\n") as (url, _), pytest.raises(ConnectError) as caught:
        WebSocket(url, 5)
    assert (caught.value.status, caught.value.retry_after) == (429, "5")


def test_the_handshake_sends_the_given_headers() -> None:
    with responding(ACCEPT + b"\r\n") as (url, requests):
        WebSocket(url, 5, {"Origin": "https://page.example", "Authorization": "Bearer t"}).close()
    head = requests[0].decode()
    assert head.startswith("GET /chat/ws HTTP/1.1\r\n")
    assert "Origin: https://page.example\r\n" in head
    assert "Authorization: Bearer t\r\n" in head
    assert "Cookie" not in head


def test_a_header_with_a_line_break_is_not_sent() -> None:
    with responding(ACCEPT + b"\r\n") as (url, requests):
        with pytest.raises(ConnectError, match="header Authorization") as caught:
            WebSocket(url, 5, {"Authorization": "secret\r\nX: y"})
        assert requests == []
    assert caught.value.status == -errno.EINVAL
    assert "secret" not in str(caught.value)


def test_a_message_above_the_size_limit_is_the_rigs_failure_and_a_broken_frame_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "_MAX_MESSAGE", 1000)
    for frame, rig_failed in ((b"\x81\x7e\x10\x00" + b"x" * 4096, True), (b"\xff\x00", False)):
        with responding(ACCEPT + b"\r\n" + frame) as (url, _):
            socket_ = WebSocket(url, 5)
            with pytest.raises(Closed) as caught:
                socket_.listen(lambda _: None, 5)
            socket_.close()
        assert (caught.value.code, caught.value.rig_failed) == (1006, rig_failed)


@pytest.mark.parametrize(("number", "rig_failed"), [(errno.ENOMEM, True), (errno.ECONNRESET, False)])
def test_a_read_that_fails_without_memory_is_the_rigs_failure(
    number: int, rig_failed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(number, "oh")

    with responding(ACCEPT + b"\r\n\x81\x05hello") as (url, _):
        socket_ = WebSocket(url, 5)
        assert socket_.receive(5) == [b"hello"]
        monkeypatch.setattr(socket_, "_read", fail)
        socket_._socket.shutdown(socket.SHUT_RD)
        with pytest.raises(Closed, match="oh") as caught:
            socket_.listen(lambda _: None, 5)
        monkeypatch.undo()
        socket_.close()
    assert (caught.value.code, caught.value.rig_failed) == (1006, rig_failed)


def test_running_out_of_open_files_is_a_rig_limit() -> None:
    with responding(ACCEPT + b"\r\n") as (url, _):
        WebSocket(url, 5).close()
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            with pytest.raises(ConnectError) as caught:
                WebSocket(url, 5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert caught.value.status == -errno.EMFILE


@settings(max_examples=30, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda close_idle: ACCEPT + b"\r\n" + close_idle)))
def test_no_bytes_from_a_server_raise_another_error(data: bytes) -> None:
    with responding(data, closes=True) as (url, _):
        try:
            socket_ = WebSocket(url, 5)
        except ConnectError:
            return
        with pytest.raises(Closed):
            socket_.listen(lambda _: None, 5)
        socket_.close()
