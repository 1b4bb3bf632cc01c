"""The backend's vocabulary: what is stored, what was committed, and what can go wrong with the store."""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["user", "agent"]


class StoredCustomer(msgspec.Struct, frozen=True):
    """Someone who fills in the contact form of a widget. `created_at` is ISO 8601, UTC, as all times here."""

    id: str
    name: str
    email: str | None
    category: str
    status: str
    created_at: str


class StoredChat(msgspec.Struct, frozen=True):
    """One chat of one customer. `row` is its number in the store, `id` what the wire calls it."""

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


class Position(msgspec.Struct, frozen=True, gc=False):
    """How far in the log: the last message's id, the last chat's row, and the last change of a customer."""

    messages: int = 0
    chats: int = 0
    customers: int = 0


class Committed(msgspec.Struct):
    """What came to disk between the positions `before` and `after`, in commit order; no retries that stored nothing.

    `moments` says for each message when its commit was done here, on time.monotonic's clock; None if it was read from
    the log, where others wrote it.
    """

    before: Position
    after: Position
    customers: list[StoredCustomer] = []
    chats: list[StoredChat] = []
    messages: list[Message] = []
    moments: list[float | None] = []


class StoreUnavailableError(Exception):
    """The store did not do it, certainly: whoever asked may try again."""


class OutcomeUnknownError(Exception):
    """The store failed in a way that leaves open whether it was done."""
