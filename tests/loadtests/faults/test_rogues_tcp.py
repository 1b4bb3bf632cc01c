"""A rogue's TCP connection: whatever is cancelled, no byte is lost in either direction."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from chatswarm.loadtests.faults.rogues.tcp import TcpConnection


@contextmanager
def _connected() -> Iterator[tuple[TcpConnection, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield TcpConnection(ours), theirs


async def _cancel_when_ready(work: Coroutine[Any, Any, object], make_ready: Callable[[], object]) -> None:
    """Cancels `work` in the very turn of the loop in which it would have gone on."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    make_ready()
    # The loop looks at its sockets first, and then at its timers.
    asyncio.get_running_loop().call_later(0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_read_leaves_the_bytes_to_the_next() -> None:
    async def main() -> None:
        with _connected() as (connection, peer):
            await _cancel_when_ready(connection.read(), lambda: peer.send(b"one"))
            peer.send(b"two")
            assert await connection.read() == b"onetwo"
            assert connection.received == 6

    asyncio.run(main())


def test_the_rest_of_a_cancelled_write_comes_first() -> None:
    async def main() -> None:
        with _connected() as (connection, peer):
            received = b""
            sent = bytes(range(256)) * 10_000
            await _cancel_when_ready(connection.write(sent), lambda: None)
            task = asyncio.create_task(connection.write(b"end"))
            while not received.endswith(b"end"):
                received += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 1 << 16), 20)
            await task
            assert received == sent + b"end"

    asyncio.run(main())


def test_cancelled_reads_and_writes_under_tls() -> None:
    """Both sides go through TLS, which fails at the first byte that is missing."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    sent = bytes(range(256)) * 5_000

    async def main() -> None:
        with _connected() as (connection, theirs):
            streams = asyncio.create_task(_serve(theirs, context))
            await connection.encrypt(trusting, "localhost")
            reader, writer = await streams
            await _cancel_when_ready(connection.write(sent), lambda: None)
            writing = asyncio.create_task(connection.write(b"end"))
            assert await asyncio.wait_for(reader.readexactly(len(sent) + 3), 20) == sent + b"end"
            await writing
            writer.write(sent + b"end")
            received = b""
            while not received.endswith(b"end"):
                reading = asyncio.create_task(connection.read(3000))
                await asyncio.sleep(0)
                reading.cancel()
                data = (await asyncio.gather(reading, return_exceptions=True))[0]
                received += data if isinstance(data, bytes) else b""
            assert received == sent + b"end"
            writer.transport.abort()

    asyncio.run(asyncio.wait_for(main(), 30))


async def _serve(sock: socket.socket, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=context)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
