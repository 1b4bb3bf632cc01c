"""Chats whose frames carry texts, in ways that the reference chat has not: frames of each connection's own, and TLS."""

import asyncio
import itertools
import json
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from tests.bench.swarm_run import TargetChat, reference_chat
from tests.plants.push import PushChat
from tests.plants.push.chat import Post, PushSocket
from tests.plants.wire import Server, serving

_WATCHER = "watcher"


@dataclass
class NumberingChat(PushChat):
    """Says something in each of its rooms at a rate, to all who are there.

    Every frame ends with the number of its connection and its own number there, so no two frames are the same. Users
    whose names begin with `watcher` get the frames of all rooms, or of a lobby if there are none, without joining any.
    """

    rate: float = 50  # messages per second
    frames: int = 0  # that were sent with messages
    _talking: "asyncio.Task[None] | None" = None

    async def converse(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._talking is None:
            self._talking = asyncio.create_task(self._talk())
        await super().converse(stream, writer)

    async def _talk(self) -> None:
        clock = asyncio.get_running_loop().time
        begun = clock()
        for number in itertools.count():
            for room in self.rooms or ["lobby"]:
                self.announce(self.numbered("somebody", room, f"{number:0100}"))
            await asyncio.sleep(begun + (number + 1) / self.rate - clock())

    def announce(self, post: Post) -> None:
        same = json.dumps(self.frame(post))[:-1].encode()
        for socket in self.joined(post.room):
            socket.due += 1
            self.frames += 1
            data = b'%b, "connection": %d, "seq": %d}' % (same, socket.number, socket.due)
            # Past the protocol, which would cost this server more than k6 needs for the frame.
            socket.writer.write(b"\x81\x7e%b%b" % (len(data).to_bytes(2, "big"), data))

    def joined(self, room: str) -> list[PushSocket]:
        return [socket for socket in self.sockets if room in socket.joined or socket.user.startswith(_WATCHER)]


@contextmanager
def serving_in_thread(chat: NumberingChat) -> Iterator[TargetChat]:
    """Serves the chat in a thread of this process."""
    with serving(chat) as url:
        yield TargetChat(url, os.getpid(), lambda: sum(1 for socket in chat.sockets if socket.user))


@dataclass
class Relay(Server):
    """Passes bytes on to a server and back."""

    port: int

    async def converse(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(_pass_on(stream, there[1]), _pass_on(there[0], writer))
        finally:
            there[1].close()


async def _pass_on(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await stream.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def relayed_push_chat(*, tls: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """The reference push chat behind a relay, which speaks TLS or not. Yields its URL, and the variables by which it is
    trusted.
    """
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with tempfile.TemporaryDirectory() as folder, reference_chat({"push": True}) as chat:
        file = Path(folder) / "authority.pem"
        authority.cert_pem.write_to_path(str(file))
        port = urlsplit(chat.url).port
        assert port is not None
        with serving(Relay(port), context if tls else None) as url:
            yield url, {"SSL_CERT_FILE": str(file)}
