"""A raw connection to a chat: it knows the frames of one kind of server, and nothing of chatswarm."""

import contextlib
import itertools
import json
import threading
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from queue import Queue
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

PATIENCE = 20.0
"""Seconds until something that was expected is missed."""


class Client(ABC):
    """One member of a room, who has joined once it is made.

    A separate thread reads, so that the server's pings are answered at any time.
    """

    def __init__(
        self, base_url: str, room: str, path: str, subprotocol: str | None = None, origin: str | None = None
    ) -> None:
        self.room = room
        self.joined: Queue[None] = Queue()
        self.acknowledged: Queue[None] = Queue()
        """One entry for each own message that was acknowledged, or echoed if the chat has no acknowledgements."""
        self.texts: Queue[str] = Queue()
        """The messages of the room, as they came."""
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(
            connect(
                base_url.replace("http", "ws", 1) + path,
                subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
                origin=Origin(origin) if origin else None,
                open_timeout=PATIENCE,
                proxy=None,
            )
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.join()
            self.joined.get(timeout=PATIENCE)
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def join(self) -> None:
        """Sends what makes it a member; puts into `joined`, now or in `hear`."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Sends a message."""

    @abstractmethod
    def hear(self, frame: str) -> None:
        """Takes in a frame, in the reader's thread."""

    def send(self, text: str) -> None:
        """Sends a message and waits for its acknowledgement."""
        self.say(text)
        self.acknowledged.get(timeout=PATIENCE)

    def text(self) -> str:
        """The next message of the room."""
        return self.texts.get(timeout=PATIENCE)

    def texts_until(self, last: str) -> list[str]:
        """All messages until `last`, without it."""
        return list(itertools.takewhile(lambda text: text != last, iter(self.text, None)))

    def put(self, frame: str) -> None:
        """Sends a frame."""
        self._socket.send(frame)

    def close(self) -> None:
        self._open.close()
        self._reader.join(PATIENCE)

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for frame in self._socket:
                self.hear(frame if isinstance(frame, str) else frame.decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EngineIoClient(Client):
    """A member of a Socket.IO chat: Engine.IO 4 over a WebSocket, without polling first."""

    auth = ""

    def __init__(self, base_url: str, room: str) -> None:
        self._calls: Iterator[int] = itertools.count()
        super().__init__(base_url, room, "/socket.io/?EIO=4&transport=websocket")

    @abstractmethod
    def connected(self) -> None:
        """The namespace is open."""

    @abstractmethod
    def event(self, name: str, arguments: list[Any]) -> None:
        """An event came."""

    @abstractmethod
    def answered(self, call: int) -> None:
        """An own event was acknowledged."""

    def join(self) -> None:
        """Waits for Engine.IO's open packet, in `hear`."""

    def emit(self, *event: object) -> None:
        """Sends an event that asks for an acknowledgement."""
        self.put(f"42{next(self._calls)}{json.dumps(event)}")

    def hear(self, frame: str) -> None:
        match frame[:2]:
            case "2":
                self.put("3")
            case "40":
                self.connected()
            case "42":
                name, *arguments = json.loads(frame[2:])
                self.event(name, arguments)
            case "43":
                self.answered(int(frame[2:].partition("[")[0]))
            case _ if frame[:1] == "0":
                self.put(f"40{self.auth}")


def fetched(url: str, body: object = None) -> str:
    """What a server answers, to a GET or to a POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        answer: bytes = response.read()
    return answer.decode()
