"""Runs Locust's main for `chatswarm run`, configured by its command line alone.

A team's locust.conf, `[tool.locust]`, `LOCUST_…` and modules in the working folder are for the team's own tests: each
would silently change what is measured here. With `locust -f` they apply as always.
"""

import os
import sys
from collections.abc import MutableMapping
from typing import Any

# Read by Locust, gevent, greenlet, prometheus-client and HTTP libraries, or passed by `chatswarm run` as flags.
_FOREIGN = ("LOCUST_", "GEVENT_", "GEVENTARES_", "GREENLET_", "PROMETHEUS_MULTIPROC_DIR", "CHATSWARM_METRICS_")
_PROXY = "_PROXY"


def forget_foreign(environment: MutableMapping[str, str]) -> None:
    """Unsets the variables that are meant for other programs and other Locust tests."""
    for name in list(environment):
        upper = name.upper()
        if upper.startswith(_FOREIGN) or upper.endswith(_PROXY):
            del environment[name]
    # Importing Locust opens this file, and fails if it cannot. Our own TLS code reports that earlier.
    keys = environment.get("SSLKEYLOGFILE")
    if keys is not None and not _can_append(keys):
        del environment["SSLKEYLOGFILE"]


def _can_append(path: str) -> bool:
    try:
        with open(path, "ab"):  # noqa: PTH123 - nothing is imported yet that might be patched
            return True
    except OSError:
        return False


def main() -> None:
    """Runs Locust by its command line alone."""
    forget_foreign(os.environ)
    # Not earlier, and before anything else: importing Locust patches the process.
    import locust.main
    from locust import argument_parser

    make = argument_parser.get_empty_argument_parser

    def without_files(add_help: bool = True, **_: object) -> Any:  # noqa: ANN401 - Locust's own
        return make(add_help, default_config_files=())

    def load(_path: str) -> tuple[dict[str, Any], list[Any]]:
        # Locust's own loader would put the working folder at the front of sys.path.
        from locust import events

        from chatswarm.loadtests.swarm.locust.setup import register
        from chatswarm.loadtests.swarm.users import DashboardUser, WidgetUser

        register(events)
        return {user.__name__: user for user in (DashboardUser, WidgetUser)}, []

    replaced: dict[Any, dict[str, object]] = {
        argument_parser: {"get_empty_argument_parser": without_files},
        # Locust would split a path with a comma into two locustfiles.
        locust.main: {"load_locustfile": load, "get_locustfiles_locally": lambda options: [options.locustfile]},
    }
    for module, names in replaced.items():
        for name, new in names.items():
            assert hasattr(module, name), f"Locust {locust.__version__} has no {module.__name__}.{name}"
            setattr(module, name, new)
    sys.exit(locust.main.main())


if __name__ == "__main__":
    main()
