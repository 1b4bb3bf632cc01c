"""Follows one message to one dashboard, which refetches the list on every notification, as the guide's page does.

In addition, the list is read without a notification, and the whole chat is read. These extra reads only serve the
diagnosis (late or never, stored or not); `Delivery.by_page` tells them apart.
"""

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chatswarm.loadtests.net.dialing import Dialer, DialError, start_thread
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    Chat,
    ChatProtocol,
    Frame,
    Kind,
    LoginError,
    Request,
    Text,
    Unreadable,
    UnreadableHere,
    User,
    read,
)

from .http import HttpClient, ProbeError, ProbeResponse, excerpt
from .symptoms import Delivery, Failure
from .walk import Testing, request_line
from .websocket import Arrival, DashboardSocket

_T = TypeVar("_T")
_REREAD_EVERY = 0.15  # seconds between the extra reads of the list once the frame has come
_SENDER_GRACE = 0.1  # seconds past the deadline in which the sender's timeout still arrives


class DashboardClient:
    """A dashboard's WebSocket and HTTP connection, read through the chat's protocol. Every wait ends at a deadline."""

    def __init__(self, protocol: ChatProtocol, user: User, dialer: Dialer, origin: str | None = None) -> None:
        self._protocol = protocol
        self.user = user
        self.handshake = protocol.handshake(user)
        self.http = HttpClient(dialer, origin)
        self.socket = DashboardSocket(dialer, self.handshake, origin, turn=1)
        self._session = protocol.session(user)
        self._replies: list[str] = list(self._session.open())
        self._frames: deque[Frame] = deque()

    def wait_for(self, kind: Kind, deadline: float) -> None:
        """Sends what is due, and returns when a frame of this kind has come. What it asks for is due then.

        Raises ProbeError if an error frame comes first.
        """
        while True:
            for text in self._replies:
                self.socket.send(text, deadline)
            self._replies.clear()
            while not self._frames:
                self._frames.extend(self.read(self.socket.receive(deadline)))
            taken = self._session.take(self._frames.popleft())
            self._replies += taken.replies
            if taken.frame.kind is kind:
                return
            if taken.frame.kind is Kind.ERROR:
                raise ProbeError(Failure.ERROR_FRAME, excerpt(taken.frame.detail))

    def read(self, arrival: Arrival) -> Sequence[Frame]:
        """The frames in a message. Raises ProbeError if it cannot be read."""
        try:
            return parsed(self._protocol.read_frames, arrival.data)
        except Unreadable as error:
            raise ProbeError(Failure.UNREADABLE, excerpt(str(error))) from error

    def refetch(self, deadline: float) -> tuple[Sequence[Chat], ProbeResponse]:
        """The list of chats, and the response that it came in. Raises ProbeError for anything but a 2xx."""
        response = self.http.request(self._protocol.list_chats(self.user), deadline)
        try:
            return parsed(self._protocol.read_list, require_2xx(response).body), response
        except Unreadable as error:
            raise ProbeError(Failure.UNREADABLE, excerpt(str(error)), response.status) from error

    def close(self) -> None:
        self.socket.close()
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


def log_in(protocol: ChatProtocol, user: User, http: HttpClient, deadline: float, testing: Testing) -> None:
    """Makes the requests of a login. Raises ProbeError and Unreadable."""
    login, response = protocol.login(user), None
    try:
        with contextlib.suppress(StopIteration):
            request = next(login)
            while True:
                testing.what = request_line(request)
                response = http.request(request, deadline)
                request = login.send(Answer(response.status, response.headers, response.body))
    except LoginError as error:
        if response is not None:
            body = user.variables.blanked(response.body.decode(errors="replace")).encode()
            require_2xx(response._replace(body=body))
        raise ProbeError(Failure.STATUS, excerpt(str(error)), error.status) from error
    except Unreadable as error:
        failure = Failure.NOT_READ_HERE if isinstance(error, UnreadableHere) else Failure.UNREADABLE
        # What comes after "got" may hold a token.
        raise ProbeError(failure, excerpt(str(error).partition(", got ")[0])) from error


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
            sender = start_thread(lambda: _send(self.widget, request, until, events), "send")
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
        if frame.chat_id != self.chat_id:
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
            page = parsed(self.protocol.read_whole_chat, require_2xx(self.widget.request(request, end)).body)
            self.delivery.stored = bool(self._how_shown(page.texts, page.total))


def _send(widget: HttpClient, request: Request, deadline: float, events: "queue.SimpleQueue[_Event]") -> None:
    try:
        events.put(_SendResult(widget.request(request, deadline)))
    except ProbeError as error:
        events.put(_SendResult(error))
