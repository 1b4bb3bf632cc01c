"""Starts a fault proxy in a separate process, and gives tests both ends of the connections through it."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE = 20.0
"""Seconds that anything may take on a busy machine before a test gives up."""

AWHILE = 0.15
"""Seconds to wait before concluding that nothing happens."""

COMMAND = [sys.executable, "-m", "chatswarm.loadtests.faults.proxy"]

_names = (f"proxy-{number}" for number in itertools.count())


@dataclass
class FaultProxy:
    """The fault proxy's process and API."""

    process: subprocess.Popen[str]
    api: str
    http: httpx.Client

    def request(self, method: str, path: str, body: object = None) -> httpx.Response:
        return self.http.request(method, path, json=body)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Makes a request that must succeed. Returns the decoded body."""
        response = self.request(method, path, body)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    @contextmanager
    def in_front(self) -> Iterator[Proxied]:
        """A proxy in front of a listener that belongs to the test."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            upstream = f"127.0.0.1:{listener.getsockname()[1]}"
            created = self.ask("POST", "/proxies", {"name": next(_names), "upstream": upstream})
            proxied = Proxied(self, created["name"], port_of(created["listen"]), listener)
            try:
                yield proxied
            finally:
                proxied.close()
                with contextlib.suppress(httpx.TransportError):  # the test may have stopped the process
                    self.request("DELETE", f"/proxies/{proxied.name}")


@dataclass
class Proxied:
    """One proxy, the listener behind it, and the connections through it."""

    fault_proxy: FaultProxy
    name: str
    port: int
    listener: socket.socket
    sockets: list[socket.socket] = field(default_factory=list)

    def dial(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets.append(client)
        return client

    def accept(self) -> socket.socket:
        server, _ = self.listener.accept()
        server.settimeout(PATIENCE)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets.append(server)
        return server

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Opens a connection that has already carried bytes. Returns the client's and the server's end."""
        client, server = self.dial(), self.accept()
        client.sendall(b"?")
        assert server.recv(1) == b"?"
        server.sendall(b"!")
        assert client.recv(1) == b"!"
        return client, server

    def add(self, kind: str, stream: str = "downstream", *, toxicity: float = 1.0, **attributes: int) -> str:
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        name: str = self.ask("POST", "/toxics", body)["name"]
        return name

    def change(self, toxic: str, **body: object) -> None:
        self.ask("PATCH", f"/toxics/{toxic}", body)

    def remove(self, toxic: str) -> None:
        self.ask("DELETE", f"/toxics/{toxic}")

    def enable(self, enabled: bool) -> None:
        self.ask("PATCH", "", {"enabled": enabled})

    def evidence(self) -> dict[str, Any]:
        report: dict[str, Any] = self.ask("GET", "/evidence")
        return report

    def toxic_evidence(self, toxic: str) -> dict[str, Any]:
        found: dict[str, Any] = next(entry for entry in self.evidence()["toxics"] if entry["name"] == toxic)
        return found

    def ask(self, method: str, path: str, body: object = None) -> Any:
        return self.fault_proxy.ask(method, f"/proxies/{self.name}{path}", body)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


@contextmanager
def fault_proxy(*flags: str, fds: tuple[int, ...] = (), **environment: str) -> Iterator[FaultProxy]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATSWARM_")}
    with subprocess.Popen(
        [*COMMAND, "--api", "127.0.0.1:0", *flags],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=fds,
        env={**clean, **environment},
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            assert url.startswith("http://"), "it did not start"
            with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as http:
                yield FaultProxy(process, url.removeprefix("http://"), http)
        finally:
            process.kill()


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def read(sock: socket.socket, count: int) -> bytes:
    """Reads exactly `count` bytes, or fewer if the connection ends."""
    data = bytearray()
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return bytes(data)


def read_all(sock: socket.socket) -> bytes:
    """Reads to the end, which may be a reset."""
    data = bytearray()
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return bytes(data)


def silent(sock: socket.socket) -> bool:
    """Whether nothing arrives for a while, neither bytes nor an end."""
    return not select.select([sock], [], [], AWHILE)[0]


def was_reset(sock: socket.socket) -> bool:
    """Whether the connection ends with an RST."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def reset(sock: socket.socket) -> None:
    """Closes with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def fill(sock: socket.socket, limit: int) -> int:
    """Sends until the other side accepts no more, or up to `limit` bytes. Returns the number of bytes sent."""
    sock.setblocking(False)
    sent = 0
    block = bytes(65536)
    while sent < limit and select.select([], [sock], [], AWHILE)[1]:
        sent += sock.send(block)
    sock.settimeout(PATIENCE)
    return sent


def until(ready: Callable[[], bool]) -> None:
    """Polls until `ready` returns true."""
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)
