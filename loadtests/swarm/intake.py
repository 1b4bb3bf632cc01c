"""Takes what comes over a user's socket: records messages, and follows what all other frames mean.

Nothing here waits: it is called from the event loop.
"""

import time
from collections.abc import Callable, Sequence

import gevent

from chatswarm.loadtests.history.tables import MembershipEvent, Sighting
from chatswarm.loadtests.protocols.protocol import Frame, Kind, Session, Unreadable, UnreadableHere, read

from .account import Account
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
        on_message: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        """`dashboard`: its number; -1: a widget, whose messages are nobody's deliveries, and are not recorded.
        `on_message`: called for every WebSocket message that has a chat's message.
        """
        self._node = node
        self._recorder = node.recorder
        self._known = node.recorder.known
        self._progress = node.progress
        self._account = account
        self._dashboard = dashboard
        self._sends = sends
        self._echoes = sends.echoes
        self._on_message = on_message
        self._record_frame = node.recorder.frame if dashboard >= 0 else _ignore
        self._last: dict[str, Frame] = {}
        self.begin(-1)

    def begin(self, connection: int) -> None:
        """A new connection begins, with this number."""
        self._number = connection
        self._socket: WebSocket | None = None
        self._session: Session | None = None
        self.awaited: set[str] = set()
        """The rooms that the target has not said yet whether it subscribes to."""
        self._asked_after: dict[str, Frame | None] = {}  # by room: the last message before it was asked for
        self.subscribed = False
        """The target said so. Rooms come after that."""
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

    def joined(self, room: str, at: float) -> None:
        """The subscription to a room is in force since `at`."""
        self.awaited.discard(room)
        self._member(room, MembershipEvent.JOINED, at)

    def take(self, data: bytes) -> None:
        """Takes one WebSocket message. The hottest path of all."""
        announced = self._known.get(data)
        if announced is None:
            announced = self._take_new(data)
            if not announced:
                return
        number, came = self._number, self._socket.received_at  # type: ignore[union-attr]
        for announcement, frame in announced:
            if frame.text is not None:
                announcement = self._take_text(announcement, frame, frame.text, came)  # noqa: PLW2901
            self._record_frame(number, announcement, came)
        self._progress.frames += len(announced)
        if self._on_message is not None:
            self._on_message()

    def _take_new(self, data: bytes) -> Announced:
        """The messages in bytes that are new. If there is anything else in them, takes them all and returns nothing."""
        try:
            frames = read(self._node.protocol.read_frames, data)
        except Unreadable as error:
            self._note_unreadable(data, error)
            return ()
        if len(frames) == 1 and frames[0].kind is _MESSAGE:  # nearly always
            frame = frames[0]
            announced: Announced = ((self._announce(frame), frame),)
        else:
            announced = tuple((self._announce(frame), frame) for frame in frames if frame.kind is _MESSAGE)
            if len(announced) < len(frames):
                self._take_mixed(data, frames, announced)
                return ()
        if announced:
            self._recorder.remember(data, announced, self._progress.frames)
        return announced

    def _announce(self, frame: Frame) -> int:
        return self._recorder.announcement(frame, _REPLAYED if frame.replayed else _LIVE)

    def _take_text(self, announcement: int, frame: Frame, text: str, came: float) -> int:
        """Takes a message that shows its text. Returns the number of its announcement on this connection."""
        room = frame.chat_id
        self._last[room] = frame
        if self._echoes and (reference := self._echoes.get((room, text))) is not None:
            self._sends.resolve(reference, frame, came)
        if room in self.awaited and not frame.replayed:
            # What comes before the subscription is in force was missed and is sent again.
            return self._recorder.announcement(frame, _REPLAYED)
        return announcement

    def _take_mixed(self, data: bytes, frames: Sequence[Frame], announced: Announced) -> None:
        """Takes frames of which at least one is no message, in order."""
        socket, session, messages = self._socket, self._session, iter(announced)
        assert socket is not None
        assert session is not None
        came = socket.received_at
        for frame in frames:
            if frame.kind is _MESSAGE:
                announcement, _ = next(messages)
                if frame.text is not None:
                    announcement = self._take_text(announcement, frame, frame.text, came)
                self._record_frame(self._number, announcement, came)
                continue
            taken = session.take(frame)
            for reply in taken.replies:
                socket.send_soon(reply)
            self._follow(taken.frame, came, data)
        self._progress.frames += len(announced)
        if announced and self._on_message is not None:
            self._on_message()

    def _follow(self, frame: Frame, at: float, data: bytes) -> None:
        """Follows what a frame means, which came at `at` in `data`."""
        match frame.kind:
            case Kind.CONNECTED:
                self.greeted_at = time.monotonic()
            case Kind.SUBSCRIBED:
                self.subscribed = True
            case Kind.JOINED:
                if frame.message_id is not None:
                    # What comes after it is missed if the connection is lost before any message has come.
                    self._last.setdefault(frame.chat_id, frame)
                self.joined(frame.chat_id, at)
            case Kind.REFUSED:
                self.awaited.discard(frame.chat_id)
                self._member(frame.chat_id, MembershipEvent.REFUSED, at, frame.detail)
                detail = self._account.blanked(frame.detail)
                self._node.note_few("refused_room", f"a user was refused in a room: {detail}")
            case Kind.LEFT:
                self.awaited.discard(frame.chat_id)
                self._member(frame.chat_id, MembershipEvent.LEFT, at, frame.detail)
            case Kind.MISSED:
                if self._dashboard >= 0:
                    gevent.spawn(self._read_missed, frame.chat_id, self._number, self._asked_after.get(frame.chat_id))
            case Kind.ACKNOWLEDGED | Kind.REJECTED:
                self._sends.resolve(frame.reference, frame, at)
            case Kind.ERROR:
                self.error = self.error or data
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
        if isinstance(error, UnreadableHere):
            self._node.trouble("frame", detail)
        elif self._dashboard >= 0 and self._node.protocol.promises.visible == "frame":
            # It may have had a text, which is lost then.
            self._node.note_few("unreadable_frame", f"a frame could not be read: {detail}")
        self._node.rows.request("FRAME", "unreadable", None, len(data), detail)


def _ignore(_connection: int, _announcement: int, _time: float) -> None:
    """A widget's frames."""
