"""Reads everything in a chat as what the target sends to a new connection."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.protocol import (
    ChatProtocol,
    Frame,
    Kind,
    Session,
    Text,
    Unreadable,
    read,
)

from .account import UNAUTHORIZED, Account
from .net.websocket import Closed, ConnectError, WebSocket, socket_url
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
    login = account.log_in()
    shake = protocol.handshake(account.user)
    headers = dict(shake.headers)
    if plan.origin is not None:
        headers["Origin"] = plan.origin
    address = parse_address(plan.base_url)
    try:
        socket = WebSocket(
            socket_url(plan.base_url, shake.path), _PATIENCE, headers, (address.host, address.port),
            subprotocols=shake.subprotocols, deflate=deflate, cookies=account.cookies,
        )  # fmt: skip
        try:
            return _Replay(socket, protocol, protocol.session(account.user, everything=True), chat_id).texts(until)
        finally:
            socket.close()
    except ConnectError as error:
        if error.status == UNAUTHORIZED:
            account.expire(login)
        raise
    except Closed as error:
        if error.code in protocol.expired_codes:
            account.expire(login)
        raise


class _Replay:
    """What one new connection is sent of a chat until it falls quiet."""

    def __init__(self, socket: WebSocket, protocol: ChatProtocol, session: Session, chat_id: str) -> None:
        self._socket = socket
        self._protocol = protocol
        self._session = session
        self._chat_id = chat_id
        self._texts: list[Text] = []
        confirms = protocol.promises.confirms_subscriptions
        self._subscribed = not confirms
        self._joined = not confirms or not protocol.promises.has_rooms

    def texts(self, until: float) -> Sequence[Text]:
        """All its messages. Raises Closed, Unreadable."""
        for text in self._session.open():
            self._socket.send_soon(text)
        self._take_until(lambda: self._subscribed, "subscribed")
        if self._protocol.promises.has_rooms:
            for text in self._session.join(self._chat_id, None):
                self._socket.send_soon(text)
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

    def _take(self, messages: Sequence[bytes]) -> None:
        for data in messages:
            for frame in read(self._protocol.read_frames, data):
                if frame.kind is Kind.MESSAGE:
                    if frame.chat_id == self._chat_id and frame.text is not None:
                        self._texts.append(_ReplayedText(frame.text, frame.from_customer, frame.message_id))
                    continue
                taken = self._session.take(frame)
                for reply in taken.replies:
                    self._socket.send_soon(reply)
                self._follow(taken.frame)

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
