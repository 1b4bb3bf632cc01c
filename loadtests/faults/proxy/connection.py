"""A connection through the proxy: two sockets, and a pipeline in each direction."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from .active_toxic import ActiveToxic
from .evidence import ProxyEvidence
from .link import Link
from .timers import Timers
from .toxics.toxic import End

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing discards unsent bytes and sends an RST


class SocketProtocol(asyncio.Protocol):
    """One of the two sockets. Before the connection starts it holds back its data: at most one read, and an end."""

    transport: asyncio.Transport
    incoming: Link | None = None  # the pipeline that it feeds
    outgoing: Link | None = None  # the pipeline that writes to it

    def __init__(self, connection: Connection) -> None:
        self.lost = False
        self._connection = connection
        self._made = False
        self._paused = False
        self._early: list[bytes | End] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._made = True

    def start(self) -> None:
        """Both pipelines exist: let the data flow."""
        assert self.incoming is not None
        early, self._early = self._early, []
        self.pause(False)
        for item in early:
            if isinstance(item, bytes):
                self.incoming.feed(item)
            else:
                self.incoming.feed_end(item)

    def data_received(self, data: bytes) -> None:
        if self.incoming is not None:
            self.incoming.feed(data)
        else:
            self._early.append(data)
            self.pause(True)

    def eof_received(self) -> bool:
        if self.incoming is not None:
            self.incoming.feed_end(End.HALF)
        else:
            self._early.append(End.HALF)
        return True  # keeps the other direction open

    def pause_writing(self) -> None:
        if self.outgoing is not None:
            self.outgoing.receiver_full(True)

    def resume_writing(self) -> None:
        if self.outgoing is not None:
            self.outgoing.receiver_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._connection.side_lost(self, broken=exc is not None)

    @property
    def open(self) -> bool:
        return self._made and not self.lost and not self.transport.is_closing()

    def pause(self, paused: bool) -> None:
        """Stop or resume reading."""
        if paused != self._paused and self.open and not (self.incoming and self.incoming.sender_ended):
            self._paused = paused
            if paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def close(self) -> None:
        """Close once everything is written."""
        if self.open:
            self.transport.close()

    def abort(self, *, reset: bool) -> None:
        """Close at once, with `reset` by an RST."""
        if self._made and not self.lost:
            if reset:
                sock: socket.socket | None = self.transport.get_extra_info("socket")
                if sock is not None:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()


class _SocketEndpoints:
    """Both sockets, as the pipeline from `sender` to `receiver` sees them."""

    def __init__(self, connection: Connection, sender: SocketProtocol, receiver: SocketProtocol) -> None:
        self._connection = connection
        self._sender = sender
        self._receiver = receiver

    def write(self, data: bytes) -> None:
        if self._receiver.open:
            self._receiver.transport.write(data)

    def finish(self, end: End) -> None:
        if end is End.RESET:
            self._connection.abort(reset=True, swallowed=False)
            return
        if end is End.HALF:
            if self._receiver.open:
                self._receiver.transport.write_eof()
        else:
            self._receiver.close()
            if self._receiver.incoming is not None:  # what it sent before is still delivered
                self._receiver.incoming.feed_end(End.CLOSE)
        self._connection.settle()

    def pause(self, paused: bool) -> None:
        self._sender.pause(paused)

    def cut(self, *, reset: bool) -> bool:
        return self._connection.cut(reset=reset)


class Connection:
    """Joins a client to the upstream. Calls `closed` once, when both sockets are closed."""

    def __init__(self, evidence: ProxyEvidence, timers: Timers, closed: Callable[[Connection], None]) -> None:
        self.client = SocketProtocol(self)
        self.upstream = SocketProtocol(self)
        self.links: Mapping[str, Link] = {}
        self._evidence = evidence
        self._timers = timers
        self._closed = closed
        self._cut = False

    def start(self, toxics: Mapping[str, Iterable[ActiveToxic]], rng: random.Random) -> None:
        """Both sockets are connected: create the pipelines and start."""
        client, upstream = self.client, self.upstream

        def link(stream: str, sender: SocketProtocol, receiver: SocketProtocol) -> Link:
            sender.incoming = receiver.outgoing = Link(
                _SocketEndpoints(self, sender, receiver), toxics[stream], self._evidence, self._timers, rng
            )
            return sender.incoming

        self.links = {
            "upstream": link("upstream", client, upstream),
            "downstream": link("downstream", upstream, client),
        }
        for side in (client, upstream):
            side.start()
            if side.lost:
                self.side_lost(side, broken=True)

    def cut(self, *, reset: bool) -> bool:
        """A fault ends the connection, with `reset` at once. False if a fault had already ended it."""
        first, self._cut = not self._cut, True
        if reset:
            self.abort(reset=True, swallowed=True)
        return first

    def abort(self, *, reset: bool, swallowed: bool) -> None:
        """Close both sockets at once. `swallowed`: the proxy is the cause, so lost bytes count as swallowed."""
        for link in self.links.values():
            link.abort(swallowed=swallowed)
        for side in (self.client, self.upstream):
            side.abort(reset=reset)

    def settle(self) -> None:
        """Close both sockets once both directions have ended."""
        if all(link.ended for link in self.links.values()):
            self.client.close()
            self.upstream.close()

    def side_lost(self, side: SocketProtocol, *, broken: bool) -> None:
        """A socket is closed. What it sent is still delivered; what was meant for it is lost."""
        if side.incoming is not None and side.outgoing is not None:
            had_half_closed = side.incoming.sender_ended
            side.incoming.feed_end(End.RESET if broken else End.CLOSE)
            side.outgoing.abort(swallowed=False)
            if broken and had_half_closed and side.incoming.ended:
                # It broke after its half-close: the other side must not mistake that for an orderly end.
                self.abort(reset=True, swallowed=False)
            else:
                self.settle()
        if self.client.lost and self.upstream.lost:
            self._closed(self)
