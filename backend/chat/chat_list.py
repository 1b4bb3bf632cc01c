"""The chat list, kept as encoded bytes: what every dashboard refetches after every notification.

Reading must stay cheap while messages keep changing the list. So each customer's part is kept encoded, a message
re-encodes only the part that it touches, and the whole list is joined at most once per change.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import islice

import msgspec

from chatswarm.backend.store.records import Message, StoredChat, StoredCustomer
from chatswarm.backend.wire.shapes import encode, shown_chat, user_head

TAIL = 3
"""Messages shown per chat; `total_messages` counts all of them."""

_CACHED = 8
"""Lists of different lengths that are cached between two changes."""


class EncodedList(msgspec.Struct, frozen=True):
    """The list as sent, and an ETag that changes whenever anything shown changes."""

    etag: bytes
    body: bytes


class _ShownChat:
    __slots__ = ("chat", "last_activity", "owner", "part", "tail", "total")

    def __init__(self, chat: StoredChat, owner: _ShownCustomer) -> None:
        self.chat = chat
        self.owner = owner
        self.total = 0
        self.last_activity = chat.created_at
        self.tail: deque[Message] = deque(maxlen=TAIL)
        self.part: bytes | None = None

    def encoded(self) -> bytes:
        if self.part is None:
            self.part = encode(shown_chat(self.chat, self.last_activity, self.total, self.tail))
        return self.part


class _ShownCustomer:
    __slots__ = ("chats", "customer", "head", "parts")

    def __init__(self, customer: StoredCustomer) -> None:
        self.chats: OrderedDict[str, _ShownChat] = OrderedDict()  # newest activity last
        self.rename(customer)

    def rename(self, customer: StoredCustomer) -> None:
        self.customer = customer
        self.head = encode(user_head(customer))[:-1] + b',"chats":['
        self.parts: dict[int, bytes] = {}

    def encoded(self, count: int) -> bytes:
        """The customer with its `count` newest chats: a list always shows a customer's newest ones."""
        part = self.parts.get(count)
        if part is None:
            newest = islice(reversed(self.chats.values()), count)
            part = self.parts[count] = self.head + b",".join([chat.encoded() for chat in newest]) + b"]}"
        return part


class ChatList:
    """All customers and chats, in memory, with the last messages of each chat. Belongs to the event loop.

    `boot` is part of every ETag, so that one from before a restart never matches.
    """

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._version = 0
        self._customers: dict[str, _ShownCustomer] = {}
        self._by_email: dict[str, _ShownCustomer] = {}
        self._chats: OrderedDict[str, _ShownChat] = OrderedDict()  # newest activity last
        self._encoded: dict[int, EncodedList] = {}

    def add_customer(self, customer: StoredCustomer) -> None:
        """Add a customer, or update a known one."""
        known = self._customers.get(customer.id)
        if known is None:
            known = self._customers[customer.id] = _ShownCustomer(customer)
        else:
            known.rename(customer)
        if customer.email is not None:
            self._by_email[customer.email] = known
        self._changed()

    def add_chat(self, chat: StoredChat) -> None:
        """Add a chat, at the top."""
        owner = self._customers[chat.customer_id]
        self._chats[chat.id] = owner.chats[chat.id] = _ShownChat(chat, owner)
        owner.parts.clear()
        self._changed()

    def add_message(self, message: Message) -> None:
        """Add a message, and move its chat to the top."""
        shown = self._chats[message.chat_id]
        shown.total = message.seq
        shown.last_activity = message.at
        shown.tail.append(message)
        shown.part = None
        shown.owner.chats.move_to_end(message.chat_id)
        shown.owner.parts.clear()
        self._chats.move_to_end(message.chat_id)
        self._changed()

    def sort(self, touched: Iterable[str]) -> None:
        """Move these chats to the top, ordered by last activity; ties keep the given order."""
        for shown in sorted([self._chats[each] for each in touched], key=lambda shown: shown.last_activity):
            self._chats.move_to_end(shown.chat.id)
            shown.owner.chats.move_to_end(shown.chat.id)

    def chat(self, chat_id: str) -> StoredChat | None:
        """The chat with that id."""
        shown = self._chats.get(chat_id)
        return shown.chat if shown else None

    def activity(self, chat: StoredChat) -> tuple[str, int]:
        """A chat's last activity and its number of messages."""
        shown = self._chats[chat.id]
        return shown.last_activity, shown.total

    def customer(self, user_id_or_email: str) -> StoredCustomer | None:
        """The customer with that id, or else that email."""
        shown = self._customers.get(user_id_or_email) or self._by_email.get(user_id_or_email.strip().lower())
        return shown.customer if shown else None

    def chats_of(self, customer: StoredCustomer) -> list[StoredChat]:
        """A customer's chats, newest activity first."""
        return [shown.chat for shown in reversed(self._customers[customer.id].chats.values())]

    def encoded(self, limit: int) -> EncodedList:
        """The `limit` chats with the newest activity, grouped by customer, newest first."""
        encoded = self._encoded.get(limit)
        if encoded is None:
            if len(self._encoded) >= _CACHED:
                self._encoded.clear()
            counts: dict[_ShownCustomer, int] = {}
            for shown in islice(reversed(self._chats.values()), limit):
                counts[shown.owner] = counts.get(shown.owner, 0) + 1
            body = b'{"users":[' + b",".join([owner.encoded(count) for owner, count in counts.items()]) + b"]}"
            etag = f'"{self._boot}-{self._version}-{limit}"'.encode()
            encoded = self._encoded[limit] = EncodedList(etag, body)
        return encoded

    def _changed(self) -> None:
        self._version += 1
        self._encoded.clear()
