"""Starts Centrifugo: dashboards subscribe to one channel, and a widget publishes through its HTTP API."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chatswarm.loadtests.system.children import free_port
from tests.bench.chat_servers import ChatServer, process
from tests.bench.driver import Wire, client_frame, handshake, post
from tests.bench.opponents.install import go_program

_MODULE, _VERSION = "github.com/centrifugal/centrifugo/v6", "6.9.1"
# Without the flag it would not know its version.
_FLAGS = ("-ldflags", f"-X {_MODULE}/internal/build.Version={_VERSION}")
_KEY = "for the publisher of the bench"
_CHANNEL = "chat:updates"
_MARK = "|"
"""Several announcements may share a frame, so each has this character."""


@contextmanager
def centrifugo() -> Iterator[ChatServer]:
    """Centrifugo without a history. Raises NotMeasuredError."""
    program, port = go_program(_MODULE, _VERSION, _FLAGS), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "centrifugo.json"
        config.write_text(json.dumps(_config(port)), encoding="utf-8")
        with process([str(program), "--config", str(config)], port) as pid:
            yield ChatServer(pid, port, _wire())


def centrifugo_versions() -> Mapping[str, str]:
    """Its version. Raises NotMeasuredError."""
    program = go_program(_MODULE, _VERSION, _FLAGS)
    said = subprocess.run([str(program), "version"], capture_output=True, text=True, check=True).stdout
    return {"Centrifugo": said.split()[1].removeprefix("v")}


def _config(port: int) -> Mapping[str, object]:
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "http_api": {"key": _KEY},
        "client": {"insecure": True, "ping_interval": "300s", "pong_timeout": "60s"},
        "channel": {"namespaces": [{"name": "chat", "allow_subscribe_for_client": True}]},
        "usage_stats": {"disabled": True},
        "log": {"level": "warn"},
    }


def _wire() -> Wire:
    steps = [
        (handshake("/connection/websocket"), b"101 "),
        (client_frame(b'{"id": 1, "connect": {}}'), b'"connect"'),
        (client_frame(b'{"id": 2, "subscribe": {"channel": "%s"}}' % _CHANNEL.encode()), b'"subscribe"'),
    ]
    # As long as an announcement of the reference chat.
    data = {
        "type": "chat_message_notification",
        "chat_id": "00000000-0000-0000-0000-000000000000",
        "message_role": "user",
        "timestamp": f"2026-01-31T12:00:00.000000Z{_MARK}",
        "message_id": 1000,
    }
    body = json.dumps({"channel": _CHANNEL, "data": data}, separators=(",", ":")).encode()
    return Wire(steps, ord(_MARK), post("/api/publish", body, [f"X-API-Key: {_KEY}"]))
