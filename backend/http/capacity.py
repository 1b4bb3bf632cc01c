"""How many connections fit into the open files that the process may have: a pure decision."""

from __future__ import annotations

from typing import Final, NamedTuple

RESERVED: Final = 64
"""Open files for everything but connections: database, listeners, logs, the loop's own."""

_HTTP_AT_LEAST: Final = 1000


class Capacity(NamedTuple):
    """Connections at once. `dashboards` and `http` may come to more than `total`, which holds for both together."""

    total: int
    dashboards: int
    http: int


def share(files: int, max_connections: int, max_http: int | None) -> Capacity:
    """The room in `files` open files for so many dashboards and HTTP connections; None: for about as many of each.

    However many dashboards are asked for, an eighth is left to HTTP, so that the list can be read.
    """
    total = files - min(RESERVED, files // 2)
    if max_http is None:
        max_http = max(max_connections, _HTTP_AT_LEAST)
    return Capacity(total, min(max_connections, total - total // 8), min(max_http, total))
