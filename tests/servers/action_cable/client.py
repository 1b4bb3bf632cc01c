"""A raw member of the chat on Rails: it logs in with the form, and joins with the session's cookie."""

import contextlib
import csv
import http.cookiejar
import json
import re
import threading
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.servers.client import PATIENCE, Client

_TOKEN = re.compile(r'name="authenticity_token" value="([^"]+)"')


@dataclass(frozen=True)
class User:
    name: str
    email: str
    password: str


def users(path: Path) -> list[User]:
    """The users of a users' file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [User(**row) for row in csv.DictReader(file)]


class Session:
    """A user who has logged in; nobody if there is none. Raises urllib.error.HTTPError if that is refused.

    `token`: to send instead of the form's.
    """

    def __init__(self, base_url: str, user: User | None = None, token: str | None = None) -> None:
        self.base_url = base_url
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        if user is None:
            return
        found = _TOKEN.search(self._answer("/login"))
        assert found is not None
        form = {"authenticity_token": token or found[1], "email": user.email, "password": user.password}
        self._answer("/login", urllib.parse.urlencode(form).encode())

    @property
    def cookie(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)

    def page(self, room: str, number: int) -> list[str]:
        """The texts on one page of a room."""
        answer = self._answer(f"/rooms/{urllib.parse.quote(room)}/messages.json?page={number}")
        return [message["body"] for message in json.loads(answer)]

    def stored(self, room: str) -> list[str]:
        """All texts of a room."""
        texts: list[str] = []
        number = 1
        while page := self.page(room, number):
            texts += page
            number += 1
        return texts

    def _answer(self, path: str, body: bytes | None = None) -> str:
        with self._opener.open(self.base_url + path, body, PATIENCE) as response:
            answer: bytes = response.read()
        return answer.decode()


def cable(session: Session, origin: str | None = None) -> ClientConnection:
    """A WebSocket of a session. `origin`: the page's; the server's own if not given."""
    return connect(
        session.base_url.replace("http", "ws", 1) + "/cable",
        subprotocols=[Subprotocol("actioncable-v1-json")],
        origin=Origin(origin or session.base_url),
        additional_headers={"Cookie": session.cookie} if session.cookie else None,
        open_timeout=PATIENCE,
        proxy=None,
    )


class ActionCableClient(Client):
    """A member of a room. There are no acknowledgements: the own message that comes back is one."""

    def __init__(self, session: Session, room: str) -> None:
        self.room = room
        self.joined = Queue()
        self.acknowledged = Queue()
        self.texts = Queue()
        self._said: set[str] = set()
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(cable(session))
        self._identifier = json.dumps({"channel": "ChatChannel", "room": room})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.joined.get(timeout=PATIENCE)
        except BaseException:
            self.close()
            raise

    def join(self) -> None:
        self._command("subscribe")

    def say(self, text: str) -> None:
        self._said.add(text)
        self._command("message", data=json.dumps({"action": "speak", "body": text}))

    def hear(self, frame: str) -> None:
        match json.loads(frame):
            case {"type": "welcome"}:
                self.join()
            case {"type": "confirm_subscription"}:
                self.joined.put(None)
            case {"message": {"body": body}}:
                self.texts.put(body)
                if body in self._said:
                    self.acknowledged.put(None)

    def _command(self, command: str, **more: str) -> None:
        self.put(json.dumps({"command": command, "identifier": self._identifier, **more}))
