"""A chat that a file describes, as a protocol. Satisfies `ChatProtocol`."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chatswarm.loadtests.messages.trace import send_traceparent
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.protocol import (
    Chat,
    Creation,
    Frame,
    Handshake,
    Login,
    LoginError,
    Page,
    RefusedError,
    Request,
    Sent,
    Session,
    Text,
    Unreadable,
    UnreadableHere,
    User,
)
from chatswarm.loadtests.protocols.variables import OutOfScopeError, Variables

from .conditions import Conditions
from .description import Description, HistoryPages, MessagePaths, ProtocolFileError
from .frames import Source, identity
from .paths import MISSING
from .requests import RequestStep, UnexpectedError, document_of
from .session import DescribedSession
from .templates import Context, written


class _ReadText(msgspec.Struct, frozen=True):
    text: str
    from_customer: bool = True
    message_id: int | str | None = None


class _ReadChat(msgspec.Struct, frozen=True):
    chat_id: str
    total: int
    texts: tuple[Text, ...]


class Described:
    """One described chat."""

    def __init__(
        self, description: Description, environment: Mapping[str, str], target: str = "",
        computed: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`target`: its base URL, for `${base_url}`; `computed`: what `${now}`, `${now_ms}` and `${uuid}` always are.
        Raises ProtocolFileError if a variable is not set.
        """
        self.description = description
        self.name = description.name
        self.promises = description.promises
        self.list_window = description.list_window
        self.unavailable_means_not_done = description.unavailable_means_not_done
        self.expired_codes = description.expired_codes
        self.server_header = description.server_header
        self._run = Variables("run")
        if problems := description.missing_variables(environment):
            raise ProtocolFileError(problems)
        for name in description.all_environment:
            if value := environment.get(name, "").strip():
                self._run[f"env.{name}"] = value
        for name, value in (computed or {}).items():
            self._run.set_plain(name, value)
        address = parse_address(target) if target else None
        self._run.set_plain("base_url", "" if address is None else address.origin)
        self._run.set_plain("host", "" if address is None else address.host)

    def __repr__(self) -> str:
        return f"Described({self.name!r})"

    # Users.

    def user(self, role: str, index: int, run: str, given: Mapping[str, str]) -> User:
        variables = Variables("user", self._run)
        for name, value in {"run": run, "index": str(index), "role": role}.items():
            variables.set_plain(name, value)
        columns = {name: template.fill(Context(variables)) for name, template in self.description.users.items()}
        columns |= given
        if lacking := [name for name in self.description.columns if name not in columns]:
            line = self.description.columns[lacking[0]]
            raise ValueError(
                f"expected a users' file (--users-file) with the column {lacking[0]}, which line {line} of the "
                f"protocol file needs, got none"
            )
        name = columns.get("name") or f"{role}-{index}.{run}"
        for column, value in columns.items():
            # What the file says itself is no secret, unless it takes it from the environment.
            public = column not in given and not any(
                used.startswith("env.") for used in self.description.users[column].names
            )
            (variables.set_plain if public else variables.__setitem__)(f"user.{column}", value)
        variables.forget("user.name")
        variables.set_plain("user.name", name)
        return User(name, columns.get("email") or f"{name}@example.com", variables)

    def login(self, user: User) -> Login:
        return _steps(self.description.login, user)

    # Rooms.

    def create_chat(self, user: User) -> Creation:
        if not self.description.creates_chats:
            raise NotImplementedError("this chat has rooms instead of a chat per widget")
        return self._create(user.variables, {})

    def create_room(self, index: int, run: str, members: Sequence[User]) -> Creation:
        description = self.description
        scope = self._run
        if description.creators_log_in and members:
            yield from self.login(members[0])
            scope = members[0].variables
        named = {"run": run, "index": str(index), "members": json.dumps([user.name for user in members])}
        room = description.room_id(index, Context(scope, named))
        if room is not None:
            named["room"] = room
        return (yield from self._create(scope, named))

    def _create(self, scope: Variables, values: Mapping[str, str]) -> Creation:
        known = dict(values)
        for step in self.description.create:
            context = Context(scope, known)
            answer = yield _made(step, context)
            try:
                known |= step.take(answer, context)
            except UnexpectedError as error:
                raise RefusedError(error.status, str(error)) from None
        return known["room"]

    def add_member(self, room: str, user: User) -> Request:
        return self._change(self.description.add, room, user)

    def remove_member(self, room: str, user: User) -> Request:
        return self._change(self.description.remove, room, user)

    def _change(self, step: RequestStep | None, room: str, user: User) -> Request:
        if step is None:
            raise NotImplementedError("this chat cannot change the members of a room")
        return step.request.make(Context(user.variables, {"room": room}))

    # Messages.

    def send(self, user: User, chat: str, text: str, reference: str) -> Request:
        request = self.description.send_request
        if request is None:
            raise NotImplementedError("this chat takes messages over sockets only")
        values = {"room": chat, "text": text, "uid": reference, "ref": reference}
        return request.make(Context(user.variables, {**values, "traceparent": lambda: send_traceparent(reference)}))

    def read_sent(self, body: bytes) -> Sent:
        send = self.description.send_answer
        if send.accepted is None and send.rejected is None and send.id is None:
            return Sent()
        document = document_of(body, "the response to a send")
        detail = written(document if send.detail is None else send.detail.find(document))[:500]
        if send.rejected is not None and send.rejected.fit(document):
            return Sent(False, detail=detail)
        if send.accepted is not None and not send.accepted.fit(document):
            return Sent(False, detail=detail)
        return Sent(True, None if send.id is None else identity(send.id.find(document)))

    def list_chats(self, user: User) -> Request:
        refetch = self.description.refetch
        if refetch is None:
            raise NotImplementedError("this chat has no list")
        return refetch.request.make(Context(user.variables))

    def read_list(self, body: bytes) -> Sequence[Chat]:
        refetch = self.description.refetch
        if refetch is None:
            raise NotImplementedError("this chat has no list")
        what = "the list of chats"
        chats = []
        for room in refetch.rooms.find(document_of(body, what)):
            name = refetch.room.find(room)
            if name is MISSING or name is None:
                raise Unreadable(f"{what}: expected a room at {refetch.room.text}, got {body[:200]!r}")
            texts = _texts(refetch.messages, room, what)
            total = len(texts) if refetch.total is None else refetch.total.find(room)
            if type(total) is not int or not 0 <= total < 2**31:
                raise Unreadable(f"{what}: expected a number of messages, got {total!r}")
            chats.append(_ReadChat(written(name), total, tuple(texts)))
        return chats

    def whole_chat(self, user: User, chat: str, page: str | None = None) -> Request:
        return self._history(user, chat, page, None)

    def _history(self, user: User, chat: str, page: str | None, after: Mapping[str, str] | None) -> Request:
        history = self.description.history
        if history is None:
            raise NotImplementedError("this chat has no history")
        variables, values = user.variables, {"room": chat}
        remembered = user.memory.connection
        if remembered is not None and chat in remembered.rooms:
            variables = remembered.rooms[chat]
        if page is not None:
            values |= json.loads(page)
        elif after is not None:
            values |= after
        elif history.counted is not None:
            values[history.counted.name] = str(history.counted.start)
        return history.request.make(Context(variables, values))

    def read_whole_chat(self, body: bytes, page: str | None = None) -> Page:
        history = self.description.history
        if history is None:
            raise NotImplementedError("this chat has no history")
        document = document_of(body, "the messages of a room")
        found = history.messages.each.find(document)
        texts = _texts(history.messages, document, "the messages of a room")
        if history.sort_by is not None:
            keys = [history.sort_by.find(one) for one in found]
            order = sorted(range(len(texts)), key=lambda at: _sortable(keys[at]))
            texts = [texts[at] for at in order]
        elif history.newest_first:
            texts.reverse()
        return Page(texts, None, _next(history, document, found, page), history.newest_first)

    def read_missed(self, user: User, room: str, last: Frame | None) -> Request | None:
        if not self.description.reads_what_was_missed:
            return None
        return self._history(user, room, None, None if last is None else self._page_after(last))

    def _page_after(self, last: Frame) -> Mapping[str, str] | None:
        """The variables of the page that begins after a message, where pages are found by the id of a message."""
        history = self.description.history
        assert history is not None
        by_id = history.messages.id
        if last.message_id is None or by_id is None or len(history.next) != 1:
            return None
        ((name, value),) = history.next.items()
        return {name: str(last.message_id)} if value.of_last and value.path.stages == by_id.stages else None

    # Sockets.

    def before_handshake(self, user: User) -> Login:
        return _steps(self.description.before, user)

    def handshake(self, user: User, *, everything: bool = False, room: str = "") -> Handshake:
        before = None if everything else user.memory.connection
        variables = user.variables if before is None else before.variables
        context = Context(variables, {"room": room} if room else {})
        shake = self.description.handshake
        path, headers = shake.request.filled_path(context), shake.request.filled_headers(context)
        return Handshake(path, headers, [one.fill(context) for one in shake.subprotocols])

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:
        return DescribedSession(
            self.description.script, self.description.codec, user, everything=everything, room=room,
            notes=self.description.rules.messages_change_the_session,
        )  # fmt: skip

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        return self.description.rules.read(data)

    def rule_of(self, frame: Frame) -> str:
        """The rule that a frame met, for people; empty: none."""
        source = frame.source
        return str(source.rule) if isinstance(source, Source) and source.rule is not None else ""


def _steps(steps: Sequence[RequestStep], user: User) -> Login:
    """Makes the requests of steps, and keeps what they keep for this user. Raises LoginError."""
    for step in steps:
        context = Context(user.variables)
        answer = yield _made(step, context)
        try:
            for name, value in step.take(answer, context).items():
                user.variables[name] = value
        except UnexpectedError as error:
            raise LoginError(error.status, str(error)) from None


def _made(step: RequestStep, context: Context) -> Request:
    """Raises UnreadableHere if the values before do not give a request."""
    try:
        return step.request.make(context)
    except (OutOfScopeError, ValueError) as error:
        raise UnreadableHere(f"{step.where}: {error}") from None


def _texts(paths: MessagePaths, document: object, what: str) -> list[Text]:
    texts: list[Text] = []
    for one in paths.each.find(document):
        text = paths.text.find(one)
        if type(text) is not str:
            raise Unreadable(f"{what}: expected a text at {paths.text.text}, got {written(one)[:200]!r}")
        ours = _fits(paths.ours, one)
        number = None if paths.id is None else identity(paths.id.find(one))
        texts.append(_ReadText(html.unescape(text) if paths.as_html else text, ours, number))
    return texts


def _fits(conditions: Conditions | None, value: object) -> bool:
    return conditions is None or conditions.fit(value)


def _sortable(value: object) -> tuple[int, float, str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, value, ""
    return 1, 0, written(value)


def _next(history: HistoryPages, document: object, found: Sequence[Any], page: str | None) -> str | None:
    """What to ask for to get the page after this one; None on the last."""
    if not found:
        return None
    if history.counted is not None:
        counted = history.counted
        before = counted.start if page is None else int(json.loads(page)[counted.name])
        return json.dumps({counted.name: str(before + counted.step)})
    values = {}
    for name, one in history.next.items():
        value = one.path.find(found[-1] if one.of_last else document)
        if value is MISSING and one.of_last:
            raise Unreadable(
                f"the messages of a room: expected a value at {one.path.text} in the last message of a page, for the "
                f"page after it, got {written(found[-1])[:200]!r}"
            )
        if value is MISSING or value is None:
            return None
        values[name] = written(value)
    return json.dumps(values) if values else None
