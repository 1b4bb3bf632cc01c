"""The sockets that the backend listens on, bound before anything else starts."""

from __future__ import annotations

import socket

from chatswarm.backend.settings import Problem, Settings, SettingsError


def bind(settings: Settings) -> list[socket.socket]:
    """Sockets bound to the host's addresses; to the first one only where the port is a free one.

    Raises SettingsError if the address cannot be listened on.
    """
    listeners: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found[: None if settings.port else 1]:
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
    except OSError as error:
        for listener in listeners:
            listener.close()
        got = f"{settings.host}:{settings.port}: {error.strerror or error}"
        raise SettingsError([Problem("--host, --port", "an address that is free to listen on", got)]) from None
    return listeners
