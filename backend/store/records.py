"""The store's data types: customers, chats, messages, rooms, posts, commits, positions and errors."""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["user", "agent"]


class StoredCustomer(msgspec.Struct, frozen=True):
    """A person who filled in a widget's contact form. `created_at` is ISO 8601, UTC, like all times here."""

    id: str
    name: str
    email: str | None
    category: str
    status: str
    created_at: str


class StoredChat(msgspec.Struct, frozen=True):
    """One chat of one customer. `row` is its number in the store, `id` its id on the wire."""

    row: int
    id: str
    customer_id: str
    status: str
    created_at: str


class Message(msgspec.Struct, frozen=True, gc=False):
    """One stored message. `id` grows in commit order over all chats, `seq` is 1, 2, … in its chat."""

    id: int
    chat_id: str
    seq: int
    role: Role
    text: str
    at: str


class Post(msgspec.Struct, frozen=True, gc=False):
    """One message of the push chat. `id` is 1, 2, … in commit order over all rooms."""

    id: int
    room: str
    user: str
    text: str
    at: str


class RoomChange(msgspec.Struct, frozen=True, gc=False):
    """A room was created (`user` is None), or a user's membership of it began or ended.

    `number` is 1, 2, … in commit order. `after` is its place among the posts: the id of the last post before it.
    """

    number: int
    after: int
    row: int
    room: str
    user: str | None
    member: int
    """1 if a membership began, 0 if it ended."""


class StoredRoom(msgspec.Struct, frozen=True):
    """A room of the push chat. `last` is the id of its newest post, 0 if it has none."""

    row: int
    name: str
    last: int
    members: frozenset[str]


class Position(msgspec.Struct, frozen=True, gc=False):
    """A position in the log: the last message's id, the last chat's row, the number of the last customer change, the
    last post's id, and the number of the last change of a room.
    """

    messages: int = 0
    chats: int = 0
    customers: int = 0
    posts: int = 0
    rooms: int = 0


class Committed(msgspec.Struct):
    """What was committed between the positions `before` and `after`, in order, without retries that stored nothing.

    `moments` is each message's commit time on time.monotonic's clock; None if another worker committed it.
    `post_moments` is the same for each post. The place of each change among the posts is its `after`.
    """

    before: Position
    after: Position
    customers: list[StoredCustomer] = []
    chats: list[StoredChat] = []
    messages: list[Message] = []
    moments: list[float | None] = []
    posts: list[Post] = []
    post_moments: list[float | None] = []
    room_changes: list[RoomChange] = []


class StoreUnavailableError(Exception):
    """The write certainly did not happen, so the caller may retry."""


class OutcomeUnknownError(Exception):
    """The store failed, and the write may or may not have happened."""
