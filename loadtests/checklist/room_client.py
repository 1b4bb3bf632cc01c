"""One user of a chat whose frames carry the text: its HTTP connection, and its WebSocket with all that it was shown.

Every `deadline` is a `time.monotonic()` time, and every wait ends there. Every failure is a ProbeError.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.net.dialing import Dialer
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    ChatProtocol,
    Frame,
    Handshake,
    Kind,
    Outgoing,
    Page,
    Request,
    Taken,
    Unreadable,
    User,
)
from chatswarm.loadtests.protocols.variables import Variables

from .delivery import parsed, require_2xx, take_steps
from .file_places import places_of
from .http import HttpClient, ProbeError, ProbeResponse, excerpt
from .symptoms import Failure
from .tracked_session import TrackedSession
from .transcript import Witness
from .walk import Testing, request_line
from .websocket import DashboardSocket, first_readable

_T = TypeVar("_T")
_MAX_PAGES = 50
_ONE_FRAME = 0.05  # seconds for the rest of a frame that has begun to arrive


class ArrivedFrame(NamedTuple):
    """A frame with its meaning on its connection, and when it arrived."""

    at: float
    frame: Frame


class CameFrame(NamedTuple):
    """A frame as it was read, before any step took it. `data`: the message that it came in."""

    at: float
    data: bytes
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
        witness: Witness,
    ) -> None:
        """`blanked` removes the secrets from a text."""
        self.user = user
        self.who = witness.who
        self.blanked = blanked
        self.cookies = CookieJar()
        self.http = HttpClient(dialer, origin, turn, self.cookies, witness)
        self.shown: list[ArrivedFrame] = []
        """The messages that came, over all its connections."""
        self.came: list[CameFrame] = []
        """All frames on its connection."""
        self.peers: set[str] = set()
        self.asked_at = 0.0
        """When it began to connect or to join, in monotonic seconds."""
        self.unreadable = b""
        """The message that could not be read."""
        self.last_body = b""
        """Of the last page that it read."""
        self._protocol = protocol
        self._places = places_of(protocol)
        self._witness = witness
        self._dialer = dialer
        self._origin = origin
        self._turn = turn
        self._room = ""
        self._handshake = Handshake("")
        self._session: TrackedSession | None = None
        self._sessions: list[TrackedSession] = []  # all of them
        self._waiting: deque[ArrivedFrame] = deque()
        self.socket: DashboardSocket | None = None

    @property
    def connected(self) -> bool:
        """Whether it has a session."""
        return self._session is not None

    @property
    def kept(self) -> list[Variables]:
        """What its connections have kept, which may be secret."""
        return [variables for session in self._sessions for variables in session.kept]

    @property
    def session(self) -> TrackedSession:
        """Of its connection, once it is open."""
        assert self._session is not None
        return self._session

    def log_in(self, deadline: float, testing: Testing) -> None:
        labels = self._places.login if self._places else ()
        login = self._protocol.login(self.user)
        take_steps(login, self.http, deadline, testing, self.blanked, labels, secret=True)

    def ask(self, request: Request, deadline: float, met: str = "") -> ProbeResponse:
        """The response, whatever its status."""
        return self.http.request(request, deadline, met)

    def send_by(self, request: Request, deadline: float) -> ProbeResponse:
        """The response to a request that sends a message."""
        return self.http.request(request, deadline, self._places.send_request if self._places else "")

    def required(self, response: ProbeResponse) -> ProbeResponse:
        """The same response. Raises ProbeError if its status is not a 2xx, without secrets: a chat may repeat them in
        an error, of which a part is shown to people.
        """
        require_2xx(response._replace(body=self.blanked(response.body.decode(errors="replace")).encode()))
        return response

    def parsed(self, reader: Callable[[bytes], _T], data: bytes) -> _T:
        """What a protocol's `read_` method returns. Raises Unreadable and ProbeError, without secrets."""
        try:
            return parsed(reader, data)
        except Unreadable as error:
            raise Unreadable(self.blanked(str(error))) from error

    def handshake_path(self, room: str, deadline: float, testing: Testing, *, everything: bool = False) -> str:
        """Makes what it needs to connect, for one room where connections have one. Returns the path.

        The connection before, if any, is forgotten.
        """
        labels = self._places.before if self._places else ()
        before = self._protocol.before_handshake(self.user)
        take_steps(before, self.http, deadline, testing, self.blanked, labels, secret=True)
        self._room = room if self._protocol.promises.one_room else ""
        handshake = self._handshake = self._protocol.handshake(self.user, everything=everything, room=self._room)
        self.socket = DashboardSocket(self._dialer, handshake, self._origin, self._turn, self.cookies)
        return handshake.path.partition("?")[0]

    def open(self, deadline: float, *, everything: bool = False) -> None:
        """The handshake. `everything`: it will ask to be sent all that is stored."""
        assert self.socket is not None
        session = self._protocol.session(self.user, everything=everything, room=self._room)
        self._session = TrackedSession(session, self._places, self._witness)
        self._sessions.append(self._session)
        self._waiting.clear()
        self.came.clear()
        self._witness.shake_hands(self._handshake)
        self.asked_at = began = time.monotonic()
        try:
            self.socket.open(deadline)
        except ProbeError as error:
            said = f"HTTP {error.status}" if error.status is not None else str(error.failure)
            self._witness.failed(f"{said} {error.detail}".strip(), "")
            raise
        self._witness.shaken_hands(began)  # before what came with it
        self.peers.add(self.socket.peer)

    def greet(self, deadline: float) -> None:
        """Returns once the chat has greeted the user. Raises ProbeError if it never does."""
        self._heed(self.session.open(), deadline, time.monotonic())
        while self.next(deadline).frame.kind is not Kind.SUBSCRIBED:
            pass

    def join(self, room: str, deadline: float) -> list[Frame]:
        """Joins a room, after the last message of it that the user was shown. Returns the frames up to the answer,
        JOINED or REFUSED.
        """
        self.ask_to_join(room, deadline)
        return self.joined(room, deadline)

    def ask_to_join(self, room: str, deadline: float) -> bool:
        """Sends what joins a room. Returns whether the chat will answer."""
        last = next((each.frame for each in reversed(self.shown) if each.frame.chat_id in (room, "")), None)
        self.asked_at = time.monotonic()
        taken = self.session.join(room, last)
        self._heed(taken, deadline, time.monotonic())
        return not any(frame.kind is Kind.JOINED for frame in taken.frames)

    def joined(self, room: str, deadline: float) -> list[Frame]:
        """The frames up to the answer to a join."""
        came: list[Frame] = []
        while True:
            came.append(self.next(deadline).frame)
            if came[-1].kind in (Kind.JOINED, Kind.REFUSED) and came[-1].chat_id in (room, ""):
                return came

    def send(self, room: str, text: str, reference: str, deadline: float) -> float:
        """Sends a message over the socket. Returns when that began."""
        frame = self.session.send(room, text, reference)
        began = time.monotonic()
        self.say(frame, deadline)
        return began

    def ping(self, deadline: float) -> bool:
        """Sends its heartbeat. Returns whether it has one."""
        ping = self.session.ping()
        if ping is not None:
            self.say(ping, deadline)
        return ping is not None

    def say(self, outgoing: Outgoing, deadline: float) -> None:
        """Sends a frame, or makes a request of the session's and goes on with the answer."""
        if isinstance(outgoing, Request):
            response = self.http.request(outgoing, deadline, self.session.label_of(outgoing), secret=True)
            answer = Answer(response.status, response.headers, response.body)
            self._heed(self.session.answered(outgoing, answer), deadline, response.done)
            return
        assert self.socket is not None
        self.socket.send(outgoing, deadline)

    def next(self, deadline: float) -> ArrivedFrame:
        """The next frame. Raises ProbeError if none comes, it cannot be read, or it is an error frame."""
        while not self._waiting:
            self.receive(deadline)
        came = self._waiting.popleft()
        if came.frame.kind is Kind.MESSAGE:
            self.shown.append(came)
        elif came.frame.kind is Kind.ERROR:
            raise ProbeError(Failure.ERROR_FRAME, excerpt(came.frame.detail))
        return came

    def receive(self, deadline: float) -> None:
        """Takes the next WebSocket message, in which there may be no frame."""
        assert self.socket is not None
        arrival = self.socket.receive(deadline)
        met: list[str] = []
        try:
            for frame in self.parsed(self._protocol.read_frames, arrival.data):
                self.came.append(CameFrame(arrival.at, arrival.data, frame))
                self._heed(self.session.take(frame, met), deadline, arrival.at)
        except Unreadable as error:
            met.append("unreadable")
            self.unreadable = arrival.data
            raise ProbeError(Failure.UNREADABLE, excerpt(str(error))) from error
        finally:
            self._witness.came(arrival.data, met, arrival.at)

    def _heed(self, taken: Taken, deadline: float, at: float) -> None:
        """Follows what something means here: `next` has its frames."""
        for frame in taken.frames:
            self._waiting.append(ArrivedFrame(at, frame._replace(detail=self.blanked(frame.detail))))
        for one in taken.replies:
            self.say(one, deadline)

    @property
    def has_frames(self) -> bool:
        """Whether `next` has one without reading."""
        return bool(self._waiting)

    def times(self, text: str) -> int:
        """How often it was shown a text in frames."""
        return sum(each.frame.text == text for each in self.shown)

    def read(
        self, room: str, deadline: float, testing: Testing, enough: Callable[[list[str]], bool] | None = None
    ) -> list[str]:
        """All texts of a room, oldest first. `enough`: whether these are all that matter, where the newest come first.

        Raises ProbeError and Unreadable.
        """
        return self._pages(lambda page: self._protocol.whole_chat(self.user, room, page), deadline, testing, enough)

    def missed(self, room: str, deadline: float, testing: Testing) -> list[str] | None:
        """The texts that were missed and are not replayed, read by requests; None: nothing reads them."""
        last = next((each.frame for each in reversed(self.shown) if each.frame.chat_id in (room, "")), None)
        first = self._protocol.read_missed(self.user, room, last)
        if first is None:
            return None
        return self._pages(
            lambda page: first if page is None else self._protocol.whole_chat(self.user, room, page), deadline, testing
        )

    def _pages(
        self,
        request_of: Callable[[str | None], Request],
        deadline: float,
        testing: Testing,
        enough: Callable[[list[str]], bool] | None = None,
    ) -> list[str]:
        texts: list[str] = []
        page: str | None = None
        met = self._places.history if self._places else ""
        for _ in range(_MAX_PAGES):
            request = request_of(page)
            testing.what = request_line(request)
            response = self.ask(request, deadline, met)
            self.last_body = response.body
            self.required(response)
            read: Page = self.parsed(partial(self._protocol.read_whole_chat, page=page), response.body)
            found = [text.text for text in read.texts]
            texts = found + texts if read.newest_first else texts + found
            page = read.next
            if page is None or (read.newest_first and enough is not None and enough(texts)):
                return texts
        raise ProbeError(Failure.UNREADABLE, f"more than {_MAX_PAGES} pages of a room")

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
