"""A raw member of a room of the chat of plain lines."""

import itertools
from urllib.parse import quote

from tests.servers.client import Client, fetched

_NUMBERS = itertools.count(1)


class LinesClient(Client):
    """Its own message is its acknowledgement."""

    def __init__(self, base_url: str, room: str) -> None:
        self.user = f"user{next(_NUMBERS)}"
        super().__init__(base_url, room, "/chat")

    def join(self) -> None:
        self.put(f"JOIN|{self.room}|{self.user}")

    def say(self, text: str) -> None:
        self.put(f"SAY|{self.room}|{self.user}|{text}")

    def hear(self, frame: str) -> None:
        match frame.split("|", 3):
            case ["OK", self.room, self.user]:
                self.joined.put(None)
            case ["MSG", self.room, user, text]:
                self.texts.put(text)
                if user == self.user:
                    self.acknowledged.put(None)


def stored(base_url: str, room: str) -> list[str]:
    """All messages of a room."""
    return [line.partition("|")[2] for line in fetched(f"{base_url}/history/{quote(room)}").splitlines()]
