"""Runs one chat until SIGTERM, or until the lifeline in its environment closes."""

import argparse

from .chat import Settings
from .names import CHATS, PUSH_CHATS
from .pushing import serve
from .server import exit_with_parent
from .store import Store


def main() -> None:
    """Reads the flags and serves."""
    parser = argparse.ArgumentParser(prog="python -m tests.resilience.chats", description=__doc__)
    parser.add_argument("name", choices=(*CHATS, *PUSH_CHATS), metavar="NAME", help=", ".join((*CHATS, *PUSH_CHATS)))
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", default="", metavar="FILE", help="default: in memory")
    parser.add_argument("--origin", action="append", default=[], help="another origin whose pages may connect")
    parser.add_argument("--token", default="", help="the token that dashboards need")
    parser.add_argument("--bus", default="", metavar="redis://HOST:PORT", help="for chats with several workers")
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    settings = Settings(
        name=flags.name,
        port=flags.port,
        host=flags.host,
        database=flags.database,
        origins=tuple(flags.origin),
        token=flags.token,
        bus=flags.bus,
        listener=flags.listener,
    )
    exit_with_parent()
    if flags.name in PUSH_CHATS:
        serve(PUSH_CHATS[flags.name](), flags.host, flags.port)
        return
    CHATS[flags.name](settings, Store(flags.database)).serve()


if __name__ == "__main__":
    main()
