"""A raw member of the Socket.IO tutorial's chat."""

import uuid
from typing import Any

from tests.servers.client import EngineIoClient


class SocketIoClient(EngineIoClient):
    """There is one room, and each new member is sent all that is stored."""

    auth = '{"serverOffset":0}'

    def connected(self) -> None:
        self.joined.put(None)

    def say(self, text: str) -> None:
        self.say_as(text, str(uuid.uuid4()))

    def say_as(self, text: str, offset: str) -> None:
        """Sends a message with a chosen offset, which makes it the same message as another with that offset."""
        self.emit("chat message", text, offset)

    def event(self, name: str, arguments: list[Any]) -> None:
        if name == "chat message":
            self.texts.put(arguments[0])

    def answered(self, call: int) -> None:
        self.acknowledged.put(None)


def stored(base_url: str, room: str) -> list[str]:
    """All messages: what a new member is sent before its own first message, which is stored, too."""
    with SocketIoClient(base_url, room) as client:
        last = f"end {uuid.uuid4()}"
        client.send(last)
        return [text for text in client.texts_until(last) if not text.startswith("end ")]
