"""The sockets that the backend listens on, bound before anything else starts."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, field
from typing import Final

from .settings import SettingProblem, Settings, SettingsError

PAGES_PORT: Final = 3000
"""Where the guide looks for the pages."""


@dataclass(frozen=True)
class Listeners:
    """Bound sockets. What arrives at `pages` asks for the two pages, all else is the chat's."""

    api: list[socket.socket]
    pages: list[socket.socket] = field(default_factory=list)
    note: str | None = None
    """What somebody should be told who expects the pages where they usually are."""

    @property
    def all(self) -> list[socket.socket]:
        """All of them, the chat's first."""
        return [*self.api, *self.pages]

    @property
    def pages_ports(self) -> frozenset[int]:
        """The ports of the pages."""
        return frozenset(each.getsockname()[1] for each in self.pages)

    def close(self) -> None:
        """Close all of them."""
        for each in self.all:
            each.close()


def bind(settings: Settings) -> Listeners:
    """Sockets bound to the host's addresses; to the first one only where the port is a free one.

    Raises SettingsError if an address cannot be listened on. Only the pages' usual port may be taken: then there are
    no pages, and a note.
    """
    problems: list[SettingProblem] = []
    api: list[socket.socket] = []
    pages: list[socket.socket] = []
    note = None
    try:
        api = _bound(settings.host, settings.port)
    except OSError as error:
        problems.append(_taken("--host, --port", "an address", settings.host, settings.port, error))
    if settings.pages_port is not None:
        port = PAGES_PORT if settings.pages_port == "auto" else settings.pages_port
        try:
            if port and port == settings.port:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            pages = _bound(settings.host, port)
            # At once: of two sockets that are only bound, none would notice the other.
            for each in pages:
                each.listen(128)
        except OSError as error:
            for each in pages:
                each.close()
            pages = []
            problem = _taken("--pages-port", "a port", settings.host, port, error)
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


def _taken(place: str, what: str, host: str, port: int, error: OSError) -> SettingProblem:
    return SettingProblem(place, f"{what} that is free to listen on", f"{host}:{port}: {error.strerror or error}")
