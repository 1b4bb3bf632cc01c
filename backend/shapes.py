"""How customers, chats and messages look on the wire."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chatswarm.backend.records import Chat, Customer, Message

encode = msgspec.json.Encoder().encode


class ShownMessage(msgspec.Struct, gc=False):
    """A message in a list of chats."""

    role: str
    text: str
    timestamp: str
    read: bool = False


class NumberedMessage(msgspec.Struct, gc=False):
    """A message in `GET /api/chats/{chat_id}`, where `seq` is what `after` counts in."""

    role: str
    text: str
    timestamp: str
    read: bool
    message_id: int
    seq: int


class ShownChat(msgspec.Struct):
    """A chat, with all or the last few of its messages."""

    chat_id: str
    status: str
    created_at: str
    last_activity: str
    total_messages: int
    messages: list[ShownMessage]


class WholeChat(msgspec.Struct):
    """The answer to `GET /api/chats/{chat_id}`."""

    chat_id: str
    user_id: str
    status: str
    created_at: str
    last_activity: str
    total_messages: int
    messages: list[NumberedMessage]


class CustomersChats(msgspec.Struct):
    """The answer to `GET /api/users/{user_id or email}/chats`."""

    user_id: str
    user_name: str
    user_email: str | None
    chats: list[ShownChat]
    total_chats: int


class UserHead(msgspec.Struct):
    """A customer in the list, without the chats."""

    id: str = msgspec.field(name="_id")
    name: str
    email: str | None
    category: str
    status: str
    created_at: str


def shown_chat(chat: Chat, last_activity: str, total: int, messages: Iterable[Message]) -> ShownChat:
    """A chat as lists show it."""
    shown = [ShownMessage(m.role, m.text, m.at) for m in messages]
    return ShownChat(chat.id, chat.status, chat.created_at, last_activity, total, shown)


def numbered(messages: Iterable[Message]) -> list[NumberedMessage]:
    """Messages as one chat's whole shows them."""
    return [NumberedMessage(m.role, m.text, m.at, False, m.id, m.seq) for m in messages]


def user_head(customer: Customer) -> UserHead:
    """A customer as the list shows it."""
    return UserHead(customer.id, customer.name, customer.email, customer.category, customer.status, customer.created_at)
