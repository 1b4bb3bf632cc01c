"""The limit of open files, looked at before any load: raised as far as may be, else said."""

import sys
from math import ceil

_SPARE = 40  # files: logs, pipes, the history, the listener of the metrics, whatever a library opens


def needed_files(dashboards: int, widgets: int, processes: int = 1) -> int:
    """How many open files the fullest of these processes needs: two for a dashboard (its socket, its refetches), one
    for a widget.
    """
    return 2 * ceil(dashboards / processes) + ceil(widgets / processes) + _SPARE


def raise_open_files(needed: int) -> str | None:
    """Raises this process's limit to `needed` if it is lower, as far as the hard limit allows.

    Returns None if it is then enough, else a line that says what was needed and what there is. Systems without such a
    limit always have enough.
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
        aim = soft  # macOS has a limit below the hard one that it calls unlimited
    if _at_least(aim, needed):
        return None
    return too_few_files(needed, aim)


def open_files() -> int:
    """How many files this process may open once `raise_open_files` did all it can: the hard limit."""
    try:
        import resource
    except ImportError:
        return sys.maxsize
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def too_few_files(needed: int, got: int) -> str:
    """The line for a process that may open only `got` files."""
    return (
        f"open files: expected a limit of at least {needed} for this many users in one process, got {got} "
        "(raise it with ulimit -n, or use more processes)"
    )


def _at_least(limit: int, needed: int) -> bool:
    import resource

    return limit == resource.RLIM_INFINITY or limit >= needed
