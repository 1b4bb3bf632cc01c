"""Runs Locust's main for `chatswarm run`, configured by its command line alone.

A team's locust.conf, `[tool.locust]`, `LOCUST_…` and modules in the working folder are for the team's own tests: each
would silently change what is measured here. With `locust -f` they apply as always.
"""

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from chatswarm.loadtests.swarm.locust.launch_environment import REMOVED, forget_foreign

if TYPE_CHECKING:
    from chatswarm.loadtests.swarm.locust.testbed_process import TestbedProcess


def main() -> NoReturn:
    """Runs Locust by its command line alone, with a testbed that is set up while Locust is imported."""
    REMOVED.update(forget_foreign(os.environ))
    # While all that is made is kept, the collector would only look through it again and again.
    gc.disable()
    # Not earlier, and before anything else. Locust would do it as well, but takes longer to import.
    from gevent import monkey

    # Interrupted half-way, Python would wait for its own main thread when it exits.
    held = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    monkey.patch_all()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
    from chatswarm.loadtests.swarm.locust.early_testbed import begin

    testbed = begin(sys.argv[1:])
    try:
        _run_locust(testbed)
    finally:
        if testbed is not None:
            # A second Ctrl-C must not leave it behind.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            testbed.kill()


def _run_locust(testbed: "TestbedProcess | None") -> NoReturn:
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

        register(events, testbed)
        gc.enable()
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
