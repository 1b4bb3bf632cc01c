"""Addresses as Toxiproxy writes them: `host:port`, `[::1]:port`, and `:port` for all interfaces."""

import asyncio
import ipaddress
import os
import re
import socket
from dataclasses import dataclass

_FORM = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]*)):(\d{1,5})", re.ASCII)
_BACKLOG = 4096  # a storm of reconnecting dashboards waits in the kernel's queue


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host (a name, a number, or empty for all interfaces) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Raises ValueError, with what was expected and got."""
        match = _FORM.fullmatch(text)
        if match is None or int(match[3]) > 65535:
            raise ValueError(f"expected host:port, such as 127.0.0.1:8000, got {text!r}")
        return cls(match[1] or match[2] or "", int(match[3]))

    async def resolve(self) -> list["ListenAddress"]:
        """The same as numbers, IPv4 first. Raises OSError if the name is unknown."""
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
    """A listening socket that does not block. Raises OSError."""
    resolved = (await address.resolve())[0]
    both = resolved.host == "::"
    listener = socket.create_server(
        (resolved.host, resolved.port), family=resolved.family, backlog=_BACKLOG, dualstack_ipv6=both
    )
    listener.setblocking(False)
    return listener


def bound(listener: socket.socket) -> ListenAddress:
    """Where a socket really listens, which tells the port where 0 was asked for."""
    name = listener.getsockname()
    return ListenAddress(str(name[0]), int(name[1]))


def reason(error: OSError) -> str:
    """Why it failed, in the system's plain words: `connection refused`."""
    if isinstance(error, TimeoutError) and not error.errno:
        return "no answer in time"
    if error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()
    return str(error.strerror or error).lower()
