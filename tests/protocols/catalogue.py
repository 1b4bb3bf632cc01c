"""For each real server: what its chat promises when all is well, when it is killed or cut, and when it lies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.servers.action_cable import ActionCable
from tests.servers.centrifugo import Centrifugo
from tests.servers.django_channels import DjangoChannels
from tests.servers.graphql_ws import GraphqlWs
from tests.servers.lines import Lines
from tests.servers.python_socketio import PythonSocketio
from tests.servers.rabbitmq import RabbitMq
from tests.servers.server import Server
from tests.servers.socket_io import SocketIo

HERE = Path(__file__).parent
OWN = ("clean", "kill", "cut")
"""The scenarios in this folder; every chat has a row for each."""
SHIPPED = ("kill", "cut", "black-hole", "storm", "slow-reader")
"""Scenarios that come with chatswarm, which run as they are against Socket.IO."""

Expected = Literal["pass", "only gap", "fail"]
"""`only gap`: what was lost was on its way while its dashboard was between two connections, and there was such."""

_LOST: Mapping[Expected, tuple[str, ...]] = {
    "pass": ("lost == 0",),
    "only gap": ("lost == gap", "gap > 0"),
    "fail": (),
}


@dataclass(frozen=True)
class Chat:
    """A server, and the protocol file that is proven against it."""

    server: Server
    protocol: str
    """The name of a shipped one, or of a file in this folder."""
    slower: Mapping[str, str] = field(default_factory=dict)
    """Heartbeats of the client: what stands in the file once, and the shorter duration that a short run needs."""
    rooms: Mapping[str, object] = field(default_factory=lambda: {"count": 4, "members": 5})
    """Of the scenario. Empty: the chat has only one room, with everybody in it."""
    members: int = 5
    """Dashboards that are to show each message."""
    proves: tuple[str, ...] = ()
    """SLOs that hold in each of its rows but the failing ones, and say what can be measured."""

    @property
    def name(self) -> str:
        return self.server.name


@dataclass(frozen=True)
class Row:
    """One run."""

    chat: Chat
    scenario: str
    """One of OWN, or one of SHIPPED."""
    expected: Expected
    defect: str = ""
    """Planted in the server."""
    findings: tuple[str, ...] = ()
    """What a failing verdict must have found, and nothing else."""
    shows: Mapping[str, str] = field(default_factory=dict)
    """What the verdict must also contain: see `tests.resilience.judged.unmet`."""
    each_tenth: Mapping[str, int] = field(default_factory=dict)
    """By finding: how often it must have been found for each tenth accepted message. The servers count them."""
    slos: tuple[str, ...] = ()
    """In addition to the scenario's."""
    swarm: Mapping[str, object] = field(default_factory=dict)
    """Keys of `[swarm]` for this chat."""
    protocol: str = ""
    """In place of the chat's."""
    shipped: bool = False
    """The scenario is chatswarm's own, as it is. It needs the whole machine."""
    why: str = ""
    """What the chat promises, where that is less than everything."""

    @property
    def name(self) -> str:
        return self.defect or (f"shipped {self.scenario}" if self.shipped else self.scenario)

    @property
    def expectations(self) -> list[str]:
        """The SLOs to add to the scenario's."""
        if self.shipped:
            return []
        proves = self.chat.proves if self.expected in ("pass", "only gap") else ()
        everybody = f"expected == {self.chat.members} * accepted"
        return [everybody, *_LOST[self.expected], *proves, *self.slos]

    @property
    def shown(self) -> str:
        """The expected verdict, for people."""
        details = [*self.findings, *self.shows]
        return f"{self.expected}: {', '.join(details)}" if details else self.expected


_STORED = ("store_lost == 0",)

SOCKET_IO = Chat(SocketIo(), "socket.io", rooms={}, members=20, proves=_STORED)
PYTHON_SOCKETIO = Chat(PythonSocketio(), "python-socketio.toml", proves=("leaked == 0",))
CHANNELS = Chat(DjangoChannels(), "django-channels")
GRAPHQL = Chat(GraphqlWs(), "graphql-transport-ws", {'every = "30s"': 'every = "2s"'}, proves=_STORED)
LINES = Chat(Lines(), "lines.toml")
RAILS = Chat(ActionCable(), "action-cable", proves=_STORED)
RABBIT = Chat(
    RabbitMq(),
    "stomp",
    {
        "heart-beat:10000,10000": "heart-beat:2000,2000",
        'every = "8s"': 'every = "1600ms"',
        'dead_after = "30s"': 'dead_after = "6s"',
    },
)
CENTRIFUGO = Chat(Centrifugo(), "centrifugo", proves=_STORED)

CHATS = (SOCKET_IO, PYTHON_SOCKETIO, CHANNELS, GRAPHQL, LINES, RAILS, RABBIT, CENTRIFUGO)

_SLOW_START = {"duration": "26s"}
_NOT_SENT_AGAIN = "nothing is sent again"

ROWS: tuple[Row, ...] = (
    Row(SOCKET_IO, "clean", "pass"),
    Row(SOCKET_IO, "kill", "pass"),
    Row(SOCKET_IO, "cut", "pass"),
    Row(SOCKET_IO, "clean", "fail", "drops-every-tenth", ("lost",), each_tenth={"lost": 20}),
    Row(
        SOCKET_IO, "clean", "fail", "acknowledges-without-storing", ("store_lost", "vanished"),
        each_tenth={"store_lost": 1},
    ),
    Row(PYTHON_SOCKETIO, "clean", "pass"),
    Row(PYTHON_SOCKETIO, "kill", "only gap", why=_NOT_SENT_AGAIN),
    Row(PYTHON_SOCKETIO, "cut", "only gap", why=_NOT_SENT_AGAIN),
    Row(PYTHON_SOCKETIO, "clean", "fail", "drops-every-tenth", ("lost",), each_tenth={"lost": 5}),
    Row(PYTHON_SOCKETIO, "clean", "fail", "leaks-every-tenth", ("leaked",), each_tenth={"leaked": 15}),
    Row(CHANNELS, "clean", "pass"),
    Row(CHANNELS, "kill", "only gap", why=_NOT_SENT_AGAIN),
    Row(CHANNELS, "cut", "only gap", why=_NOT_SENT_AGAIN),
    Row(CHANNELS, "clean", "fail", "drops-every-tenth", ("lost",), each_tenth={"lost": 5}),
    Row(CHANNELS, "clean", "fail", "sends-every-tenth-twice", ("duplicated",)),
    Row(GRAPHQL, "clean", "pass"),
    Row(GRAPHQL, "kill", "only gap", why=_NOT_SENT_AGAIN),
    Row(GRAPHQL, "cut", "only gap", why=_NOT_SENT_AGAIN),
    Row(GRAPHQL, "clean", "fail", "drops-every-tenth", ("lost",), each_tenth={"lost": 5}),
    Row(GRAPHQL, "clean", "fail", "sends-every-tenth-twice", ("duplicated",)),
    Row(LINES, "clean", "pass"),
    Row(LINES, "kill", "only gap", why=_NOT_SENT_AGAIN),
    Row(LINES, "cut", "only gap", why=_NOT_SENT_AGAIN),
    Row(LINES, "clean", "fail", "drops-every-tenth", ("lost",), each_tenth={"lost": 5}),
    Row(
        LINES, "clean", "fail", "forgets-every-tenth", ("store_lost", "vanished"), each_tenth={"store_lost": 1},
        protocol="lines.py:Lines",
    ),
    Row(RAILS, "clean", "pass"),
    Row(RAILS, "kill", "only gap", swarm=_SLOW_START, why=_NOT_SENT_AGAIN),
    Row(RAILS, "cut", "only gap", why=_NOT_SENT_AGAIN),
    Row(
        RAILS, "clean", "fail", "drops-every-tenth", ("refused",), shows={"counts.recovered": "> 0"},
        why="its broadcast is what accepts a send: without it, nobody knows that it was stored",
    ),
    Row(RAILS, "clean", "fail", "forgets-every-tenth", ("store_lost", "vanished")),
    Row(RABBIT, "clean", "pass"),
    Row(RABBIT, "kill", "only gap", swarm=_SLOW_START, why=_NOT_SENT_AGAIN),
    Row(RABBIT, "cut", "only gap", why=_NOT_SENT_AGAIN),
    Row(RABBIT, "clean", "fail", "one-of-many", ("leaked", "lost", "misplaced", "silent_socket")),
    Row(RABBIT, "clean", "fail", "leaks-rooms", ("leaked", "misplaced")),
    Row(CENTRIFUGO, "clean", "pass"),
    Row(
        CENTRIFUGO, "kill", "fail", findings=("store_lost", "vanished"), slos=("lost == gap",),
        why="its history is in memory, and gone with it",
    ),
    Row(CENTRIFUGO, "cut", "pass"),
    Row(CENTRIFUGO, "cut", "only gap", "recovers-nothing", why=_NOT_SENT_AGAIN),
    Row(CENTRIFUGO, "clean", "fail", "loses-every-tenth", ("lost", "store_lost")),
    Row(SOCKET_IO, "kill", "pass", shipped=True),
    Row(SOCKET_IO, "cut", "pass", shipped=True),
    Row(SOCKET_IO, "black-hole", "pass", shipped=True),
    Row(SOCKET_IO, "storm", "pass", shipped=True),
    Row(SOCKET_IO, "slow-reader", "pass", shipped=True),
)  # fmt: skip
