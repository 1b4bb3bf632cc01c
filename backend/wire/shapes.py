"""The JSON shapes of requests and responses, from which the OpenAPI document is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chatswarm.backend.store.records import Message, Role, StoredChat, StoredCustomer

encode = msgspec.json.Encoder().encode

Time = Annotated[
    str,
    Meta(
        description="ISO 8601, UTC",
        examples=["2026-01-31T12:00:00.000000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
ChatId = Annotated[str, Meta(description="A chat's id", examples=["3f2b8c1e-6a4d-4e0b-9a57-0c1d2e3f4a5b"])]
UserId = Annotated[str, Meta(description="A customer's id", examples=["7d9e1f20-3b4c-4d5e-8f60-1a2b3c4d5e6f"])]
MessageId = Annotated[
    int, Meta(description="Grows from message to message, over all chats, in commit order", examples=[42])
]
Seq = Annotated[int, Meta(description="1, 2, 3, … in its chat", examples=[7])]
Text = Annotated[str, Meta(examples=["Hello"])]
Name = Annotated[str, Meta(examples=["Ann"])]
Email = Annotated[str, Meta(examples=["ann@example.org"])]


class ContactForm(msgspec.Struct):
    """A customer, found by email or created. Other fields are stored with it."""

    email: Email | None = None
    name: Name | None = None
    category: Annotated[str, Meta(examples=["lead"])] | None = None


class NewChat(msgspec.Struct):
    """Whose chat to open: the customer with this id, or else this email; created if missing."""

    user_id: UserId | None = None
    email: Email | None = None
    name: Name | None = None


class NewMessage(msgspec.Struct, gc=False):
    """A message to send. The path decides its role; `role` is accepted and ignored."""

    content: Text
    role: Annotated[str, Meta(examples=["user"])] | None = None


class Refusal(msgspec.Struct):
    """Why a request was refused."""

    message: Annotated[str, Meta(examples=["content: expected text, got nothing"])]
    success: Literal[False] = False


class Saved(msgspec.Struct):
    """A contact form was saved."""

    success: Literal[True]
    message: Annotated[str, Meta(examples=["Contact data saved"])]


class OpenedChat(msgspec.Struct):
    """A chat was opened."""

    success: Literal[True]
    chat_id: ChatId
    user_id: UserId
    message: Annotated[str, Meta(examples=["Chat created"])]


class SentMessage(msgspec.Struct, gc=False):
    """A message is on disk, and every dashboard will be notified."""

    success: Literal[True]
    message: Annotated[str, Meta(examples=["Message sent"])]
    message_id: MessageId
    seq: Seq


class Health(msgspec.Struct):
    """Whether the store can be written."""

    status: Literal["ok", "unavailable"]
    message: Annotated[str, Meta(examples=["The store is writable"])]


class ShownMessage(msgspec.Struct, gc=False):
    """A message in a list of chats."""

    role: Role
    text: Text
    timestamp: Time
    read: bool = False


class NumberedMessage(msgspec.Struct, gc=False):
    """A message in `GET /api/chats/{chat_id}`, whose parameter `after` refers to `seq`."""

    role: Role
    text: Text
    timestamp: Time
    read: bool
    message_id: MessageId
    seq: Seq


class ShownChat(msgspec.Struct):
    """A chat with all, or the last few, of its messages."""

    chat_id: ChatId
    status: str
    created_at: Time
    last_activity: Time
    total_messages: int
    messages: list[ShownMessage]


class WholeChat(msgspec.Struct):
    """The response to `GET /api/chats/{chat_id}`."""

    chat_id: ChatId
    user_id: UserId
    status: str
    created_at: Time
    last_activity: Time
    total_messages: int
    messages: list[NumberedMessage]


class CustomersChats(msgspec.Struct):
    """The response to `GET /api/users/{user_id or email}/chats`."""

    user_id: UserId
    user_name: Name
    user_email: Email | None
    chats: list[ShownChat]
    total_chats: int


class UserHead(msgspec.Struct):
    """A customer in the list, without chats."""

    id: UserId = msgspec.field(name="_id")
    name: Name
    email: Email | None
    category: str
    status: str
    created_at: Time


class ListedUser(UserHead):
    """A customer in the list, with the chats shown."""

    chats: list[ShownChat]


class Listed(msgspec.Struct):
    """The chats with the newest activity, grouped by customer, newest first."""

    # For the OpenAPI document only: chat_list.py joins encoded bytes.
    users: list[ListedUser]


def shown_chat(chat: StoredChat, last_activity: Time, total: int, messages: Iterable[Message]) -> ShownChat:
    """A chat as lists show it."""
    shown = [ShownMessage(m.role, m.text, m.at) for m in messages]
    return ShownChat(chat.id, chat.status, chat.created_at, last_activity, total, shown)


def numbered(messages: Iterable[Message]) -> list[NumberedMessage]:
    """Messages as `WholeChat` shows them."""
    return [NumberedMessage(m.role, m.text, m.at, False, m.id, m.seq) for m in messages]


def user_head(customer: StoredCustomer) -> UserHead:
    """A customer as the list shows it."""
    return UserHead(
        id=customer.id,
        name=customer.name,
        email=customer.email,
        category=customer.category,
        status=customer.status,
        created_at=customer.created_at,
    )
