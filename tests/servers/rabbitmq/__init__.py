"""A message broker as a chat: RabbitMQ with STOMP over WebSockets."""

import contextlib
import json
import random
from collections.abc import Mapping
from pathlib import Path

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from chatswarm.loadtests.system.children import free_port
from tests.servers.server import BUILT, Server, UnavailableError

from .client import CONNECT, STOMP, url

_USR = BUILT / "rabbitmq" / "usr"
_CONFIG = """\
listeners.tcp = none
stomp.listeners.tcp = none
web_stomp.tcp.listener = 127.0.0.1:{port}
load_definitions = {definitions}
log.console = true
log.console.level = warning
log.file = false
"""
# The defects publish to `rooms` instead of the broker's own topic exchange.
_EXCHANGE = {"one-of-many": "x-random", "leaks-rooms": "fanout"}
_START = """\
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
# Without it, erl would start one as a daemon, which nobody would end.
until epmd -names >/dev/null 2>&1; do sleep 0.01; done
exec erl "$@"
"""


class RabbitMq(Server):
    """STOMP 1.2 at `/ws`; a room is the destination `/topic/ROOM`. User and password are `guest`.

    A message goes to those who are subscribed at that moment. None is stored, so what was not delivered before a kill
    or a cut is lost. A SEND with a `receipt` is acknowledged once the message is in all subscribers' queues.

    `one-of-many`: each message goes to one subscriber at random, of whatever room. `leaks-rooms`: each goes to all
    subscribers of all rooms.
    """

    name = "rabbitmq"
    defects = ("one-of-many", "leaks-rooms")
    patience = 60.0

    def version(self) -> str:
        for path in _USR.glob("lib/rabbitmq/lib/rabbitmq_server-*"):
            return f"RabbitMQ {path.name.rpartition('-')[2]}"
        raise UnavailableError("there is no RabbitMQ: run make all-servers")

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        (home,) = _USR.glob("lib/rabbitmq/lib/rabbitmq_server-*")
        (code,) = home.glob("plugins/rabbit-*/ebin")
        plugins = "rabbitmq_web_stomp, rabbitmq_random_exchange"
        (folder / "enabled_plugins").write_text(f"[{plugins}].\n", encoding="utf-8")
        (folder / "definitions.json").write_text(json.dumps(_definitions(defect)), encoding="utf-8")
        (folder / "rabbitmq.conf").write_text(
            _CONFIG.format(port=port, definitions=folder / "definitions.json"), encoding="utf-8"
        )
        exchange = "rooms" if defect else "amq.topic"
        (folder / "advanced.config").write_text(
            f'[{{rabbitmq_stomp, [{{default_topic_exchange, <<"{exchange}">>}}]}}].\n', encoding="utf-8"
        )
        loopback = ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
        start = ["-noinput", "-boot", "start_sasl", "-pa", str(code), "-s", "rabbit", "boot"]
        # The rest is what Debian's script gives, which would stay between us and the broker.
        return ["sh", "-c", _START, "erl", *start, *loopback, "+W", "w", "+sbwt", "none", "+B", "i"], {
            "PATH": f"{_USR / 'lib/erlang/bin'}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": ":".join(map(str, _USR.glob("lib/*-linux-*"))),
            "ERL_LIBS": str(home / "plugins"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(_port()),
            "ERL_MAX_PORTS": "65536",
            # For Erlang's cookie.
            "HOME": str(folder),
            # RabbitMQ also keeps whatever no variable below places.
            "SYS_PREFIX": str(folder),
            "RABBITMQ_HOME": str(home),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(home / "plugins"),
        }

    def problem(self, base_url: str) -> str | None:
        # The port is open before the broker lets anybody in: it then answers `ERROR` and `Processing error`.
        return super().problem(base_url) or _refusal(base_url)


def _port() -> int:
    """A free port that no client is given, because it must still be free when the broker has got that far."""
    while True:
        with contextlib.suppress(OSError):
            return free_port(port=random.randrange(15_000, 32_000))


def _refusal(base_url: str) -> str | None:
    try:
        with connect(url(base_url), subprotocols=[STOMP], open_timeout=1, close_timeout=1, proxy=None) as socket:
            socket.send(CONNECT)
            answer = str(socket.recv(5))
    except (OSError, WebSocketException) as error:
        return f"expected CONNECTED, got {error!r}"
    return None if answer.startswith("CONNECTED") else f"expected CONNECTED, got {answer!r}"


def _definitions(defect: str) -> Mapping[str, object]:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    exchange = {
        "name": "rooms",
        "vhost": "/",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }
    return {
        "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": "guest", "vhost": "/", **everything}],
        "exchanges": [{**exchange, "type": _EXCHANGE[defect]}] if defect else [],
    }
