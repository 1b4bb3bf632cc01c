"""Looks up request headers in ASGI's representation."""

from __future__ import annotations

import re
from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.DOTALL)


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first header of that name, which must be in lower case, like ASGI's."""
    for key, value in headers:
        if key == name:
            return value
    return None


def trace_id(headers: Headers) -> str | None:
    """The trace id of a request: 32 hexadecimal digits. None without a valid W3C `traceparent`."""
    given = [value for key, value in headers if key == b"traceparent"]
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return None
    version, trace, parent, further = found.groups()
    # Only a later version may have more fields, and no version is ff. An id of zeros is none.
    if (
        version == b"ff"
        or (version == b"00" and further is not None)
        or not trace.strip(b"0")
        or not parent.strip(b"0")
    ):
        return None
    return str(trace, "ascii")
