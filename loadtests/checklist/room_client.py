"""One user of a chat whose frames carry the text: its HTTP connection, and its WebSocket with all that it was shown.

Every `deadline` is a `time.monotonic()` time, and every wait ends there. Every failure is a ProbeError.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chatswarm.loadtests.net.dialing import Dialer
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Frame, Kind, Page, Request, Unreadable, User

from .delivery import log_in, parsed, require_2xx
from .http import HttpClient, ProbeError, ProbeResponse, excerpt
from .symptoms import Failure
from .walk import Testing, request_line
from .websocket import DashboardSocket, first_readable

_MAX_PAGES = 50
_ONE_FRAME = 0.05  # seconds for the rest of a frame that has begun to arrive


class ArrivedFrame(NamedTuple):
    """A frame with its meaning on its connection, and when it arrived."""

    at: float
    frame: Frame


class RoomClient:
    """One user. `turn`: which of the target's addresses it uses first."""

    def __init__(
        self,
        protocol: ChatProtocol,
        user: User,
        dialer: Dialer,
        origin: str | None,
        turn: int,
        blanked: Callable[[str], str],
    ) -> None:
        """`blanked` removes the secrets from a text."""
        self.user = user
        self._blanked = blanked
        self.http = HttpClient(dialer, origin, turn)
        self.shown: list[ArrivedFrame] = []
        """The messages that came, over all its connections."""
        self.peers: set[str] = set()
        self._protocol = protocol
        self._dialer = dialer
        self._origin = origin
        self._turn = turn
        self._session = protocol.session(user)
        self._waiting: deque[ArrivedFrame] = deque()
        self.socket: DashboardSocket | None = None

    def log_in(self, deadline: float, testing: Testing) -> None:
        log_in(self._protocol, self.user, self.http, deadline, testing)

    def ask(self, request: Request, deadline: float) -> ProbeResponse:
        """The response, without secrets: a chat may repeat them in an error, of which a part is shown to people."""
        response = self.http.request(request, deadline)
        return response._replace(body=self._without_secrets(response.body))

    def _without_secrets(self, data: bytes) -> bytes:
        return self._blanked(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def open(self, deadline: float) -> None:
        """The handshake. The one before, if any, is forgotten."""
        self._session = self._protocol.session(self.user)
        self._waiting.clear()
        handshake = self._protocol.handshake(self.user)
        self.socket = DashboardSocket(self._dialer, handshake, self._origin, self._turn)
        self.socket.open(deadline)
        self.peers.add(self.socket.peer)

    def greet(self, deadline: float) -> None:
        """Returns once the chat has greeted the user. Raises ProbeError if it never does."""
        for text in self._session.open():
            self.say(text, deadline)
        if self._protocol.promises.confirms_subscriptions:
            while self.next(deadline).frame.kind is not Kind.SUBSCRIBED:
                pass

    def join(self, room: str, deadline: float) -> list[Frame]:
        """Joins a room, after the last message of it that the user was shown. Returns the frames up to the answer,
        JOINED or REFUSED.
        """
        last = next((each.frame for each in reversed(self.shown) if each.frame.chat_id == room), None)
        for text in self._session.join(room, last):
            self.say(text, deadline)
        came: list[Frame] = []
        while True:
            came.append(self.next(deadline).frame)
            if came[-1].kind in (Kind.JOINED, Kind.REFUSED) and came[-1].chat_id in (room, ""):
                return came

    def send(self, room: str, text: str, reference: str, deadline: float) -> float:
        """Sends a message over the socket. Returns when that began."""
        frame = self._session.send(room, text, reference)
        began = time.monotonic()
        self.say(frame, deadline)
        return began

    def say(self, text: str, deadline: float) -> None:
        assert self.socket is not None
        self.socket.send(text, deadline)

    def next(self, deadline: float) -> ArrivedFrame:
        """The next frame. Raises ProbeError if none comes, it cannot be read, or it is an error frame."""
        assert self.socket is not None
        while not self._waiting:
            arrival = self.socket.receive(deadline)
            try:
                frames = parsed(self._protocol.read_frames, self._without_secrets(arrival.data))
            except Unreadable as error:
                raise ProbeError(Failure.UNREADABLE, excerpt(str(error))) from error
            self._waiting.extend(ArrivedFrame(arrival.at, frame) for frame in frames)
        came = self._waiting.popleft()
        if came.frame.kind is Kind.MESSAGE:
            self.shown.append(came)
            return came
        taken = self._session.take(came.frame)
        for text in taken.replies:
            self.say(text, deadline)
        if taken.frame.kind is Kind.ERROR:
            raise ProbeError(Failure.ERROR_FRAME, excerpt(taken.frame.detail))
        return came._replace(frame=taken.frame)

    @property
    def has_frames(self) -> bool:
        """Whether `next` has one without reading."""
        return bool(self._waiting)

    def times(self, text: str) -> int:
        """How often it was shown a text in frames."""
        return sum(each.frame.text == text for each in self.shown)

    def read(self, room: str, deadline: float, testing: Testing) -> list[str]:
        """All texts of a room, oldest first. Raises ProbeError and Unreadable."""
        texts: list[str] = []
        page: str | None = None
        for _ in range(_MAX_PAGES):
            request = self._protocol.whole_chat(self.user, room, page)
            testing.what = request_line(request)
            response = require_2xx(self.ask(request, deadline))
            read: Page = parsed(self._protocol.read_whole_chat, response.body)
            texts += [text.text for text in read.texts]
            page = read.next
            if page is None:
                return texts
        raise ProbeError(Failure.UNREADABLE, f"more than {_MAX_PAGES} pages of a room with two messages")

    def missed(self, room: str, deadline: float, testing: Testing) -> list[str]:
        """The texts that were missed and are not replayed, read by a request."""
        last = next((each.frame for each in reversed(self.shown) if each.frame.chat_id == room), None)
        request = self._protocol.read_missed(self.user, room, last)
        if request is None:
            return []
        testing.what = request_line(request)
        response = require_2xx(self.ask(request, deadline))
        return [text.text for text in parsed(self._protocol.read_whole_chat, response.body).texts]

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.http.close()


def next_of(clients: Sequence[RoomClient], deadline: float) -> tuple[RoomClient, ArrivedFrame] | None:
    """The next frame for any of them; None if none has come by the deadline. Raises ProbeError, as `next` does."""
    while True:
        for client in clients:
            if client.has_frames:
                return client, client.next(deadline)
        now = time.monotonic()
        if now >= deadline:
            return None
        sockets = {client.socket: client for client in clients if client.socket is not None}
        for ready in first_readable(list(sockets), deadline - now):
            try:
                return sockets[ready], sockets[ready].next(time.monotonic() + _ONE_FRAME)
            except ProbeError as error:
                if error.failure is not Failure.NO_FRAME:
                    raise
