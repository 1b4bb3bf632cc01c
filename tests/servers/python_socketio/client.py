"""A raw member of a room of the python-socketio chat."""

from typing import Any

from tests.servers.client import EngineIoClient


class PythonSocketioClient(EngineIoClient):
    """Its first event joins the room."""

    def connected(self) -> None:
        self.emit("join", {"room": self.room})

    def say(self, text: str) -> None:
        self.emit("message", {"room": self.room, "text": text})

    def event(self, name: str, arguments: list[Any]) -> None:
        if name == "message":
            self.texts.put(arguments[0]["text"])

    def answered(self, call: int) -> None:
        (self.acknowledged if call else self.joined).put(None)
