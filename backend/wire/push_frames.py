"""The push chat's frames: what clients send, and what the backend sends, encoded once into the bytes on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatswarm.backend.store.records import Post

from .frames import text_frame
from .shapes import encode

LONGEST_REF = 100
"""Characters in a `ref`."""

Ref = Annotated[str, Meta(max_length=LONGEST_REF)]
_Id = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class AuthFrame(msgspec.Struct, tag="auth"):
    """The token, as the first frame of a connection whose handshake had none."""

    token: str


class JoinFrame(msgspec.Struct, tag="join"):
    """Asks for the messages of a room; with `after`, also for all that came after that one."""

    ref: Ref
    room: str
    after: _Id | None = None


class LeaveFrame(msgspec.Struct, tag="leave"):
    """Asks for no more messages of a room."""

    ref: Ref
    room: str


class SendFrame(msgspec.Struct, tag="send"):
    """A message to post. `ref` is its idempotency key, too."""

    ref: Ref
    room: str
    text: str


class PingFrame(msgspec.Struct, tag="ping"):
    """Asks for a pong."""


ClientFrame = AuthFrame | JoinFrame | LeaveFrame | SendFrame | PingFrame

decode_frame = msgspec.json.Decoder(ClientFrame).decode
"""Decodes one frame of a client. Raises msgspec.MsgspecError, ValueError or RecursionError."""


class _Hello(msgspec.Struct):
    type: Literal["hello"]
    user: str
    server: str


class _PostFrame(msgspec.Struct, omit_defaults=True):
    type: Literal["message"]
    room: str
    id: int
    user: str
    text: str
    sent_at: str
    replay: bool = False


class _Joined(msgspec.Struct, omit_defaults=True):
    type: Literal["joined"]
    ref: str
    room: str
    last: int
    gap: bool = False


class _Refused(msgspec.Struct):
    type: Literal["refused"]
    ref: str
    room: str
    error: str


class _Left(msgspec.Struct):
    type: Literal["left"]
    room: str
    ref: str | UnsetType = UNSET


class _Ack(msgspec.Struct):
    type: Literal["ack"]
    ref: str
    room: str
    id: int


class _Nack(msgspec.Struct):
    type: Literal["nack"]
    ref: str
    error: str
    status: int


class _PushError(msgspec.Struct):
    type: Literal["error"]
    error: str


PONG = text_frame(b'{"type":"pong"}')
"""The reply to ping."""


def hello(user: str, server: str) -> bytes:
    """The first frame once the user is known."""
    return text_frame(encode(_Hello("hello", user, server)))


def post_frame(post: Post, *, replay: bool = False) -> bytes:
    """A message, the same bytes for every connection."""
    return text_frame(encode(_PostFrame("message", post.room, post.id, post.user, post.text, post.at, replay)))


def joined(ref: str, room: str, last: int, *, gap: bool = False) -> bytes:
    """The reply to join: live frames follow. With `gap`, not everything that was missed was replayed."""
    return text_frame(encode(_Joined("joined", ref, room, last, gap)))


def refused(ref: str, room: str, error: str) -> bytes:
    """The reply to a join that is not allowed."""
    return text_frame(encode(_Refused("refused", ref, room, error)))


def left(room: str, ref: str | None = None) -> bytes:
    """The reply to leave; without `ref`, the membership has ended."""
    return text_frame(encode(_Left("left", room, UNSET if ref is None else ref)))


def ack(ref: str, room: str, post_id: int) -> bytes:
    """A sent message is on disk."""
    return text_frame(encode(_Ack("ack", ref, room, post_id)))


def nack(ref: str, error: str, status: int) -> bytes:
    """A sent message was refused; `status` is that of the same send by HTTP."""
    return text_frame(encode(_Nack("nack", ref, error, status)))


def push_error(error: str) -> bytes:
    """The reply to a frame that cannot be understood."""
    return text_frame(encode(_PushError("error", error)))
