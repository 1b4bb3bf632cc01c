"""Starts to set up the testbed of `chatswarm run` before Locust is imported, as each takes about half a second."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from .arguments import add_arguments
from .options import RefusedOptionsError, read
from .parent_pipes import driven
from .testbed_process import TestbedProcess


def begin(arguments: Sequence[str]) -> TestbedProcess | None:
    """The testbed that these arguments of Locust ask for; None if they do not, or allow no run, as the master will say.

    With a target there is none yet: the master first looks whether it answers.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_arguments(parser)
    parser.add_argument("--host")
    options, _ = parser.parse_known_args(arguments)
    if options.host or not driven():
        return None
    try:
        asked = read(options, None, None, 1.0, {}, driven=True)
        testbed = TestbedProcess(asked.order(str(Path(options.out).resolve())))
    except (RefusedOptionsError, OSError):
        return None
    # Workers are forked from this process. If they had its pipes, too, the testbed would not notice that it has died.
    os.register_at_fork(after_in_child=testbed.disown)
    return testbed
