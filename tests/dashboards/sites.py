"""A real backend with its pages."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.backend.servers import PATIENCE, Backend, free_port, running


@dataclass(frozen=True)
class Site:
    """A running backend, and where its pages are."""

    backend: Backend
    pages: str

    def kill(self) -> None:
        assert self.backend.process is not None
        self.backend.process.kill()
        self.backend.process.wait(PATIENCE)
        self.backend.http.close()

    def new_chat(self, name: str, *texts: str) -> str:
        """A chat of a new customer, with messages."""
        contact = {"name": name, "email": f"{abs(hash(name))}@example.org"}
        chat_id: str = self.backend.http.post("/api/users/chats/create", json=contact).json()["chat_id"]
        for text in texts:
            self.say(chat_id, text)
        return chat_id

    def new_chats(self, count: int) -> list[str]:
        """Chats called `Customer 0`, `Customer 1`, …, the last of them with the newest activity."""
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda number: self.new_chat(f"Customer {number}"), range(count)))
        # What makes the order is the messages', which come one after the other.
        for number, chat_id in enumerate(ids):
            self.say(chat_id, f"Text {number}")
        return ids

    def say(self, chat_id: str, text: str, role: str = "user") -> None:
        part = "users" if role == "user" else "dashboard"
        answer = self.backend.http.post(f"/api/{part}/chats/{chat_id}/send", json={"content": text, "role": role})
        assert answer.status_code == 200, answer.text

    def say_many(self, chat_id: str, count: int) -> None:
        """So many texts, as fast as they are taken."""
        # Not here: Playwright's loop runs in this thread.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self.backend.send_many, [chat_id], count).result()

    def texts(self, chat_id: str) -> list[str]:
        return self.backend.texts(chat_id)


@contextmanager
def site_at(folder: Path, *flags: str) -> Iterator[Site]:
    port = free_port()
    with running(folder, *flags, "--pages-port", str(port)) as backend:
        yield Site(backend, f"http://localhost:{port}")
