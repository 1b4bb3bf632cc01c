"""A raw member of a room of Django Channels' tutorial."""

import json

from tests.servers.client import Client


class DjangoChannelsClient(Client):
    """The room is in the path, so that it has joined with the handshake. Its own message is its acknowledgement."""

    def __init__(self, base_url: str, room: str) -> None:
        self._own: set[str] = set()
        super().__init__(base_url, room, f"/ws/chat/{room}/", origin=base_url)

    def join(self) -> None:
        self.joined.put(None)

    def say(self, text: str) -> None:
        self._own.add(text)
        self.put(json.dumps({"message": text}))

    def hear(self, frame: str) -> None:
        text = json.loads(frame)["message"]
        self.texts.put(text)
        if text in self._own:
            self._own.remove(text)
            self.acknowledged.put(None)
