"""The limit on open files: how many a swarm needs, and raising the limit before any load."""

import sys
from math import ceil

_SPARE = 40  # files: logs, pipes, the history, the metrics listener, whatever libraries open


def needed_files(dashboards: int, widgets: int, processes: int = 1) -> int:
    """How many open files the busiest process needs: two per dashboard (WebSocket and refetches), one per widget."""
    return 2 * ceil(dashboards / processes) + ceil(widgets / processes) + _SPARE


def raise_open_files(needed: int) -> str | None:
    """Raises this process's limit to `needed` if it is lower, as far as the hard limit allows.

    Returns None if the limit is then sufficient, otherwise a line that says what is needed and what the limit is.
    Systems without such a limit always suffice.
    """
    try:
        import resource
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _at_least(soft, needed):
        return None
    aim = needed if _at_least(hard, needed) else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (aim, hard))
    except (OSError, ValueError):
        aim = soft  # macOS calls the hard limit unlimited, but enforces a lower one
    if _at_least(aim, needed):
        return None
    return too_few_files(needed, aim)


def open_files() -> int:
    """How many files this process may open after `raise_open_files` has done all it can: the hard limit."""
    try:
        import resource
    except ImportError:
        return sys.maxsize
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def too_few_files(needed: int, got: int) -> str:
    """The message for a process that may open only `got` files."""
    return (
        f"open files: expected a limit of at least {needed} for this many users in one process, got {got} "
        "(raise it with ulimit -n, or use more processes)"
    )


def _at_least(limit: int, needed: int) -> bool:
    import resource

    return limit == resource.RLIM_INFINITY or limit >= needed
