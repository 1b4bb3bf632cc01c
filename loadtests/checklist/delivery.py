"""Follows one message to one dashboard, which refetches the list on every notification, as the guide's page does.

In addition, the list is read without a notification, and the whole chat is read. These extra reads only serve the
diagnosis (late or never, stored or not); `Delivery.by_page` tells them apart.
"""

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TypeVar

from chatswarm.loadtests.net.dialing import Dialer, DialError, start_thread
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    Chat,
    ChatProtocol,
    Frame,
    Handshake,
    Kind,
    Outgoing,
    RefusedError,
    Request,
    Taken,
    Text,
    Unreadable,
    UnreadableHere,
    User,
    read,
)

from .described_causes import wrong_answer
from .file_places import FilePlaces, places_of
from .http import HttpClient, ProbeError, ProbeResponse, excerpt
from .symptoms import Delivery, Failure
from .tracked_session import TrackedSession, label_of
from .transcript import Witness
from .walk import Testing, WrongError, request_line
from .websocket import Arrival, DashboardSocket

_T = TypeVar("_T")
_REREAD_EVERY = 0.15  # seconds between the extra reads of the list once the frame has come
_SENDER_GRACE = 0.1  # seconds past the deadline in which the sender's timeout still arrives


class DashboardClient:
    """A dashboard's WebSocket and HTTP connection, read through the chat's protocol. Every wait ends at a deadline."""

    def __init__(
        self,
        protocol: ChatProtocol,
        user: User,
        dialer: Dialer,
        origin: str | None,
        witness: Witness,
    ) -> None:
        self._protocol = protocol
        self._places = places_of(protocol)
        self._witness = witness
        self._dialer = dialer
        self._origin = origin
        self.user = user
        self.http = HttpClient(dialer, origin, witness=witness)
        self.handshake = Handshake("")
        self._socket: DashboardSocket | None = None
        self._meanings: deque[Frame] = deque()  # of frames that have come
        self._replies: list[Outgoing] = []

    @property
    def socket(self) -> DashboardSocket:
        """Its connection, once it is prepared."""
        assert self._socket is not None
        return self._socket

    @property
    def peers(self) -> set[str]:
        """The IP address of its socket."""
        return set() if self._socket is None or not self._socket.peer else {self._socket.peer}

    def prepare(self) -> None:
        """Makes what it needs to connect. What comes first on its new connection is due with the first `wait_for`."""
        self.handshake = self._protocol.handshake(self.user)
        self._socket = DashboardSocket(self._dialer, self.handshake, self._origin, 1, self.http.cookies)
        self._tracked = TrackedSession(self._protocol.session(self.user), self._places, self._witness)
        self._heed(self._tracked.open())

    def join(self, room: str) -> None:
        """Joining a room is due with the next `wait_for`."""
        self._heed(self._tracked.join(room, None))

    def wait_for(self, kind: Kind, deadline: float) -> None:
        """Sends what is due, and returns when a frame of this kind has come. What it asks for is due then.

        Raises ProbeError if an error frame comes first.
        """
        while True:
            while self._meanings:
                frame = self._meanings.popleft()
                if frame.kind is kind:
                    return
                if frame.kind in (Kind.ERROR, Kind.REFUSED):
                    raise ProbeError(Failure.ERROR_FRAME, excerpt(frame.detail))
            if self._replies:
                self._reply(deadline)
            else:
                self._take(self.socket.receive(deadline))

    def _heed(self, taken: Taken) -> None:
        self._meanings += taken.frames
        self._replies += taken.replies

    def _reply(self, deadline: float) -> None:
        for one in self._replies[:]:
            self._replies.pop(0)
            if isinstance(one, Request):
                response = self.http.request(one, deadline, self._tracked.label_of(one), secret=True)
                self._heed(self._tracked.answered(one, Answer(response.status, response.headers, response.body)))
            else:
                self.socket.send(one, deadline)

    def _take(self, arrival: Arrival) -> None:
        labels: list[str] = []
        for frame in self._read(arrival):
            self._heed(self._tracked.take(frame, labels))
        self._witness.came(arrival.data, labels, arrival.at)

    def read(self, arrival: Arrival) -> Sequence[Frame]:
        """The frames in a message that came after the subscription. Raises ProbeError if it cannot be read."""
        frames = self._read(arrival)
        self._witness.came(arrival.data, [label_of(self._places, frame) for frame in frames], arrival.at)
        return frames

    def _read(self, arrival: Arrival) -> Sequence[Frame]:
        try:
            return parsed(self._protocol.read_frames, arrival.data)
        except Unreadable as error:
            self._witness.came(arrival.data, ["unreadable"], arrival.at)
            raise ProbeError(Failure.UNREADABLE, excerpt(str(error))) from error

    def refetch(self, deadline: float) -> tuple[Sequence[Chat], ProbeResponse]:
        """The list of chats, and the response that it came in. Raises ProbeError for anything but a 2xx."""
        met = "" if self._places is None else self._places.refetch
        response = self.http.request(self._protocol.list_chats(self.user), deadline, met)
        try:
            return parsed(self._protocol.read_list, require_2xx(response).body), response
        except Unreadable as error:
            raise ProbeError(Failure.UNREADABLE, excerpt(str(error)), response.status) from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self.http.close()


def require_2xx(response: ProbeResponse) -> ProbeResponse:
    """The same response. Raises ProbeError if its status is not a 2xx."""
    if 200 <= response.status < 300:
        return response
    detail = f"redirect to {excerpt(response.location)}" if response.location else excerpt(response.body)
    raise ProbeError(Failure.STATUS, detail, response.status, excerpt(response.retry_after, 40))


def parsed(reader: Callable[[bytes], _T], data: bytes) -> _T:
    """What a protocol's `read_` method returns. Raises Unreadable, and ProbeError for what a browser could read."""
    try:
        return read(reader, data)
    except UnreadableHere as error:
        raise ProbeError(Failure.NOT_READ_HERE, excerpt(str(error))) from error


def take_steps(
    steps: Generator[Request, Answer, _T],
    http: HttpClient,
    deadline: float,
    testing: Testing,
    blanked: Callable[[str], str],
    labels: Sequence[str] = (),
    *,
    secret: bool = False,
) -> _T:
    """Makes the requests of a login or creation, and returns its result. `labels`: what they are in the protocol's
    file; `secret`: their answers may have secrets that nobody knows yet.

    Raises ProbeError and Unreadable, and WrongError where a file says what was expected instead.
    """
    response, names = None, chain(labels, repeat(""))
    try:
        request = next(steps)
        while True:
            testing.what = request_line(request)
            response = http.request(request, deadline, next(names), secret=secret)
            request = steps.send(Answer(response.status, response.headers, response.body))
    except StopIteration as stop:
        result: _T = stop.value
        return result
    except RefusedError as error:
        if labels:
            raise WrongError(
                f"HTTP {error.status}" if error.status else "refused", wrong_answer(testing.what, str(error))
            ) from error
        if response is not None:
            body = blanked(response.body.decode(errors="replace")).encode()
            require_2xx(response._replace(body=body))
        raise ProbeError(Failure.STATUS, excerpt(blanked(str(error))), error.status) from error
    except Unreadable as error:
        failure = Failure.NOT_READ_HERE if isinstance(error, UnreadableHere) else Failure.UNREADABLE
        # What comes after "got" may hold a token.
        said = str(error).partition(", got ")[0] if secret else blanked(str(error))
        raise ProbeError(failure, excerpt(said)) from error


@dataclass(frozen=True, slots=True)
class _SendResult:
    response: ProbeResponse | ProbeError


_Event = Arrival | ProbeError | _SendResult


@dataclass(slots=True)
class DeliveryProbe:
    """Sends one message and records in `delivery` what becomes of it.

    The two errors are those that a widget or a page would have got.
    """

    protocol: ChatProtocol
    customer: User
    dashboard: DashboardClient
    widget: HttpClient
    chat_id: str
    text: str
    count_before: int | None  # messages in the chat before the send, by the list; None: it could not be read
    delivery: Delivery
    places: FilePlaces | None = None
    send_error: ProbeError | None = None
    refetch_error: ProbeError | None = None
    shown_as: str = ""  # how the list showed the message
    status: int | None = None  # of the response to the send
    redirected: str = ""  # how that response was reached, if by a redirect
    _sent: float = 0.0

    @property
    def send_request(self) -> Request:
        """What sends the message."""
        return self.protocol.send(self.customer, self.chat_id, self.text, self.chat_id)

    def run(self, until: float, end: float, on_progress: Callable[[], None]) -> None:
        """Sends, and watches until everything has been seen or `until`. By `end`, it has located the message."""
        events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        request = self.send_request
        try:
            self.widget.open(until)  # connecting does not count as update latency
            self.dashboard.socket.listen(events)
            self._sent = time.monotonic()
            # The send has its own thread, because its response may come after the frame, or never.
            met = "" if self.places is None else self.places.send_request
            sender = start_thread(lambda: _send(self.widget, request, until, events, met), "send")
        except (ProbeError, DialError) as error:
            self.send_error = error if isinstance(error, ProbeError) else ProbeError.from_dial(error)
            return
        self._watch(events, until, on_progress)
        sender.join(_SENDER_GRACE)
        self.delivery.watched = time.monotonic() - self._sent
        if self.send_error is None or self.send_error.failure is Failure.NO_ANSWER:
            self._locate(end)

    def _watch(self, events: "queue.SimpleQueue[_Event]", until: float, on_progress: Callable[[], None]) -> None:
        refetch_due, next_reread = False, float("inf")
        # The sender gives up at `until`, and its error must still be received.
        last = until + _SENDER_GRACE
        while self.send_error is None and not self._done() and (now := time.monotonic()) < last:
            if refetch_due and events.empty():
                self._refetch(until, by_page=True)
                refetch_due = False
                if self.delivery.notified is not None:
                    next_reread = time.monotonic() + _REREAD_EVERY
            elif now >= next_reread:
                self._refetch(until, by_page=False)
                next_reread = time.monotonic() + _REREAD_EVERY
            else:
                with contextlib.suppress(queue.Empty):
                    refetch_due |= self._handle(events.get(timeout=min(next_reread, last) - now))
            on_progress()

    def _done(self) -> bool:
        delivery = self.delivery
        if delivery.accepted is None:
            return False
        if delivery.notified is None:
            return delivery.lost is not None
        return delivery.shown is not None or self.refetch_error is not None

    def _handle(self, event: _Event) -> bool:
        """Records an event. Returns whether it makes a page refetch."""
        delivery = self.delivery
        match event:
            case _SendResult():
                self._handle_response(event.response)
            case ProbeError():
                delivery.lost = event.detail or event.failure
            case Arrival():
                try:
                    frames = self.dashboard.read(event)
                except ProbeError as error:
                    delivery.unreadable = error.detail
                    return False
                return max([self._handle_frame(frame, event.at) for frame in frames], default=False)  # all of them
        return False

    def _handle_frame(self, frame: Frame, at: float) -> bool:
        delivery = self.delivery
        if frame.kind is not Kind.MESSAGE or at < self._sent:
            return False
        if frame.chat_id not in (self.chat_id, ""):
            delivery.other_frames += 1
        elif frame.from_customer and delivery.notified is None:
            delivery.notified = at - self._sent
        return True

    def _handle_response(self, response: ProbeResponse | ProbeError) -> None:
        if isinstance(response, ProbeError):
            self.send_error = response
            return
        self.status, self.redirected = response.status, response.redirected
        try:
            sent = parsed(self.protocol.read_sent, require_2xx(response).body)
            if not sent.accepted:
                raise ProbeError(Failure.NOT_ACCEPTED, excerpt(sent.detail), self.status)
            self.delivery.accepted = response.done - self._sent
        except ProbeError as error:
            self.send_error = error
        except Unreadable as error:
            self.send_error = ProbeError(Failure.UNREADABLE, excerpt(str(error)), self.status)

    def _refetch(self, deadline: float, *, by_page: bool) -> None:
        """Reads the list, unless it has shown the message before."""
        delivery = self.delivery
        if delivery.shown is not None:
            return
        try:
            chats, response = self.dashboard.refetch(deadline)
        except ProbeError as error:
            if by_page and delivery.notified is not None:
                self.refetch_error = error
            return
        chat = next((chat for chat in chats if chat.chat_id == self.chat_id), None)
        delivery.chats, delivery.listed, delivery.refetch = len(chats), chat is not None, response.took
        self.shown_as = self._how_shown(chat.texts, chat.total) if chat is not None else ""
        if self.shown_as:
            delivery.shown, delivery.by_page = response.done - self._sent, by_page

    def _how_shown(self, texts: Sequence[Text], total: int | None) -> str:
        """How this read of the chat shows the message; empty if it does not."""
        if any(text.text == self.text for text in texts):
            return "its text is in the list"
        # Only this widget writes to this chat, and a list may truncate or omit texts.
        if self.count_before is not None and total is not None and total > self.count_before:
            return f"as a count, {self.count_before} → {total}"
        return ""

    def _locate(self, end: float) -> None:
        """Looks for a message that was not shown, in the list and in its chat. Unknown if neither can be read."""
        self._refetch(time.monotonic() + (end - time.monotonic()) / 2, by_page=False)
        if self.delivery.shown is not None:
            return
        with contextlib.suppress(ProbeError, Unreadable):
            request = self.protocol.whole_chat(self.dashboard.user, self.chat_id)
            met = "" if self.places is None else self.places.history
            page = parsed(self.protocol.read_whole_chat, require_2xx(self.widget.request(request, end, met)).body)
            self.delivery.stored = bool(self._how_shown(page.texts, page.total))


def _send(widget: HttpClient, request: Request, deadline: float, events: "queue.SimpleQueue[_Event]", met: str) -> None:
    try:
        events.put(_SendResult(widget.request(request, deadline, met)))
    except ProbeError as error:
        events.put(_SendResult(error))
