"""A client of Toxiproxy's HTTP API, which drives both our fault proxy and a real Toxiproxy."""

import ipaddress
import json
import os
import re
import socket
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from chatswarm.loadtests.net.address import Address, join_host_port, parse_address, split_host_port
from chatswarm.loadtests.net.dialing import Dialer, DialError, SocketAddress, proxy_note, request_target, seconds_left
from chatswarm.loadtests.net.reachability import tcp_problem
from chatswarm.loadtests.net.responses import Reader, read_body, read_head
from chatswarm.loadtests.system.text import one_line

from .error import FaultError

_TIMEOUT = 5.0  # seconds
_MAX_RESPONSE = 16 << 20  # bytes
_DEFAULT_PORT = 8474


@dataclass(frozen=True, slots=True)
class ProxyLag:
    """How well the proxy's process kept up: `samples` of (when its loop woke, how late); cores used until `time`."""

    samples: list[tuple[float, float]]
    time: float
    cpu: float


class Toxiproxy:
    """The API at a URL. Every call raises FaultError unless it gets the expected response. Thread-safe."""

    def __init__(self, url: str) -> None:
        """`url`: a base URL like a target's; https and a path are allowed. Without a port, http means 8474, and https
        means 443, because Toxiproxy itself speaks no TLS: a reverse proxy in front of it does.
        """
        address = _address(url)
        self.url = address.url
        self._dialer = Dialer(address)
        self._place: SocketAddress | None = None
        self._addresses: dict[str, tuple[str, int]] = {}  # where each proxy listens
        version = self._call("GET", "/version")
        # Older versions respond in plain text.
        self.version = str(version["version"] if isinstance(version, dict) else version).strip()
        if not re.match(r"v?\d+\.", self.version):
            raise FaultError(f"{self.url}/version: expected Toxiproxy's version, got {self.version[:60]!r}")
        self.has_evidence = self.version.endswith("+chatswarm")

    def create(self, name: str, upstream: str, listen: str = "") -> tuple[str, int]:
        """Creates a proxy to `upstream` (host:port). Returns the address at which this host reaches it.

        It listens on `listen`. By default, on loopback only if Toxiproxy itself is there, else on all addresses.
        """
        assert self._place is not None, "set by the request for the version"
        host = self._place.ip
        number = ipaddress.ip_address(host)
        everywhere = "0.0.0.0" if number.version == 4 else "::"
        place = listen or (str(number) if number.is_loopback else everywhere)
        made = self._call("POST", "/proxies", {"name": name, "listen": join_host_port(place, 0), "upstream": upstream})
        reached = host if place in ("0.0.0.0", "::") else place
        address = reached, split_host_port(str(made["listen"]))[1]
        self._addresses[name] = address
        return address

    def enable(self, name: str, enabled: bool) -> None:
        """Enables a proxy, or disables it, which cuts open connections and refuses new ones."""
        self._call("POST", self._path(name), {"enabled": enabled})

    def add(
        self, proxy: str, toxic: str, kind: str, *, stream: str, toxicity: float, attributes: dict[str, int]
    ) -> None:
        """Applies a toxic to the proxy's connections, including open ones."""
        body = {"name": toxic, "type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        self._call("POST", f"{self._path(proxy)}/toxics", body)

    def remove(self, proxy: str, toxic: str) -> None:
        self._call("DELETE", f"{self._path(proxy)}/toxics/{quote(toxic, safe='')}")

    def toxics(self, proxy: str) -> list[str]:
        """The names of a proxy's current toxics."""
        return [toxic["name"] for toxic in self._call("GET", f"{self._path(proxy)}/toxics")]

    def refuses(self, proxy: str) -> bool:
        """Whether the proxy's address refuses connections."""
        return tcp_problem(*self._addresses[proxy], _TIMEOUT) is not None

    def evidence(self, proxy: str) -> dict[str, Any]:
        """Counters of what the proxy and its toxics did. Only our own proxy has them."""
        return dict(self._call("GET", f"{self._path(proxy)}/evidence"))

    def lag(self) -> ProxyLag:
        """The lag since the last call. Only our own proxy reports it."""
        found = self._call("GET", "/lag")
        return ProxyLag([(time, lag) for time, lag in found["samples"]], found["time"], found["cpu"])

    def proxy_url(self, proxy: str) -> str:
        """The URL for deleting a proxy. If the API's host has several addresses, this is the one that created it."""
        address = self._dialer.address
        if not address.secure and self._place is not None and len(self._dialer.addresses(time.monotonic(), 0)) > 1:
            address = replace(address, host=self._place.ip)
        return address.url + self._path(proxy)

    @staticmethod
    def _path(proxy: str) -> str:
        return f"/proxies/{quote(proxy, safe='')}"

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        deadline = time.monotonic() + _TIMEOUT
        try:
            status, data = self._request(method, path, b"" if body is None else json.dumps(body).encode(), deadline)
        except (DialError, OSError, ValueError) as error:
            got = one_line(str(error)) or type(error).__name__
            note = proxy_note(self._dialer.address.secure, os.environ) if isinstance(error, DialError) else ""
            raise FaultError(f"{self.url}{path}: expected Toxiproxy's API, got {got}{note}") from error
        if not 200 <= status < 300:
            detail = one_line(data[:300].decode(errors="replace"))
            raise FaultError(f"{self.url}{path}: expected a 2xx for {method}, got {status}: {detail}")
        try:
            return json.loads(data) if data else None
        except (ValueError, RecursionError):
            return data.decode(errors="replace")

    def _request(self, method: str, path: str, body: bytes, deadline: float) -> tuple[int, bytes]:
        address = self._dialer.address
        # Toxiproxy refuses User-Agents that look like a browser's.
        head = (
            f"{method} {request_target(address, path)} HTTP/1.1\r\nHost: {address.authority}\r\n"
            f"User-Agent: chatswarm\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with self._connected(deadline) as sock:
            sock.settimeout(seconds_left(deadline))
            sock.sendall(head.encode() + body)
            reader = Reader(sock, deadline)
            response = read_head(reader)
            return response.status, read_body(reader, response, _MAX_RESPONSE)

    def _connected(self, deadline: float) -> socket.socket:
        """Connects to the same address each time: another address of the name may be another Toxiproxy."""
        if self._place is not None:
            return self._dialer.encrypted(self._dialer.connected(self._place, deadline), deadline)
        sock = self._dialer.open(deadline)
        peer = sock.getpeername()[0]
        self._place = next(place for place in self._dialer.addresses(deadline, 0) if place.sockaddr[0] == peer)
        return sock


def _address(url: str) -> Address:
    try:
        return parse_address(url, http_port=_DEFAULT_PORT)
    except ValueError as error:
        got = str(error).partition(", got ")[2]
        raise FaultError(f"expected the URL of Toxiproxy's API, such as http://127.0.0.1:8474, got {got}") from None
