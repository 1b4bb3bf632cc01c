"""`python -m chatswarm.loadtests.swarm.locust.launch`: Locust's own main for `chatswarm run`, by its flags alone.

A team's locust.conf, `[tool.locust]`, `LOCUST_…` and modules in the working folder are meant for the team's own tests:
each would change what is measured here without a word. For `locust -f` they hold as always.
"""

import os
import sys
from collections.abc import MutableMapping
from typing import Any

# Read by Locust, gevent, greenlet, prometheus-client and HTTP libraries; and what `chatswarm run` gives as flags.
_FOREIGN = ("LOCUST_", "GEVENT_", "GEVENTARES_", "GREENLET_", "PROMETHEUS_MULTIPROC_DIR", "CHATSWARM_METRICS_")
_PROXY = "_PROXY"


def forget_foreign(environment: MutableMapping[str, str]) -> None:
    """Unsets what is meant for other programs, and for Locust tests of others."""
    for name in list(environment):
        upper = name.upper()
        if upper.startswith(_FOREIGN) or upper.endswith(_PROXY):
            del environment[name]
    # Importing Locust opens this file, and fails where that cannot be. What speaks TLS here says so by itself, before.
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
    """Runs Locust by the command line alone."""
    forget_foreign(os.environ)
    # Only now, and before all else: importing it patches the process.
    import locust.main
    from locust import argument_parser

    make = argument_parser.get_empty_argument_parser

    def without_files(add_help: bool = True, **_: object) -> Any:  # noqa: ANN401 - Locust's own
        return make(add_help, default_config_files=())

    def load(_path: str) -> tuple[dict[str, Any], list[Any]]:
        # Locust's way would put the working folder in front of all modules.
        from locust import events

        from chatswarm.loadtests.swarm.locust.worker import wire
        from chatswarm.loadtests.swarm.users import DashboardUser, WidgetUser

        wire(events)
        return {user.__name__: user for user in (DashboardUser, WidgetUser)}, []

    replaced: dict[Any, dict[str, object]] = {
        argument_parser: {"get_empty_argument_parser": without_files},
        # A comma in the path would be two locustfiles.
        locust.main: {"load_locustfile": load, "get_locustfiles_locally": lambda options: [options.locustfile]},
    }
    for module, names in replaced.items():
        for name, new in names.items():
            assert hasattr(module, name), f"Locust {locust.__version__} has no {module.__name__}.{name}"
            setattr(module, name, new)
    sys.exit(locust.main.main())


if __name__ == "__main__":
    main()
