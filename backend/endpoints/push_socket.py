"""`/ws/push`: the handshake, and the reply to each frame. Nothing here waits for a slow reader.

A send is one task, so that a client may send on while a commit is running; the reply follows the commit.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import msgspec
from starlette.types import Message, Receive, Scope

from chatswarm.backend.chat.push_service import PostRefusedError, PushService
from chatswarm.backend.chat.rooms import JoinedRoom, Room
from chatswarm.backend.fanout.replay import replay
from chatswarm.backend.fanout.sockets import Close, DashboardProtocol
from chatswarm.backend.http.auth import presented
from chatswarm.backend.http.responses import push_refusal
from chatswarm.backend.http.user_tokens import SUBPROTOCOL, UserTokens
from chatswarm.backend.store.records import StoreUnavailableError
from chatswarm.backend.wire import push_frames as frames

from .socket_endpoint import NO_TOKEN, HandshakeRefusal, SocketEndpoint

SOCKET: Final = "/ws/push"

LONGEST_REPLAY: Final = 1000
"""At most this many messages are replayed to one who joins; whoever missed more reads the room's messages by HTTP."""

MAX_SENDS: Final = 256
"""How many sends of one connection may wait for a commit. At this number, no more frames are read from it."""


class PushEndpoint(SocketEndpoint):
    """Accepts connections whose token is valid, and those without one, which have to send it in their first frame."""

    full = HandshakeRefusal("full", 503, "Too many connections", ((b"retry-after", b"1"),))
    subprotocol = SUBPROTOCOL
    refusal_type = b"application/json"

    def __init__(self, service: PushService, tokens: UserTokens) -> None:
        super().__init__(service)
        self._service = service
        self._tokens = tokens

    def _denied(self, scope: Scope) -> HandshakeRefusal | None:
        token = _token(scope)
        return NO_TOKEN if token is not None and self._tokens.user(token, time.time()) is None else None

    def _refusal_body(self, message: str) -> bytes:
        return push_refusal(message)

    async def _serve(self, connection: DashboardProtocol, scope: Scope, receive: Receive) -> None:
        token = _token(scope)
        if token is None:
            token = await _first_token(receive, self._settings.request_timeout)
            if token is None:
                return
        user = self._tokens.user(token, time.time())
        if user is None:
            self._metrics.turned_away["token"].inc()
            connection.close(Close.NO_TOKEN, "expected a valid token")
            return
        await _PushConnection(self._service, connection, user).run(receive)


def _token(scope: Scope) -> bytes | None:
    """The token of a handshake; None if it has none."""
    token = presented(scope["headers"], scope["subprotocols"])
    if token is None and scope["query_string"]:
        given = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("token")
        token = given[-1].encode() if given else None
    return token


async def _first_token(receive: Receive, longest: float) -> bytes | None:
    """The token in the first frame, b"" for any other frame and for none within `longest` seconds; None if the client
    is gone.
    """
    try:
        async with asyncio.timeout(longest):
            message = await receive()
    except TimeoutError:
        return b""
    if message["type"] != "websocket.receive":
        return None
    try:
        frame = frames.decode_frame(message.get("text") or "")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return b""
    return frame.token.encode() if isinstance(frame, frames.AuthFrame) else b""


class RoomReplay:
    """The messages that somebody who joins a room has missed."""

    def __init__(self, service: PushService, room: Room, ref: str) -> None:
        self._service = service
        self._room = room
        self._ref = ref

    async def fits(self, after: int, upto: int) -> bool:
        """Whether there are few enough. An id from after the end of the log comes from another store."""
        if after > self._service.head:
            return False
        return await self._service.log.count_posts(self._room.row, after, upto, LONGEST_REPLAY + 1) <= LONGEST_REPLAY

    async def page(self, after: int, upto: int, limit: int) -> tuple[int, list[bytes]]:
        """A page of messages, marked as replayed."""
        posts = await self._service.log.posts_page(self._room.row, after, upto, limit)
        return posts[-1].id if posts else after, [frames.post_frame(each, replay=True) for each in posts]

    def finished(self, last: int, *, complete: bool) -> bytes:
        """The reply to join."""
        return frames.joined(self._ref, self._room.name, last, gap=not complete)


@dataclass
class _Membership:
    """A room that a connection has joined, or is joining while its replay runs."""

    ref: str
    joined: JoinedRoom
    replay: asyncio.Task[None] | None = None


class _PushConnection:
    """One connection of a known user."""

    def __init__(self, service: PushService, connection: DashboardProtocol, user: str) -> None:
        self._service = service
        self._connection = connection
        self._user = user
        self._id = str(uuid.uuid4())
        self._rooms: dict[str, _Membership] = {}
        self._sends: set[asyncio.Task[None]] = set()

    async def run(self, receive: Receive) -> None:
        self._connection.write(frames.hello(self._user, self._service.name))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self._connection.write(self._reply(message))
                if len(self._sends) >= MAX_SENDS:
                    await asyncio.wait(self._sends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for room in list(self._rooms):
                self._forget(room)

    def _reply(self, message: Message) -> bytes:
        """The reply to one message; b"" if it has already been sent, or will be."""
        text = message.get("text")
        if text is None:
            return frames.push_error("Expected a JSON text frame, got a binary one")
        try:
            frame = frames.decode_frame(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return frames.push_error(f"Expected a JSON object with a known type and its fields, got: {error}")
        if isinstance(frame, frames.SendFrame):
            self._service.unacknowledged += 1
            task = asyncio.get_running_loop().create_task(self._send(frame))
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)
            return b""
        if isinstance(frame, frames.JoinFrame):
            return self._join(frame)
        if isinstance(frame, frames.LeaveFrame):
            self._forget(frame.room)
            return frames.left(frame.room, frame.ref)
        if isinstance(frame, frames.PingFrame):
            return frames.PONG
        return frames.push_error("Expected no auth: the user is known")

    async def _send(self, frame: frames.SendFrame) -> None:
        service = self._service
        try:
            posted = await service.post(self._user, frame.room, frame.text, frame.ref)
        except PostRefusedError as refused:
            self._connection.write(frames.nack(frame.ref, refused.message, refused.status))
        else:
            self._connection.write(frames.ack(frame.ref, frame.room, posted.id))
        finally:
            service.unacknowledged -= 1

    def _join(self, frame: frames.JoinFrame) -> bytes:
        service = self._service
        try:
            room = service.room_of(self._user, frame.room)
        except PostRefusedError as refused:
            return frames.refused(frame.ref, frame.room, refused.message)
        except StoreUnavailableError as error:
            # Whoever was removed meanwhile must not be let in.
            return frames.refused(frame.ref, frame.room, f"The store is not available: {error}")
        known = self._rooms.get(frame.room)
        if known is not None and frame.after is None and not known.joined.subscriber.holding:
            # Nothing to do: leaving first would drop what is still on its way to this connection.
            return frames.joined(frame.ref, frame.room, room.last)
        self._forget(frame.room)
        # Registering takes the room's newest post in the same step: later ones arrive live, earlier ones are replayed.
        joined = room.join(
            self._user,
            self._connection,
            self._id,
            lambda: self._removed(frame.room),
            hold=frame.after is not None,
        )
        membership = self._rooms[frame.room] = _Membership(frame.ref, joined)
        self._count(1)
        since = joined.subscriber.since
        if frame.after is None:
            return frames.joined(frame.ref, frame.room, since)
        assert room.hub is not None
        membership.replay = asyncio.get_running_loop().create_task(
            replay(
                room.hub,
                joined.subscriber,
                frame.after,
                RoomReplay(service, room, frame.ref),
                service.metrics,
                max_unsent=service.settings.buffer_limit // 4,
            )
        )
        return b""

    def _removed(self, room: str) -> None:
        """The user is no member of this room any more."""
        membership = self._rooms[room]
        joining = membership.joined.subscriber.holding
        self._forget(room)
        if joining:
            self._connection.write(frames.refused(membership.ref, room, "The membership has ended"))
        else:
            self._connection.write(frames.left(room))

    def _forget(self, room: str) -> None:
        """Leave a room, if it was joined."""
        membership = self._rooms.pop(room, None)
        if membership is None:
            return
        if membership.replay is not None:
            membership.replay.cancel()
        membership.joined.room.leave(membership.joined)
        self._count(-1)

    def _count(self, change: int) -> None:
        metrics = self._service.metrics
        metrics.joined.inc(change)
        if len(self._rooms) == (1 if change > 0 else 0):
            metrics.subscribed.inc(change)
