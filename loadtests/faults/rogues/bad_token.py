"""Handshakes and reads without a valid token."""

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote

from chatswarm.loadtests.protocols.protocol import ChatProtocol, Frame, Handshake, Kind, Request, Session, User
from chatswarm.loadtests.protocols.secrets import TOKEN

from .attacked_chat import AttackedChat, NotLetInError
from .intrusion import Attempt, Intrusion
from .rogue import CannotBeginError
from .websocket import Dashboard, EndedError

_CREDENTIALS = ("authorization", "cookie")
_GREETING = 2.0  # seconds: a chat that also takes a token after the handshake greets a user it lets in within them


class BadToken(Intrusion):
    """Attempts handshakes and reads without a token, with a wrong one, and, if all dashboards share one, with the right
    one in the URL, where a chat must not accept it because URLs are logged. HTTP 401 and 403 are refusals.
    """

    needs_token = True

    async def begin(self) -> None:
        if not self.chat.token and not self.chat.protocol.promises.has_members:
            raise CannotBeginError("expected a token that admits dashboards, got none: nobody would be refused")
        await super().begin()
        reading = self.chat.reading(await self.chat.member())
        if reading is not None and not 200 <= (status := await self._read(reading)) < 300:
            got = f"HTTP {status}" if status else "no HTTP answer"
            what = "the list" if self.chat.protocol.promises.visible == "refetch" else "a room"
            raise CannotBeginError(f"expected {what} for the right token, got {got}")

    def attempts(self) -> Mapping[str, Attempt]:
        chat = self.chat
        wrong_token = secrets.token_urlsafe(24)
        impostor, user = _impostor(chat, wrong_token)
        wrong = impostor.handshake(user, room=chat.room)
        without = _without_credentials(wrong, wrong_token)

        def session() -> Session:
            return impostor.session(user, everything=True, room=chat.room)

        attempts: dict[str, Attempt] = {
            "socket without a token": partial(self._connect, without, session),
            "socket with a wrong token": partial(self._connect, wrong, session),
        }
        if chat.token:
            attempts |= self._in_other_places(without, wrong_token)
        promises = chat.protocol.promises
        if promises.visible == "refetch":
            what, reading = "list", impostor.list_chats(user)
        elif chat.rooms and promises.history == "pages":
            what, reading = "room", impostor.whole_chat(user, chat.rooms[0])
        else:
            return attempts
        attempts[f"{what} without a token"] = partial(self._read, _read_without_credentials(reading, wrong_token))
        attempts[f"{what} with a wrong token"] = partial(self._read, reading)
        return attempts

    def is_refusal(self, status: int) -> bool:
        return status in (401, 403)

    def _in_other_places(self, without: Handshake, wrong_token: str) -> dict[str, Attempt]:
        encoded = base64.urlsafe_b64encode(wrong_token.encode()).decode().rstrip("=")
        subprotocols, right = ("chatswarm", f"bearer.{encoded}"), quote(self.chat.token)
        path = f"{without.path}{'&' if '?' in without.path else '?'}token={right}&access_token={right}"
        return {
            "socket with a wrong token as subprotocol": partial(
                self.handshake, without._replace(subprotocols=subprotocols)
            ),
            "socket with the token in its URL": partial(self.handshake, without._replace(path=path)),
        }

    async def _connect(self, handshake: Handshake, session: Callable[[], Session]) -> int:
        """Attempts to open a WebSocket. Where each user has its own token, it may still come after the handshake,
        so only a user that is greeted has been let in; where nobody is greeted, only who joins a room.
        """
        if self.chat.token:
            return await self.handshake(handshake)
        try:
            dashboard = await Dashboard.open(self.chat, handshake, session=session())
        except NotLetInError as error:
            return error.status
        try:
            async with asyncio.timeout(_GREETING):
                await self._be_greeted(dashboard)
        except NotLetInError as error:
            return error.status or 401
        except (EndedError, TimeoutError):
            return 401
        finally:
            await dashboard.close()
        return 101

    async def _be_greeted(self, dashboard: Dashboard) -> None:
        """Returns once the chat has let it in. Raises EndedError, NotLetInError."""
        session = dashboard.session
        opened = session.open()
        await dashboard.heed(opened._replace(frames=()))
        if any(frame.kind is Kind.SUBSCRIBED for frame in opened.frames):
            joined = session.join(self.chat.rooms[0], None) if self.chat.rooms else opened
            # What the chat does not confirm says nothing: then only a message will do.
            await dashboard.heed(joined._replace(frames=()))
        while not _lets_in(await dashboard.receive()):
            pass

    async def _read(self, request: Request) -> int:
        try:
            return await self.chat.status(request)
        except OSError:
            return 0


def _lets_in(frame: Frame) -> bool:
    if frame.kind in (Kind.REFUSED, Kind.ERROR):
        raise NotLetInError(401, frame.detail)
    return frame.kind in (Kind.SUBSCRIBED, Kind.JOINED, Kind.MESSAGE)


def _impostor(chat: AttackedChat, wrong: str) -> tuple[ChatProtocol, User]:
    """The protocol and a user of it with this in place of each secret."""
    description = chat.found.description
    if description is None:
        impostor = chat.found.make({TOKEN: wrong}, chat.url)
        return impostor, impostor.user("dashboard", 0, chat.run, {"name": f"rogue-0.{chat.run}", "token": wrong})
    impostor = chat.found.make(dict.fromkeys(description.all_environment, wrong), chat.url)
    given = {**dict.fromkeys(description.columns, wrong), "name": f"rogue-0.{chat.run}"}
    user = impostor.user("dashboard", 0, chat.run, given)
    for step in (*description.login, *description.before):
        for kept in step.keep:
            user.variables[kept.name] = wrong
    return impostor, user


def _without_credentials(handshake: Handshake, wrong: str) -> Handshake:
    """The same handshake, without what says who the user is: certain headers, and wherever the wrong token is."""
    return Handshake(
        _bare_path(handshake.path, wrong),
        _bare_headers(handshake.headers, wrong),
        [name for name in handshake.subprotocols if not name.startswith("bearer.") and wrong not in name],
    )


def _read_without_credentials(reading: Request, wrong: str) -> Request:
    headers = _bare_headers(reading.headers, wrong)
    return Request(reading.method, _bare_path(reading.path, wrong), reading.body, headers)


def _bare_headers(headers: Mapping[str, str], wrong: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS and wrong not in value}


def _bare_path(path: str, wrong: str) -> str:
    """The path without the parts of its query in which the token is. It has only characters that URLs leave as they
    are.
    """
    before, _, query = path.partition("?")
    parts = [part for part in query.split("&") if part and wrong not in part]
    return f"{before}?{'&'.join(parts)}" if parts else before
