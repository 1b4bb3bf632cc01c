"""One proxy: its listening address, upstream, toxics and connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import random
import socket
from dataclasses import asdict

from .active_toxic import STREAMS, ActiveToxic
from .address import ListenAddress, bound, listen, reason
from .connection import Connection
from .errors import cannot_listen, toxic_exists, toxic_not_found
from .evidence import ProxyEvidence
from .timers import LoopTimers

_CONNECT_TIMEOUT = 10.0  # seconds
_ACCEPT_BATCH = 64  # connections accepted at once; a limit, so that a connection storm does not stall the others' data
_ACCEPT_BACKOFF = 0.2  # seconds without accepting after running out of files or memory
_KEPT_REMOVED = 1000  # removed toxics whose evidence is kept
# Bytes, which the kernel doubles. Its default would take megabytes that the receiver does not read.
_KERNEL_BUFFER = 256 << 10

_log = logging.getLogger(__name__)


class Proxy:
    """One listening address in front of one upstream. Callers must not overlap calls; the API's lock prevents it."""

    def __init__(self, name: str, address: ListenAddress, upstream: ListenAddress, rng: random.Random) -> None:
        self.name = name
        self.address = address  # once it has been enabled, where it really listens
        self.upstream = upstream
        self.evidence = ProxyEvidence()
        self._rng = rng
        self._timers = LoopTimers(asyncio.get_running_loop())
        self._listener: socket.socket | None = None
        self._toxics: dict[str, list[ActiveToxic]] = {stream: [] for stream in STREAMS}
        self._removed: list[ActiveToxic] = []
        self._connections: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def enabled(self) -> bool:
        return self._listener is not None

    @property
    def toxics(self) -> list[ActiveToxic]:
        return [toxic for stream in STREAMS for toxic in self._toxics[stream]]

    async def start(self) -> None:
        """Accept connections. Raises ApiError if the address is not free."""
        if self._listener is not None:
            return
        try:
            listener = await listen(self.address)
        except OSError as error:
            raise cannot_listen(self.name, str(self.address), reason(error)) from None
        _limit_buffers(listener)
        self._listener = listener
        self.address = bound(listener)
        asyncio.get_running_loop().add_reader(listener, self._accept)
        _log.info("proxy %s: %s -> %s", self.name, self.address, self.upstream)

    def stop(self) -> None:
        """Refuse new connections and cut the open ones."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        for task in self._connecting:
            task.cancel()
        for connection in list(self._connections):
            if connection.links and connection.cut(reset=False):
                self.evidence.connections_cut += 1
            connection.abort(reset=False, swallowed=True)
        _log.info("proxy %s: down", self.name)

    async def differs(self, address: ListenAddress, upstream: ListenAddress) -> bool:
        """Whether it would have to restart for this address and upstream. Raises ApiError if the host is unknown."""
        try:
            resolved = (await address.resolve())[0]
        except OSError as error:
            raise cannot_listen(self.name, str(address), reason(error)) from None
        return upstream != self.upstream or self.address not in (address, resolved)

    async def update(self, address: ListenAddress, upstream: ListenAddress, *, enabled: bool) -> None:
        """Change its settings. As in Toxiproxy, a new address or upstream cuts all connections. Raises ApiError."""
        if await self.differs(address, upstream):
            self.stop()
            self.address, self.upstream = address, upstream
        if enabled:
            await self.start()
        else:
            self.stop()

    def toxic(self, name: str) -> ActiveToxic:
        """The toxic of that name. Raises ApiError if there is none."""
        for toxic in self.toxics:
            if toxic.name == name:
                return toxic
        raise toxic_not_found(name, [toxic.name for toxic in self.toxics])

    def add(self, toxic: ActiveToxic) -> None:
        """Apply a toxic, also to open connections. Raises ApiError if its name is taken."""
        if any(other.name == toxic.name for other in self.toxics):
            raise toxic_exists(toxic.name)
        self._toxics[toxic.stream].append(toxic)
        for connection in self._joined():
            connection.links[toxic.stream].add(toxic)

    def update_toxic(self, toxic: ActiveToxic) -> None:
        """Apply a toxic's changed attributes or toxicity to open connections."""
        for connection in self._joined():
            connection.links[toxic.stream].change(toxic)

    def remove(self, toxic: ActiveToxic) -> None:
        """Remove a toxic, also from open connections. Its evidence is kept."""
        self._toxics[toxic.stream].remove(toxic)
        for connection in self._joined():
            connection.links[toxic.stream].remove(toxic)
        toxic.evidence.active = False
        self._removed = [*self._removed[1 - _KEPT_REMOVED :], toxic]

    def reset(self) -> None:
        """Remove all toxics."""
        for toxic in self.toxics:
            self.remove(toxic)

    def as_json(self) -> dict[str, object]:
        """As in the API's responses."""
        return {
            "name": self.name,
            "listen": str(self.address),
            "upstream": str(self.upstream),
            "enabled": self.enabled,
            "toxics": [toxic.as_json() for toxic in self.toxics],
        }

    def report(self) -> dict[str, object]:
        """The evidence of the proxy and its toxics, the removed ones first."""
        self.evidence.connections_open = len(self._connections)
        toxics = [{**toxic.as_json(), **asdict(toxic.evidence)} for toxic in [*self._removed, *self.toxics]]
        return {"name": self.name, "enabled": self.enabled, **asdict(self.evidence), "toxics": toxics}

    def _joined(self) -> list[Connection]:
        return [connection for connection in self._connections if connection.links]

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPT_BATCH):
            if self._listener is None:
                return
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ECONNABORTED:
                    continue
                _log.warning("proxy %s: cannot accept for now: %s", self.name, reason(error))
                loop.remove_reader(self._listener)
                loop.call_later(_ACCEPT_BACKOFF, self._accept_again, self._listener)
                return
            client.setblocking(False)
            self.evidence.connections_accepted += 1
            task = loop.create_task(self._join(client))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _accept_again(self, listener: socket.socket) -> None:
        if self._listener is listener:
            asyncio.get_running_loop().add_reader(listener, self._accept)

    async def _join(self, client: socket.socket) -> None:
        """Connect a client to the upstream, and start the connection."""
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        upstream: socket.socket | None = None
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                upstream = await self._dial()
            connection = Connection(self.evidence, self._timers, self._connections.discard)
            self._connections.add(connection)
            sides = connection
            await loop.create_connection(lambda: sides.upstream, sock=upstream)
            await loop.connect_accepted_socket(lambda: sides.client, client)
            connection.start(self._toxics, self._rng)
        except (OSError, asyncio.CancelledError) as error:
            self.evidence.connections_refused += 1
            if upstream is None and isinstance(error, OSError):
                self._count_upstream_failure(error)
            if connection is not None:
                connection.abort(reset=False, swallowed=True)
                self._connections.discard(connection)
            if upstream is not None:
                upstream.close()
            client.close()
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _dial(self) -> socket.socket:
        failure = OSError(errno.EADDRNOTAVAIL, "no address")
        for address in await self.upstream.resolve():
            sock = socket.socket(address.family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                _limit_buffers(sock)
                await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return sock
        raise failure

    def _count_upstream_failure(self, error: OSError) -> None:
        problem = f"upstream {self.upstream}: expected a connection, got: {reason(error)}"
        self.evidence.upstream_failures += 1
        if problem != self.evidence.last_upstream_failure:  # a series of equal failures is logged once
            _log.warning("proxy %s: %s", self.name, problem)
        self.evidence.last_upstream_failure = problem


def _limit_buffers(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
