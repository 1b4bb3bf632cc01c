"""Binds the listening sockets before anything else starts."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, field
from typing import Final

from .settings import SettingProblem, Settings, SettingsError

PAGES_PORT: Final = 3000
"""The port on which the guide expects the pages."""


@dataclass(frozen=True)
class Listeners:
    """Bound sockets: requests to `pages` are for the two pages, requests to `api` for the chat."""

    api: list[socket.socket]
    pages: list[socket.socket] = field(default_factory=list)
    note: str | None = None
    """Why the pages are not on their usual port, for a warning; None if they are."""

    @property
    def all(self) -> list[socket.socket]:
        """All sockets, the chat's first."""
        return [*self.api, *self.pages]

    @property
    def pages_ports(self) -> frozenset[int]:
        """The ports of the pages."""
        return frozenset(each.getsockname()[1] for each in self.pages)

    def close(self) -> None:
        """Close all sockets."""
        for each in self.all:
            each.close()


def bind(settings: Settings) -> Listeners:
    """Sockets bound to the host's addresses; for port 0, to the first address only.

    Raises SettingsError if an address cannot be listened on. Only the pages' default port may be taken: then the pages
    are left out, with a note.
    """
    problems: list[SettingProblem] = []
    api: list[socket.socket] = []
    pages: list[socket.socket] = []
    note = None
    try:
        api = _bound(settings.host, settings.port)
    except OSError as error:
        problems.append(_unavailable("--host, --port", "an address", settings.host, settings.port, error))
    if settings.pages_port is not None:
        port = PAGES_PORT if settings.pages_port == "auto" else settings.pages_port
        try:
            if port and port == settings.port:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            pages = _bound(settings.host, port)
            # Immediately: two sockets that are only bound would not notice each other.
            for each in pages:
                each.listen(128)
        except OSError as error:
            for each in pages:
                each.close()
            pages = []
            problem = _unavailable("--pages-port", "a port", settings.host, port, error)
            if settings.pages_port == "auto":
                note = f"{problem}; the pages are left out (choose another port with --pages-port, or off)"
            else:
                problems.append(problem)
    listeners = Listeners(api, pages, note)
    if problems:
        listeners.close()
        raise SettingsError(problems)
    return listeners


def _bound(host: str, port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found[: None if port else 1]:
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _unavailable(where: str, what: str, host: str, port: int, error: OSError) -> SettingProblem:
    return SettingProblem(where, f"{what} that is free to listen on", f"{host}:{port}: {error.strerror or error}")
