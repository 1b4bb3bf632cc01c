"""Reads everything in a chat as what the target sends to a new connection."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.protocol import (
    ChatProtocol,
    Frame,
    Kind,
    Outgoing,
    Request,
    Session,
    Taken,
    Text,
    Unreadable,
    read,
)

from .account import Account, answer_of
from .net.websocket import Closed, ConnectError, WebSocket
from .plan import RunPlan

_QUIET = 1.0  # seconds without a message after which a replay is over
_PATIENCE = 10.0  # seconds for the handshake, and for each confirmation


class _ReplayedText(NamedTuple):
    """A message that was sent over a socket."""

    text: str
    from_customer: bool
    message_id: int | str | None


def replayed(
    plan: RunPlan, protocol: ChatProtocol, account: Account, chat_id: str, *, deflate: bool, until: float
) -> Sequence[Text]:  # fmt: skip
    """All messages of a chat, oldest first. `deflate`: whether to offer compression; `until`: when to give up a replay
    that does not end, in monotonic seconds.

    Raises ConnectError, Closed, LoginError, and Unreadable: also if the target says that it does not send all of them.
    """
    login, user = account.log_in(), account.user
    room = chat_id if protocol.promises.one_room else ""
    address = parse_address(plan.base_url)
    via = (address.host, address.port)
    try:
        socket = account.open_socket(
            plan.base_url, via, plan.origin, _PATIENCE, everything=True, room=room, deflate=deflate
        )
        try:
            session = protocol.session(user, everything=True, room=room)
            return _Replay(socket, protocol, account, session, chat_id).texts(until)
        finally:
            socket.close()
    except (ConnectError, Closed) as error:
        account.note_loss(error, login)
        raise


class _Replay:
    """What one new connection is sent of a chat until it falls quiet."""

    def __init__(
        self, socket: WebSocket, protocol: ChatProtocol, account: Account, session: Session, chat_id: str
    ) -> None:
        self._socket = socket
        self._protocol = protocol
        self._account = account
        self._session = session
        self._chat_id = chat_id
        self._texts: list[Text] = []

    def texts(self, until: float) -> Sequence[Text]:
        """All its messages. Raises Closed, Unreadable."""
        self._subscribed = self._joined = False
        self._heed(self._session.open())
        self._take_until(lambda: self._subscribed, "subscribed")
        if self._protocol.promises.has_rooms:
            self._heed(self._session.join(self._chat_id, None))
            self._take_until(lambda: self._joined, "joined")
        quiet_since = time.monotonic()
        while (now := time.monotonic()) < quiet_since + _QUIET:
            if now > until:
                raise Closed(1006, f"expected the replay to end in time, got more after {len(self._texts)} messages")
            count = len(self._texts)
            self._take(self._socket.receive(quiet_since + _QUIET - now))
            if len(self._texts) > count:
                quiet_since = time.monotonic()
        return self._texts

    def _take_until(self, met: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not met():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Closed(1006, f"no {what} frame within {_PATIENCE:g} s")
            self._take(self._socket.receive(left))

    def _send(self, outgoing: Sequence[Outgoing]) -> None:
        for one in outgoing:
            if isinstance(one, Request):
                request = one
                answer = answer_of(self._account.exchange(lambda _: request))  # noqa: B023 - called at once
                self._heed(self._session.answered(request, answer))
            else:
                self._socket.send_soon(one)

    def _take(self, messages: Sequence[bytes]) -> None:
        for data in messages:
            for frame in read(self._protocol.read_frames, data):
                if frame.kind is Kind.MESSAGE and not self._session.expects:
                    self._show(frame)
                    self._send(self._session.note(frame))
                else:
                    self._heed(self._session.take(frame))

    def _heed(self, taken: Taken) -> None:
        self._send(taken.replies)
        for frame in taken.frames:
            if frame.kind is Kind.MESSAGE:
                self._show(frame)
            else:
                self._follow(frame)

    def _show(self, frame: Frame) -> None:
        if frame.chat_id in (self._chat_id, "") and frame.text is not None:
            self._texts.append(_ReplayedText(frame.text, frame.from_customer, frame.message_id))

    def _follow(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.SUBSCRIBED:
                self._subscribed = True
            case Kind.ERROR:
                raise Closed(1006, f"got an error frame: {frame.detail}")
            case Kind.JOINED if frame.chat_id == self._chat_id:
                self._joined = True
            case Kind.REFUSED if frame.chat_id == self._chat_id:
                raise Closed(1006, f"refused: {frame.detail}")
            case Kind.MISSED if frame.chat_id == self._chat_id:
                raise Unreadable("expected all messages, but the target does not send all of them again")
            case _:
                pass
