"""A raw member of a room on RabbitMQ: STOMP 1.2, one frame or more in each of the WebSocket's."""

import itertools
from typing import NamedTuple

from websockets.typing import Subprotocol

from tests.servers.client import Client

STOMP = Subprotocol("v12.stomp")
_PATH = "/ws"


class Frame(NamedTuple):
    """A frame of STOMP."""

    command: str
    headers: dict[str, str]
    body: str


def framed(command: str, headers: dict[str, str], body: str = "") -> str:
    """A frame as text."""
    return "\n".join([command, *(f"{name}:{value}" for name, value in headers.items())]) + f"\n\n{body}\0"


def frames(text: str) -> list[Frame]:
    """The frames in a text; a heart-beat, an empty line, is none."""
    found = []
    for one in text.split("\0"):
        head, _, body = one.lstrip("\n").partition("\n\n")
        command, *lines = head.split("\n")
        if command:
            found.append(Frame(command, dict(line.split(":", 1) for line in lines), body))
    return found


CONNECT = framed("CONNECT", {"accept-version": "1.2", "host": "/", "login": "guest", "passcode": "guest"})


def subscribe(room: str) -> str:
    """Asks for a room, and for the receipt `joined`."""
    return framed("SUBSCRIBE", {"id": "0", "destination": f"/topic/{room}", "ack": "auto", "receipt": "joined"})


def url(base_url: str) -> str:
    """The WebSocket's."""
    return base_url.replace("http", "ws", 1) + _PATH


class RabbitMqClient(Client):
    """Each message asks for a receipt."""

    def __init__(self, base_url: str, room: str) -> None:
        self._receipts = itertools.count(1)
        super().__init__(base_url, room, _PATH, STOMP)

    def join(self) -> None:
        self.put(CONNECT)

    def say(self, text: str) -> None:
        headers = {"destination": f"/topic/{self.room}", "receipt": f"message-{next(self._receipts)}"}
        self.put(framed("SEND", headers, text))

    def hear(self, frame: str) -> None:
        for one in frames(frame):
            match one.command:
                case "CONNECTED":
                    self.put(subscribe(self.room))
                case "RECEIPT" if one.headers["receipt-id"] == "joined":
                    self.joined.put(None)
                case "RECEIPT":
                    self.acknowledged.put(None)
                case "MESSAGE":
                    self.texts.put(one.body)
