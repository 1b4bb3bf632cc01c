"""Looks up request headers in ASGI's representation."""

from __future__ import annotations

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of that name, which must be in lower case, like ASGI's."""
    for key, value in headers:
        if key == name:
            return value
    return None
