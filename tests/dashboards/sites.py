"""Starts a real backend with its pages, and fills its store."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chatswarm.backend.store import schema
from chatswarm.loadtests.system.children import free_port
from tests.backend.servers import PATIENCE, Backend, running


@dataclass(frozen=True)
class Site:
    """A running backend, and the address of its pages."""

    backend: Backend
    pages: str

    def kill(self) -> None:
        assert self.backend.process is not None
        self.backend.process.kill()
        self.backend.process.wait(PATIENCE)
        self.backend.http.close()

    def new_chat(self, name: str, *texts: str) -> str:
        """Create a chat of a new customer, with these messages."""
        contact = {"name": name, "email": f"{abs(hash(name))}@example.org"}
        chat_id: str = self.backend.http.post("/api/users/chats/create", json=contact).json()["chat_id"]
        for text in texts:
            self.say(chat_id, text)
        return chat_id

    def new_chats(self, count: int) -> list[str]:
        """Create chats `Customer 0`, `Customer 1`, … with one message each; the last has the newest activity."""
        return [self.new_chat(f"Customer {number}", f"Text {number}") for number in range(count)]

    def say(self, chat_id: str, text: str, role: str = "user") -> None:
        part = "users" if role == "user" else "dashboard"
        answer = self.backend.http.post(f"/api/{part}/chats/{chat_id}/send", json={"content": text, "role": role})
        assert answer.status_code == 200, answer.text

    def say_many(self, chat_id: str, count: int) -> None:
        """Send `count` messages as fast as they are accepted."""
        # In another thread, because Playwright's loop runs in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self.backend.send_many, [chat_id], count).result()

    def texts(self, chat_id: str) -> list[str]:
        return self.backend.texts(chat_id)


def stock(database: Path, chats: int, messages: int = 1) -> list[str]:
    """Write such chats directly into the store of a backend that is not running yet, which is fast for many chats.

    Each has `messages` messages; the last is `Text <number of the chat>`. Returns the ids of the chats.
    """
    schema.prepare(database)
    start = datetime.now(UTC) - timedelta(seconds=chats)
    ids = [str(uuid.uuid4()) for _ in range(chats)]
    with closing(sqlite3.connect(database)) as store, store:
        for number, chat_id in enumerate(ids):
            at = (start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            email, name = f"{number}@example.org", f"Customer {number}"
            customer = (chat_id, email, name, "customer", "active", "{}", at, number + 1)
            store.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", customer)
            store.execute("INSERT INTO chats VALUES (?, ?, ?, 'active', ?)", (number + 1, chat_id, chat_id, at))
            rows = [(number + 1, seq, f"Text {seq}", at) for seq in range(1, messages)]
            rows.append((number + 1, messages, f"Text {number}", at))
            store.executemany("INSERT INTO messages (chat, seq, role, text, at) VALUES (?, ?, 'user', ?, ?)", rows)
    return ids


@contextmanager
def site_at(folder: Path, *flags: str) -> Iterator[Site]:
    port = free_port()
    with running(folder, *flags, "--pages-port", str(port)) as backend:
        yield Site(backend, f"http://localhost:{port}")
