"""A chat over GraphQL subscriptions, by the packages graphql-ws, ws and graphql."""

from collections.abc import Mapping
from pathlib import Path

from tests.servers.packages import node, node_version
from tests.servers.server import Server

KEEP_ALIVE = 2.0
"""Seconds between two WebSocket pings of the server."""


class GraphqlWs(Server):
    """Rooms, and `messages.jsonl`. The path is /graphql for HTTP and for sockets."""

    name = "graphql_ws"
    defects = (
        "drops-every-tenth",  # lost: acknowledged and stored, but only the sender's socket is sent it
        "sends-every-tenth-twice",  # duplicated: every subscription is sent it twice, with the same id
    )

    def version(self) -> str:
        return f"{node_version('graphql-ws')}, {node_version('ws')}, {node_version('graphql')}"

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        command, variables = node(Path(__file__).with_name("server.js"))
        return command, {**variables, "PORT": str(port), "DEFECT": defect, "KEEP_ALIVE_MS": f"{KEEP_ALIVE * 1000:g}"}
