"""Takes what comes over a user's socket: records messages, and follows what all other frames mean.

Nothing here waits: it is called from the event loop.
"""

import time
from collections.abc import Callable, Sequence

import gevent

from chatswarm.loadtests.history.tables import RECOVERED, MembershipEvent, Sighting
from chatswarm.loadtests.protocols.protocol import (
    Frame,
    Kind,
    Outgoing,
    Request,
    Session,
    Taken,
    Unreadable,
    UnreadableHere,
    read,
)

from .account import Account, answer_of
from .missed_read import MissedRead
from .net.websocket import WebSocket
from .node import Node
from .pending_sends import PendingSends
from .recorder import Announced

_MESSAGE = Kind.MESSAGE  # a global is faster than a member of an enum
_LIVE, _REPLAYED = Sighting.LIVE, Sighting.REPLAYED


class Intake:
    """Of one user, over one socket after another."""

    def __init__(
        self, node: Node, account: Account, dashboard: int, sends: PendingSends,
        on_messages: Callable[[int], object] | None = None, on_dropped: Callable[[str], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """`dashboard`: its number; -1: a widget, whose messages are nobody's deliveries, and are not recorded.
        `on_messages`: called with how many WebSocket messages that have a chat's message came together;
        `on_dropped`: with a room whose subscription the target has ended, though the user is still a member.
        """
        self._node = node
        self._recorder = node.recorder
        self._run = node.plan.run
        self._progress = node.progress
        self._account = account
        self._dashboard = dashboard
        self._sends = sends
        self._echoes = sends.echoes
        self._on_messages = on_messages
        self._on_dropped = on_dropped
        self._record_frame = node.recorder.frame if dashboard >= 0 else _ignore
        self._last: dict[str, Frame] = {}
        self.begin(-1)

    def begin(self, connection: int, room: str = "") -> None:
        """A new connection begins, with this number. `room`: its only one, which its frames do not name."""
        self._number = connection
        self._room = room
        self._known = self._recorder.known_in(room)
        self._socket: WebSocket | None = None
        self._session: Session | None = None
        self.awaited: set[str] = set()
        """The rooms that the target has not said yet whether it subscribes to."""
        self._asked_after: dict[str, Frame | None] = {}  # by room: the last message before it was asked for
        self.subscribed = False
        """The target said so. Rooms come after that."""
        self.subscribed_at = 0.0
        """Since when all its subscriptions so far are in force, in monotonic seconds."""
        self.greeted_at = 0.0
        """When a greeting came, in monotonic seconds."""
        self.error: bytes | None = None
        """The first error frame."""

    def attach(self, socket: WebSocket, session: Session) -> None:
        """The connection has a socket now."""
        self._socket, self._session = socket, session

    def ask(self, room: str) -> Frame | None:
        """The target is about to be asked to subscribe to a room. Returns what this user knows as its last message,
        from any connection: see `Session.join`.
        """
        self.awaited.add(room)
        last = self._asked_after[room] = self._last.get(room)
        return last

    def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Sends frames without waiting, because a target that is busy sending may read only once it is read from; makes
        requests beside that. A connection that has ended is noticed by whoever reads.
        """
        for one in outgoing:
            if isinstance(one, Request):
                gevent.spawn(self._ask, self._session, one)
            elif self._socket is not None:
                self._socket.send_soon(one)

    def _ask(self, session: Session, request: Request) -> None:
        """Makes a request of the session's, and goes on with the answer."""
        response = self._account.exchange(lambda _: request)
        if session is not self._session:
            return  # that connection has ended
        try:
            self.heed(session.answered(request, answer_of(response)), response.done)
        except Exception as error:  # noqa: BLE001 - protocols are third-party code
            detail = self._account.blanked(f"the protocol failed: {type(error).__name__}: {error}")
            self._node.trouble("frame", detail)

    def take(self, messages: Sequence[bytes]) -> None:
        """Takes WebSocket messages that came together. The hottest path of all."""
        session, known, record = self._session, self._known, self._record_frame
        number, came = self._number, self._socket.received_at  # type: ignore[union-attr]
        with_messages = 0
        for data in messages:
            announced = known.get(data)
            if announced is None or session.expects:  # type: ignore[union-attr]
                announced = self._take_new(data)
            for announcement, frame in announced:
                if frame.text is not None:
                    announcement = self._take_text(announcement, frame, frame.text, came)  # noqa: PLW2901
                if frame.source is not None:
                    self.send(session.note(frame))  # type: ignore[union-attr]
                record(number, announcement, came)
            if announced:
                self._progress.frames += len(announced)
                with_messages += 1
        if with_messages and self._on_messages is not None:
            self._on_messages(with_messages)

    def _take_new(self, data: bytes) -> Announced:
        """The messages in bytes that are new. If there is anything else in them, takes them all and returns nothing."""
        session = self._session
        assert session is not None
        try:
            frames = read(self._node.protocol.read_frames, data)
        except Unreadable as error:
            self._note_unreadable(data, error)
            return ()
        mixed, texts, ours, run = session.expects, False, False, self._run
        for frame in frames:
            if frame.kind is not _MESSAGE:
                mixed = True
            elif frame.text is not None:
                texts, ours = True, ours or (run in frame.text and "cs1" in frame.text)
        if texts and not ours:
            self._node.note_text_not_shown(data)
        if self._room:
            frames = [frame if frame.chat_id else frame._replace(chat_id=self._room) for frame in frames]
        if mixed:
            self._take_mixed(data, frames)
            return ()
        if frames and frames[0].source is not None and not session.notes:
            # These are remembered: what only a session needs must not stay.
            frames = [frame._replace(source=None) for frame in frames]
        announced: Announced
        if len(frames) == 1:  # nearly always
            announced = ((self._announce(frames[0]), frames[0]),)
        else:
            announced = tuple((self._announce(frame), frame) for frame in frames)
        if announced:
            self._recorder.remember(data, announced, self._progress.frames, self._known)
        return announced

    def _announce(self, frame: Frame) -> int:
        return self._recorder.announcement(frame, _REPLAYED if frame.replayed else _LIVE)

    def _take_text(self, announcement: int, frame: Frame, text: str, came: float) -> int:
        """Takes a message that shows its text. Returns the number of its announcement on this connection."""
        room = frame.chat_id
        self._last[room] = frame
        if self._echoes and (reference := self._echoes.get((room, text))) is not None:
            self._sends.resolve(reference, frame, came)
        if (not self.subscribed or room in self.awaited) and not frame.replayed:
            # What comes before the subscription is in force was missed and is sent again.
            return self._recorder.announcement(frame, _REPLAYED)
        return announcement

    def _take_mixed(self, data: bytes, frames: Sequence[Frame]) -> None:
        """Takes frames of which some may be no messages, in order."""
        socket, session = self._socket, self._session
        assert socket is not None
        assert session is not None
        came, before = socket.received_at, self._progress.frames
        for frame in frames:
            if frame.kind is _MESSAGE and not session.expects:
                self._show(frame, came)
                self.send(session.note(frame))
            else:
                self.heed(session.take(frame), came, data)
        if self._progress.frames > before and self._on_messages is not None:
            self._on_messages(1)

    def heed(self, taken: Taken, at: float, data: bytes = b"") -> None:
        """Follows what something means here: a frame in `data`, an answer, or the session's own first steps."""
        self.send(taken.replies)
        for frame in taken.frames:
            if frame.kind is _MESSAGE:
                self._show(frame, at)
            else:
                self._follow(frame, at, data)

    def _show(self, frame: Frame, came: float) -> None:
        """Records a message."""
        announcement = self._announce(frame)
        if frame.text is not None:
            announcement = self._take_text(announcement, frame, frame.text, came)
        self._record_frame(self._number, announcement, came)
        self._progress.frames += 1

    def _follow(self, frame: Frame, at: float, data: bytes) -> None:
        """Follows what a frame means, which came at `at` in `data`."""
        match frame.kind:
            case Kind.CONNECTED:
                self.greeted_at = time.monotonic()
            case Kind.SUBSCRIBED:
                self.subscribed, self.subscribed_at = True, at
            case Kind.JOINED:
                if frame.message_id is not None:
                    # What comes after it is missed if the connection is lost before any message has come.
                    self._last.setdefault(frame.chat_id, frame)
                self.awaited.discard(frame.chat_id)
                self.subscribed_at = at
                self._member(frame.chat_id, MembershipEvent.JOINED, at, RECOVERED if frame.recovered else "")
            case Kind.REFUSED:
                self.awaited.discard(frame.chat_id)
                self._member(frame.chat_id, MembershipEvent.REFUSED, at, frame.detail)
                detail = self._account.blanked(frame.detail)
                self._node.note_few("refused_room", f"a user was refused in a room: {detail}")
            case Kind.LEFT:
                self.awaited.discard(frame.chat_id)
                self._member(frame.chat_id, MembershipEvent.LEFT, at, frame.detail)
            case Kind.DROPPED:
                self._on_dropped(frame.chat_id)
            case Kind.MISSED:
                for room in [frame.chat_id] if frame.chat_id else list(self._asked_after):
                    if self._dashboard >= 0:
                        gevent.spawn(self._read_missed, room, self._number, self._asked_after.get(room))
            case Kind.ACKNOWLEDGED | Kind.REJECTED:
                self._sends.resolve(frame.reference, frame, at)
            case Kind.ERROR:
                if self.subscribed:
                    detail = self._account.blanked(frame.detail)
                    self._node.note_few("error_frame", f"an error frame came: {detail}")
                self.error = self.error or data or frame.detail.encode("utf-8", "replace")
            case Kind.UNKNOWN:
                self._node.note_unknown_frame(data)
            case _:
                pass

    def _read_missed(self, room: str, connection: int, last: Frame | None) -> None:
        seen = MissedRead(self._node, self._account, room, last).show(connection)
        if seen is not None and self._last.get(room) is last:
            self._last[room] = seen  # nothing newer came meanwhile

    def _member(self, room: str, event: MembershipEvent, at: float, detail: str = "") -> None:
        if self._dashboard >= 0:
            self._recorder.membership(self._number, self._dashboard, room, event, at, self._account.blanked(detail))

    def _note_unreadable(self, data: bytes, error: Unreadable) -> None:
        detail = self._account.blanked(str(error))
        self._node.note_text_not_shown(data)
        if self._dashboard >= 0:
            self._recorder.unreadable(self._number, self._socket.received_at, detail)  # type: ignore[union-attr]
        if isinstance(error, UnreadableHere):
            self._node.trouble("frame", detail)
        elif self._dashboard >= 0 and self._node.protocol.promises.visible == "frame":
            # It may have had a text, which is lost then.
            self._node.note_few("unreadable_frame", f"a frame could not be read: {detail}")
        self._node.rows.request("FRAME", "unreadable", None, len(data), detail)


def _ignore(_connection: int, _announcement: int, _time: float) -> None:
    """A widget's frames."""
