"""Addresses as Toxiproxy writes them: `host:port`, `[::1]:port`, and `:port` for all interfaces."""

import asyncio
import ipaddress
import os
import re
import socket
from dataclasses import dataclass

from chatswarm.loadtests.net.address import join_host_port

_FORM = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]*)):(\d{1,5})", re.ASCII)
_BACKLOG = 4096  # lets a reconnect storm of dashboards wait in the kernel's queue


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host (a name, an IP address, or empty for all interfaces) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Raises ValueError that says what was expected and what came."""
        match = _FORM.fullmatch(text)
        if match is None or int(match[3]) > 65535:
            raise ValueError(f"expected host:port, such as 127.0.0.1:8000, got {text!r}")
        return cls(match[1] or match[2] or "", int(match[3]))

    async def resolve(self) -> list["ListenAddress"]:
        """The same as IP addresses, IPv4 first. Raises OSError if the name is unknown."""
        if not self.host:
            return [ListenAddress("::" if socket.has_dualstack_ipv6() else "0.0.0.0", self.port)]
        try:
            return [ListenAddress(str(ipaddress.ip_address(self.host)), self.port)]
        except ValueError:
            pass
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        found.sort(key=lambda entry: entry[0] != socket.AF_INET)
        return list(dict.fromkeys(ListenAddress(str(entry[4][0]), self.port) for entry in found))

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


async def listen(address: ListenAddress) -> socket.socket:
    """Opens a non-blocking listening socket. Raises OSError."""
    resolved = (await address.resolve())[0]
    both = resolved.host == "::"
    listener = socket.create_server(
        (resolved.host, resolved.port), family=resolved.family, backlog=_BACKLOG, dualstack_ipv6=both
    )
    listener.setblocking(False)
    return listener


def bound(listener: socket.socket) -> ListenAddress:
    """The address where a socket really listens, with the real port instead of 0."""
    name = listener.getsockname()
    return ListenAddress(str(name[0]), int(name[1]))


def reason(error: OSError) -> str:
    """Why it failed, in the system's words, such as `connection refused`."""
    if isinstance(error, TimeoutError) and not error.errno:
        return "no answer in time"
    if error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()
    return str(error.strerror or error).lower()
