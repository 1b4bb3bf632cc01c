"""A raw member of a room on Centrifugo: it listens on a WebSocket, and publishes through the HTTP API."""

import base64
import hashlib
import hmac
import itertools
import json
import urllib.request
from collections.abc import Mapping
from queue import Queue
from typing import Any

from tests.servers.client import PATIENCE, Client

Position = tuple[int, str]
"""An offset and its epoch."""


def token(key: str, user: str) -> str:
    """A JSON Web Token that never expires."""
    head = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": user}))
    return f"{head}.{_base64(hmac.digest(key.encode(), head.encode(), hashlib.sha256))}"


def api(base_url: str, secrets: Mapping[str, str], method: str, parameters: Mapping[str, object]) -> Any:
    """What the HTTP API answers."""
    headers = {"X-API-Key": secrets["CENTRIFUGO_API_KEY"], "Content-Type": "application/json"}
    request = urllib.request.Request(f"{base_url}/api/{method}", json.dumps(parameters).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.loads(response.read())


def stored(base_url: str, secrets: Mapping[str, str], room: str, limit: int = 100) -> list[str]:
    """All texts in the history of a room, asked for in pages of `limit`."""
    texts: list[str] = []
    position: Position = (0, "")
    while True:
        since = {"offset": position[0], "epoch": position[1]}
        answer = api(base_url, secrets, "history", {"channel": f"chat:{room}", "limit": limit, "since": since})
        page = answer["result"]["publications"]
        if not page:
            return texts
        texts += [publication["data"]["text"] for publication in page]
        position = (page[-1]["offset"], answer["result"]["epoch"])


class CentrifugoClient(Client):
    """A member of a room, who comes back to where `since` says, if it is given."""

    def __init__(self, base_url: str, secrets: Mapping[str, str], room: str, since: Position | None = None) -> None:
        self._base_url = base_url
        self._secrets = secrets
        self._ids = itertools.count(1)
        self._since = since
        self.position: Position = (0, "")
        """Of the last message that came."""
        self.recovered: Queue[bool] = Queue()
        """Whether everything since `since` came, from the answer to the subscription."""
        super().__init__(base_url, room, "/connection/websocket")

    def join(self) -> None:
        self._command("connect", {"token": token(self._secrets["CENTRIFUGO_HMAC_KEY"], "somebody")})

    def say(self, text: str) -> None:
        answer = api(self._base_url, self._secrets, "publish", {"channel": f"chat:{self.room}", "data": {"text": text}})
        assert "result" in answer, answer
        self.acknowledged.put(None)

    def hear(self, frame: str) -> None:
        for line in frame.splitlines():
            match json.loads(line):
                case {"push": {"pub": publication}}:
                    self._take(publication)
                case {"connect": _}:
                    again = {"recover": True, "offset": self._since[0], "epoch": self._since[1]} if self._since else {}
                    self._command("subscribe", {"channel": f"chat:{self.room}", **again})
                case {"subscribe": answer}:
                    self.position = (answer.get("offset", 0), answer.get("epoch", ""))
                    for publication in answer.get("publications", []):
                        self._take(publication)
                    self.recovered.put(answer.get("recovered", False))
                    self.joined.put(None)
                case {"error": error}:
                    raise AssertionError(error)
                case nothing if not nothing:
                    self.put("{}")

    def _take(self, publication: Any) -> None:
        self.position = (publication.get("offset", 0), self.position[1])
        self.texts.put(publication["data"]["text"])

    def _command(self, name: str, parameters: Mapping[str, object]) -> None:
        self.put(json.dumps({"id": next(self._ids), name: parameters}))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
