"""A real-time messaging server as a chat: Centrifugo, which clients listen to and a backend publishes through."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from chatswarm.loadtests.system.children import free_port
from tests.servers.server import BUILT, Server, UnavailableError

_PROGRAM = BUILT / "go" / "centrifugo"
_HMAC_KEY = "for the tokens of tests"
_API_KEY = "for the publishers of tests"
_BEHIND_PROXY = """\
"$PYTHON" "$PROXY" "$@" &
exec "$CENTRIFUGO" --config centrifugo.json
"""


class Centrifugo(Server):
    """JSON at `/connection/websocket`, the HTTP API at `/api`; a room is the channel `chat:ROOM`.

    Whoever comes back names the last offset and epoch, and gets what was missed. The history is in memory: after a
    kill it is empty and has another epoch, and the answer to a recovery lacks `"recovered": true`. So what was
    published before the kill and not delivered yet is lost, as is the history of what was.

    `recovers-nothing`: the history is kept, but who comes back gets nothing of it. `keeps-nothing`: there is no history
    either. `loses-every-tenth`: every tenth message of a channel that is published through the API is acknowledged and
    thrown away: neither delivered nor kept.
    """

    name = "centrifugo"
    defects = ("recovers-nothing", "keeps-nothing", "loses-every-tenth")

    def version(self) -> str:
        if not _PROGRAM.exists():
            raise UnavailableError("there is no Centrifugo: install Go and run make all-servers")
        said = subprocess.run([_PROGRAM, "version"], capture_output=True, text=True, check=True).stdout
        return " ".join(said.split()[:2])

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        inner = free_port() if defect == "loses-every-tenth" else port
        (folder / "centrifugo.json").write_text(json.dumps(_config(inner, defect), indent=2), encoding="utf-8")
        if defect != "loses-every-tenth":
            return [str(_PROGRAM), "--config", "centrifugo.json"], {}
        return ["sh", "-c", _BEHIND_PROXY, "lossy", str(port), str(inner)], {
            "PYTHON": sys.executable,
            "PROXY": str(Path(__file__).with_name("lossy.py")),
            "CENTRIFUGO": str(_PROGRAM),
        }

    def environment(self) -> Mapping[str, str]:
        return {"CENTRIFUGO_HMAC_KEY": _HMAC_KEY, "CENTRIFUGO_API_KEY": _API_KEY}


def _config(port: int, defect: str) -> Mapping[str, object]:
    keeps = defect != "keeps-nothing"
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "http_api": {"key": _API_KEY},
        "client": {
            "token": {"hmac_secret_key": _HMAC_KEY},
            "ping_interval": "2s",
            "pong_timeout": "1s",
            # The default, 300, is fewer than a swarm misses in a cut.
            "recovery_max_publication_limit": 100_000,
        },
        "channel": {
            "namespaces": [
                {
                    "name": "chat",
                    "history_size": 100_000 if keeps else 0,
                    "history_ttl": "1h" if keeps else "0s",
                    "force_recovery": keeps and defect != "recovers-nothing",
                    "allow_subscribe_for_client": True,
                    "allow_publish_for_subscriber": True,
                    "allow_history_for_subscriber": True,
                }
            ]
        },
        "usage_stats": {"disabled": True},
        "log": {"level": "warn"},
    }
