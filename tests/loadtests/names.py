"""Names that stand for addresses of the tests' choice."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest


def names(monkeypatch: pytest.MonkeyPatch, known: Mapping[str, Sequence[str]]) -> None:
    """Has the resolver of this process know these names as well, with their addresses in this order."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **named: Any) -> list[Any]:
        if host not in known:
            return real(host, port, *more, **named)
        return [entry for address in known[host] for entry in real(address, port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
