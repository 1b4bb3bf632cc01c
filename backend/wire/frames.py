"""Every frame that the backend sends, encoded once into the bytes on the wire."""

from __future__ import annotations

from typing import Literal

import msgspec
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from chatswarm.backend.store.records import Message

from .shapes import encode

CHAT_UPDATES = "chat_updates"

CHANNELS = frozenset({CHAT_UPDATES, "unread_counts", "website_status"})
"""The original's channels. Messages are announced on chat_updates; nothing is sent on the others."""


class OutgoingFrame(msgspec.Struct, frozen=True, gc=False):
    """A message's encoded announcement. `committed` is its commit time on time.monotonic's clock."""

    message_id: int
    data: bytes
    committed: float


class _Notification(msgspec.Struct):
    type: Literal["chat_message_notification"]
    chat_id: str
    message_role: str
    timestamp: str
    message_id: int
    seq: int


class _Update(msgspec.Struct):
    type: Literal["chat_updates"]
    data: _Notification


class _Connected(msgspec.Struct):
    type: Literal["connected"]
    connection_id: str
    message: str


class _Subscribed(msgspec.Struct):
    type: Literal["subscribed"]
    subscription_type: str
    last_message_id: int


class _Unsubscribed(msgspec.Struct):
    type: Literal["unsubscribed"]
    subscription_type: str


class _Pong(msgspec.Struct):
    type: Literal["pong"]
    timestamp: str


class _Error(msgspec.Struct):
    type: Literal["error"]
    message: str


class _Refetch(msgspec.Struct):
    type: Literal["refetch"]
    subscription_type: str
    last_message_id: int


def notification(message: Message) -> bytes:
    """The JSON that announces a message."""
    inner = _Notification(
        "chat_message_notification", message.chat_id, message.role, message.at, message.id, message.seq
    )
    return encode(_Update("chat_updates", inner))


def text_frame(payload: bytes) -> bytes:
    """A complete, unmasked text frame."""
    return WebSocketFrame(Opcode.TEXT, payload).serialize(mask=False)


def connected(connection_id: str) -> bytes:
    """The first frame on every connection."""
    return text_frame(encode(_Connected("connected", connection_id, "WebSocket connected")))


def subscribed(channel: str, last_message_id: int) -> bytes:
    """The reply to subscribe."""
    return text_frame(encode(_Subscribed("subscribed", channel, last_message_id)))


def unsubscribed(channel: str) -> bytes:
    """The reply to unsubscribe."""
    return text_frame(encode(_Unsubscribed("unsubscribed", channel)))


def pong(timestamp: str) -> bytes:
    """The reply to ping."""
    return text_frame(encode(_Pong("pong", timestamp)))


def error(message: str) -> bytes:
    """The reply to an invalid message."""
    return text_frame(encode(_Error("error", message)))


def refetch(channel: str, last_message_id: int) -> bytes:
    """An extension: the replay would be incomplete, so refetch the list; frames go on after `last_message_id`."""
    return text_frame(encode(_Refetch("refetch", channel, last_message_id)))
