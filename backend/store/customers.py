"""The writes for customers and their chats. Each runs within a batch of the store."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable

from .records import Committed, StoredChat, StoredCustomer

Write = Callable[[sqlite3.Connection, str, Committed], StoredCustomer]

_COLUMNS = "id, name, email, category, status, created_at"
_NEXT_CHANGE = "(SELECT coalesce(max(changed), 0) + 1 FROM customers)"


def save_form(email: str | None, name: str | None, category: str | None, form: str) -> Write:
    """The write for a contact form: creates or updates the customer with that email."""

    def run(connection: sqlite3.Connection, now: str, committed: Committed) -> StoredCustomer:
        old = _find(connection, "email", email) if email is not None else None
        if old is None:
            return _insert(
                connection,
                now,
                committed,
                customer_id=str(uuid.uuid4()),
                email=email,
                name=name,
                category=category,
                form=form,
            )
        customer = StoredCustomer(
            id=old.id,
            name=name or old.name,
            email=old.email,
            category=category or old.category,
            status=old.status,
            created_at=old.created_at,
        )
        connection.execute(
            f"UPDATE customers SET name = ?, category = ?, form = ?, changed = {_NEXT_CHANGE} WHERE id = ?",  # noqa: S608
            (customer.name, customer.category, form, customer.id),
        )
        committed.customers.append(customer)
        return customer

    return run


def open_chat(
    user_id: str | None, email: str | None, name: str | None
) -> Callable[[sqlite3.Connection, str, Committed], StoredChat]:
    """The write for a new chat of the customer with that id, or else that email; creates a missing customer."""

    def run(connection: sqlite3.Connection, now: str, committed: Committed) -> StoredChat:
        customer = _find(connection, "id", user_id) if user_id is not None else None
        if customer is None and email is not None:
            customer = _find(connection, "email", email)
        if customer is None:
            customer = _insert(
                connection,
                now,
                committed,
                customer_id=user_id or str(uuid.uuid4()),
                email=email,
                name=name,
                category=None,
                form="{}",
            )
        chat_id = str(uuid.uuid4())
        row = connection.execute(
            "INSERT INTO chats (id, customer_id, status, created_at) VALUES (?, ?, 'active', ?)",
            (chat_id, customer.id, now),
        ).lastrowid
        assert row is not None
        chat = StoredChat(row, chat_id, customer.id, "active", now)
        committed.chats.append(chat)
        return chat

    return run


def _find(connection: sqlite3.Connection, column: str, value: str | None) -> StoredCustomer | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM customers WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
    return StoredCustomer(*row) if row else None


def _insert(
    connection: sqlite3.Connection,
    now: str,
    committed: Committed,
    customer_id: str,
    email: str | None,
    name: str | None,
    category: str | None,
    form: str,
) -> StoredCustomer:
    customer = StoredCustomer(
        id=customer_id,
        name=name or email or "Visitor",
        email=email,
        category=category or "customer",
        status="active",
        created_at=now,
    )
    connection.execute(
        f"INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, {_NEXT_CHANGE})",  # noqa: S608
        (customer.id, email, customer.name, customer.category, customer.status, form, now),
    )
    committed.customers.append(customer)
    return customer
