"""The limit of open files, looked at before any load: raised as far as may be, else said."""

import math
import resource

_DASHBOARD, _WIDGET = 2, 1  # a dashboard has its socket and its refetches' connection
_OTHERS = 40  # files, pipes and sockets of the process itself


def needed_files(dashboards: int, widgets: int, processes: int = 1) -> int:
    """The open files that the fullest process of a swarm needs."""
    return _DASHBOARD * math.ceil(dashboards / processes) + _WIDGET * math.ceil(widgets / processes) + _OTHERS


def raise_open_files(needed: int) -> str | None:
    """Raises this process's limit, which its children inherit, to `needed`. Returns why it cannot be, in one line."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError):
        return (
            f"open files: expected a limit of at least {needed:,} for a process of this swarm (2 a dashboard, "
            f"1 a widget, {_OTHERS} for itself), got {hard:,}: raise it (ulimit -n), or take more --processes"
        )
    return None
