"""The headers of a request, as ASGI has them."""

from __future__ import annotations

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of that name, which must be in lower case, as ASGI's are."""
    for key, value in headers:
        if key == name:
            return value
    return None
