"""The JSON shapes of the push chat's requests and responses, from which its OpenAPI document is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from chatswarm.backend.store.records import Post

from .shapes import MessageId, Text, Time

UserName = Annotated[str, Meta(description="A user's name", examples=["ann"])]
RoomName = Annotated[str, Meta(description="A room's name", examples=["kitchen"])]


class PushRefusal(msgspec.Struct):
    """Why a request was refused."""

    error: Annotated[str, Meta(examples=["text: expected text, got nothing"])]


class Login(msgspec.Struct):
    """Who wants a token; `key` is the service key, if the server has one."""

    user: UserName
    key: str | None = None


class LoggedIn(msgspec.Struct):
    """A token for this user."""

    user: UserName
    token: str
    expires_in: Annotated[float, Meta(description="Seconds until it expires", examples=[3600])]


class RoomMembers(msgspec.Struct):
    """All members of a room."""

    members: list[UserName]


class SavedRoom(msgspec.Struct):
    """A room, and how many members it has."""

    room: RoomName
    members: int


class NewPost(msgspec.Struct, gc=False):
    """A message to post."""

    text: Text


class PostedMessage(msgspec.Struct, gc=False):
    """A message is on disk, and every member who has joined the room gets it."""

    room: RoomName
    id: MessageId


class ShownPost(msgspec.Struct, gc=False):
    """A message in a room."""

    id: MessageId
    user: UserName
    text: Text
    sent_at: Time


class RoomPage(msgspec.Struct):
    """Messages of a room, oldest first. `next` is the `after` of the next page, null on the last one."""

    room: RoomName
    messages: list[ShownPost]
    next: MessageId | None


def shown_posts(posts: Iterable[Post]) -> list[ShownPost]:
    """Messages as `RoomPage` shows them."""
    return [ShownPost(each.id, each.user, each.text, each.at) for each in posts]
