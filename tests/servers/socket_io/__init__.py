"""The chat of Socket.IO's tutorial, with connection state recovery, acknowledgements and stored messages."""

from collections.abc import Mapping
from pathlib import Path

from tests.servers.packages import node, node_version
from tests.servers.server import Server

PING = 2.0
"""Seconds between two pings of the server, and also until it gives up waiting for the answer."""


class SocketIo(Server):
    """One room, and `messages.jsonl`."""

    name = "socket_io"
    defects = (
        "drops-every-tenth",  # lost: acknowledged and stored, but only the sender is sent it
        "acknowledges-without-storing",  # store_lost: every tenth is acknowledged and sent, but nobody finds it later
        "stores-repeats-again",  # duplicated: a send that is repeated with the same offset is stored and sent again
    )

    def version(self) -> str:
        return node_version("socket.io")

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        command, variables = node(Path(__file__).with_name("server.js"))
        return command, {**variables, "PORT": str(port), "DEFECT": defect, "PING_MS": f"{PING * 1000:g}"}
