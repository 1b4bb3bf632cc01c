"""Runs one chat on 127.0.0.1 until SIGTERM, or until the pipe closes that the environment names."""

import argparse

from .chat import Settings
from .names import CHATS
from .server import hold_to_lifeline
from .store import Store


def main() -> None:
    """Reads the flags and serves."""
    parser = argparse.ArgumentParser(prog="python -m tests.resilience.chats", description=__doc__)
    parser.add_argument("name", choices=CHATS, metavar="NAME", help=", ".join(CHATS))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", default="", metavar="FILE", help="without: in memory, gone with the process")
    parser.add_argument("--origin", action="append", default=[], help="whose pages may connect besides its own")
    parser.add_argument("--token", default="", help="that dashboards must bear")
    parser.add_argument("--bus", default="", metavar="redis://HOST:PORT", help="for chats of several workers")
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    settings = Settings(
        flags.name, flags.port, flags.database, tuple(flags.origin), flags.token, flags.bus, flags.listener
    )
    hold_to_lifeline()
    CHATS[flags.name](settings, Store(flags.database)).serve()


if __name__ == "__main__":
    main()
