"""Decides how many connections fit into the process's limit on open files."""

from __future__ import annotations

from typing import Final, NamedTuple

RESERVED: Final = 64
"""Open files reserved for database, listeners, logs and the event loop."""

_HTTP_AT_LEAST: Final = 1000


class Capacity(NamedTuple):
    """Limits on concurrent connections. `dashboards` + `http` may exceed `total`, which limits both together."""

    total: int
    dashboards: int
    http: int


def allocate(files: int, max_connections: int, max_http: int | None) -> Capacity:
    """Divide `files` open files between dashboards and HTTP connections. `max_http` None: about as many as dashboards.

    An eighth is always reserved for HTTP, so that the list can be read at any number of dashboards.
    """
    total = files - min(RESERVED, files // 2)
    if max_http is None:
        max_http = max(max_connections, _HTTP_AT_LEAST)
    return Capacity(total, min(max_connections, total - total // 8), min(max_http, total))
