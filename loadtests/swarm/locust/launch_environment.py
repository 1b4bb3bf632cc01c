"""Variables that a process started by `chatswarm run` must not see, because Locust and its libraries read them."""

from collections.abc import MutableMapping

REMOVED: dict[str, str] = {}
"""What this process was started with and has removed: commands that faults run still get it."""

# Read by Locust, gevent, greenlet, prometheus-client and HTTP libraries, or passed by `chatswarm run` as flags.
_FOREIGN = ("LOCUST_", "GEVENT_", "GEVENTARES_", "GREENLET_", "PROMETHEUS_MULTIPROC_DIR", "CHATSWARM_METRICS_")
_PROXY = "_PROXY"


def forget_foreign(environment: MutableMapping[str, str]) -> dict[str, str]:
    """Unsets the variables that are meant for other programs and other Locust tests, and returns them."""
    removed = {}
    for name in list(environment):
        upper = name.upper()
        if upper.startswith(_FOREIGN) or upper.endswith(_PROXY):
            removed[name] = environment.pop(name)
    # Importing Locust opens this file, and fails if it cannot. Our own TLS code reports that earlier.
    keys = environment.get("SSLKEYLOGFILE")
    if keys is not None and not _can_append(keys):
        removed["SSLKEYLOGFILE"] = environment.pop("SSLKEYLOGFILE")
    return removed


def _can_append(path: str) -> bool:
    try:
        with open(path, "ab"):  # noqa: PTH123 - nothing is imported yet that might be patched
            return True
    except OSError:
        return False
