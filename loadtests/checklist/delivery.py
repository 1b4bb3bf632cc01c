"""One dashboard watches one message, as the original's page would: a refetch of the list on every notification.

Beside what the page does, the list is looked at without a notification, and the chat is read on its own. These extra
looks only serve the diagnosis (late or never, stored or not); `Delivery.by_page` keeps them apart.
"""

import contextlib
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chatswarm.loadtests.net.dialing import Dialer, DialError, start_thread
from chatswarm.loadtests.protocols.protocol import (
    Chat,
    ChatProtocol,
    Frame,
    Kind,
    Request,
    Unreadable,
    UnreadableHere,
    read,
)

from .http import Http, ProbeError, ProbeResponse, excerpt, probe_error
from .symptoms import Delivery, Failure
from .websocket import Arrival, DashboardSocket

_T = TypeVar("_T")
_LOOK_EVERY = 0.15  # seconds between the extra looks at the list once the frame has come


class Page:
    """The dashboard's two connections, read through the target's protocol. All waits end at a deadline."""

    def __init__(self, target: ChatProtocol, dialer: Dialer, origin: str | None = None) -> None:
        self._target = target
        self.http = Http(dialer, origin)
        self.socket = DashboardSocket(dialer, target.socket_path, target.socket_headers, origin, turn=1)

    def wait_for(self, kind: Kind, deadline: float) -> None:
        """Returns when a frame of this kind has come; an error frame before it raises."""
        while True:
            frame = self.read(self.socket.receive(deadline))
            if frame.kind is kind:
                return
            if frame.kind is Kind.ERROR:
                raise ProbeError(Failure.ERROR_FRAME, excerpt(frame.detail))

    def read(self, arrival: Arrival) -> Frame:
        try:
            return reading(self._target.read_frame, arrival.data)
        except Unreadable as error:
            raise ProbeError(Failure.UNREADABLE, excerpt(str(error))) from error

    def refetch(self, deadline: float) -> tuple[Sequence[Chat], ProbeResponse]:
        """The list of chats, which must come with a 2xx."""
        answer = self.http.request(self._target.list_chats(), deadline)
        try:
            return reading(self._target.read_list, accepted(answer).body), answer
        except Unreadable as error:
            raise ProbeError(Failure.UNREADABLE, excerpt(str(error)), answer.status) from error

    def close(self) -> None:
        self.socket.close()
        self.http.close()


def accepted(answer: ProbeResponse) -> ProbeResponse:
    """The answer, if its status is a 2xx."""
    if 200 <= answer.status < 300:
        return answer
    said = f"redirect to {excerpt(answer.location)}" if answer.location else excerpt(answer.body)
    raise ProbeError(Failure.STATUS, said, answer.status, excerpt(answer.retry_after, 40))


def reading(reader: Callable[[bytes], _T], data: bytes) -> _T:
    """What a protocol reads in it. Raises Unreadable, and ProbeError for what a browser may read all the same."""
    try:
        return read(reader, data)
    except UnreadableHere as error:
        raise ProbeError(Failure.NOT_READ_HERE, excerpt(str(error))) from error


@dataclass(slots=True)
class Watch:
    """What becomes of one message, in `delivery`; the two errors are those that a page or widget would have met."""

    target: ChatProtocol
    page: Page
    widget: Http
    chat_id: str
    text: str
    before: int | None  # the messages that the list counted in the chat before the send; None: it could not be read
    delivery: Delivery
    send_error: ProbeError | None = None
    refetch_error: ProbeError | None = None
    sight: str = ""  # how the list showed the message
    status: int | None = None  # of the answer to the send
    redirected: str = ""  # how it came to be there, if not directly
    _sent: float = 0.0

    def run(self, until: float, end: float, on_progress: Callable[[], None]) -> None:
        """Sends, and watches until all is seen or `until`; has found out where the message is by `end`."""
        events: queue.SimpleQueue[Arrival | ProbeError | _SendResult] = queue.SimpleQueue()
        request = self.target.send(self.chat_id, self.text)
        try:
            self.widget.open(until)  # connecting is no part of the update
        except ProbeError as error:
            self.send_error = error
            return
        try:
            self.page.socket.listen(events)
            self._sent = time.monotonic()
            # The send has a thread of its own, because its answer may come after the frame, or never.
            sender = start_thread(lambda: _send(self.widget, request, until, events), "send")
        except (ProbeError, DialError) as error:
            self.send_error = error if isinstance(error, ProbeError) else probe_error(error)
            return
        self._watch(events, until, on_progress)
        sender.join(0.1)
        self.delivery.watched = time.monotonic() - self._sent
        if self.send_error is None or self.send_error.failure is Failure.NO_ANSWER:
            self._find(end)

    def _watch(
        self,
        events: "queue.SimpleQueue[Arrival | ProbeError | _SendResult]",
        until: float,
        on_progress: Callable[[], None],
    ) -> None:
        due, next_look = False, float("inf")  # a page's refetch; the next extra look
        # The sender's own time is up at `until`, and its error must still be heard.
        until_heard = until + 0.1
        while self.send_error is None and not self._done() and (now := time.monotonic()) < until_heard:
            if due and events.empty():
                self._look(until, by_page=True)
                due = False
                if self.delivery.notified is not None:
                    next_look = time.monotonic() + _LOOK_EVERY
            elif now >= next_look:
                self._look(until, by_page=False)
                next_look = time.monotonic() + _LOOK_EVERY
            else:
                with contextlib.suppress(queue.Empty):
                    due |= self._take(events.get(timeout=min(next_look, until_heard) - now))
            on_progress()

    def _done(self) -> bool:
        delivery = self.delivery
        if delivery.accepted is None:
            return False
        if delivery.notified is None:
            return delivery.lost is not None
        return delivery.shown is not None or self.refetch_error is not None

    def _take(self, event: "Arrival | ProbeError | _SendResult") -> bool:
        """Notes what happened; whether it makes a page refetch."""
        delivery = self.delivery
        match event:
            case _SendResult():
                self._answered(event)
            case ProbeError():
                delivery.lost = event.detail or event.failure
            case Arrival():
                try:
                    frame = self.page.read(event)
                except ProbeError as error:
                    delivery.unreadable = error.detail
                    return False
                if frame.kind is not Kind.MESSAGE or event.at < self._sent:
                    return False
                if frame.chat_id != self.chat_id:
                    delivery.other_frames += 1
                elif frame.from_customer and delivery.notified is None:
                    delivery.notified = event.at - self._sent
                return True
        return False

    def _answered(self, sent: "_SendResult") -> None:
        try:
            if isinstance(sent.answer, ProbeError):
                raise sent.answer
            self.status, self.redirected = sent.answer.status, sent.answer.redirected
            reading(self.target.read_sent, accepted(sent.answer).body)
            self.delivery.accepted = sent.answer.done - self._sent
        except ProbeError as error:
            self.send_error = error
        except Unreadable as error:
            self.send_error = ProbeError(Failure.UNREADABLE, excerpt(str(error)), self.status)

    def _look(self, deadline: float, *, by_page: bool) -> None:
        delivery = self.delivery
        if delivery.shown is not None:
            return
        try:
            chats, answer = self.page.refetch(deadline)
        except ProbeError as error:
            if by_page and delivery.notified is not None:
                self.refetch_error = error
            return
        chat = next((chat for chat in chats if chat.chat_id == self.chat_id), None)
        delivery.chats, delivery.listed, delivery.refetch = len(chats), chat is not None, answer.took
        self.sight = self._sight_of(chat) if chat is not None else ""
        if self.sight:
            delivery.shown, delivery.by_page = answer.done - self._sent, by_page

    def _sight_of(self, chat: Chat) -> str:
        if any(text.text == self.text for text in chat.texts):
            return "its text is in the list"
        # Only this widget writes to this chat, and texts may be cut or left out of a list.
        if self.before is not None and chat.total > self.before:
            return f"as a count, {self.before} → {chat.total}"
        return ""

    def _find(self, end: float) -> None:
        """Where is a message that was not shown? Without an answer, it stays unknown."""
        self._look(time.monotonic() + (end - time.monotonic()) / 2, by_page=False)
        if self.delivery.shown is not None:
            return
        with contextlib.suppress(ProbeError, Unreadable):
            answer = accepted(self.widget.request(self.target.whole_chat(self.chat_id), end))
            self.delivery.stored = bool(self._sight_of(reading(self.target.read_whole_chat, answer.body)))


@dataclass(frozen=True, slots=True)
class _SendResult:
    answer: ProbeResponse | ProbeError


def _send(
    widget: Http, request: Request, deadline: float, events: "queue.SimpleQueue[Arrival | ProbeError | _SendResult]"
) -> None:
    try:
        events.put(_SendResult(widget.request(request, deadline)))
    except ProbeError as error:
        events.put(_SendResult(error))
