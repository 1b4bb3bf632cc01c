"""`python -m chatswarm.loadtests.faults.proxy`: run the fault proxy until SIGTERM, Ctrl-C, or its parent's end.

Exit codes: 0 after a clean stop, 2 for wrong flags or an API port that is taken.
"""

import argparse
import contextlib
import logging
import os
import resource
import sys

from chatswarm.loadtests.system.children import LIFELINE

from .address import ListenAddress

_USAGE = 2


def main() -> int:
    """Read the flags and serve. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    flags = _flags()
    try:
        api = ListenAddress.parse(flags.api)
    except ValueError as error:
        print(f"--api: {error}", file=sys.stderr)
        return _USAGE
    try:
        lifeline = None if flags.lifeline_fd is None else _pipe_descriptor(flags.lifeline_fd)
    except ValueError as error:
        print(f"--lifeline-fd: {error}", file=sys.stderr)
        return _USAGE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(
        ValueError, OSError
    ):  # two files per connection, and a connection flood is one of the faults
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20), hard)
        )
    # The heavy imports come last, so that a wrong flag is reported at once.
    from .server import CannotServeError, run

    try:
        run(api, lifeline, flags.seed)
    except CannotServeError as error:
        print(f"--api: {error}", file=sys.stderr)
        return _USAGE
    return 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chatswarm.loadtests.faults.proxy",
        description="A TCP proxy that injects faults, with Toxiproxy's HTTP API.",
    )
    parser.add_argument("--api", default="127.0.0.1:8474", metavar="HOST:PORT", help="where its HTTP API listens")
    parser.add_argument(
        "--lifeline-fd",
        default=os.environ.get(LIFELINE),
        metavar="N",
        help=f"a pipe's read end; the proxy exits when it closes (default: ${LIFELINE})",
    )
    parser.add_argument("--seed", type=int, help="seeds the random numbers for toxicity, jitter and slices")
    return parser.parse_args()


def _pipe_descriptor(text: str) -> int:
    """Raises ValueError unless it is the number of an open file."""
    try:
        number = int(text)
        os.fstat(number)
    except (ValueError, OSError):
        raise ValueError(f"expected the number of an open pipe, got {text!r}") from None
    return number


if __name__ == "__main__":
    sys.exit(main())
