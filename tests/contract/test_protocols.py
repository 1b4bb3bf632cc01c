"""One suite for every protocol: a real chat accepts its requests, it can read the responses and frames, and whatever
comes instead is unreadable, with a reason.
"""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from chatswarm.loadtests.messages.identity import new_run, text_of
from chatswarm.loadtests.protocols.catalogue import BUILT_IN, find_protocol, shipped
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    ChatProtocol,
    Creation,
    Frame,
    Kind,
    Login,
    LoginError,
    Outgoing,
    Request,
    Sent,
    Taken,
    Unreadable,
    UnreadableHere,
    User,
    read,
)
from chatswarm.loadtests.protocols.push import KEY, Push
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend
from tests.plants import Chat, serving
from tests.plants.push import PushChat
from tests.plants.wire import serving as serving_push

Server = Callable[[Path], AbstractContextManager[str]]
SECRETS = {TOKEN: "the-token-of-the-dashboards", KEY: "the-key-of-the-service"}
"""Everything that a protocol may read from the environment."""


@contextmanager
def backend(folder: Path) -> Iterator[str]:
    started = ReferenceBackend(folder / "backend.log", folder / "chat.db", free_port())
    try:
        started.wait()
        yield started.base_url
    finally:
        started.stop()


@contextmanager
def original(folder: Path) -> Iterator[str]:
    with serving(Chat()) as url:
        yield url


@contextmanager
def with_ids(folder: Path) -> Iterator[str]:
    with serving(Chat(ids=True, tail=3)) as url:
        yield url


@contextmanager
def pushing(folder: Path) -> Iterator[str]:
    with serving_push(PushChat(page=100)) as url:
        yield url


@contextmanager
def pushing_with_a_key(folder: Path) -> Iterator[str]:
    with serving_push(PushChat(key=SECRETS[KEY])) as url:
        yield url


@contextmanager
def push_backend(folder: Path) -> Iterator[str]:
    flags, environment = {"push": "on"}, {KEY: SECRETS[KEY]}
    started = ReferenceBackend(folder / "backend.log", folder / "chat.db", free_port(), flags, environment)
    try:
        started.wait()
        yield started.base_url
    finally:
        started.stop()


CASES: list[tuple[str, Server]] = [
    ("reference", backend),
    ("reference", original),
    ("reference", with_ids),
    ("push", push_backend),
    ("push", pushing),
    ("push", pushing_with_a_key),
]


CASES += [(str(shipped()[name]), server) for name, server in CASES]  # files that say the same as a class
WITH_A_KEY = (push_backend, pushing_with_a_key)


class ProtocolWithChat:
    """A protocol, a real chat that it should work with, and two users of it: one who sends and one who views."""

    def __init__(self, protocol: ChatProtocol, base_url: str) -> None:
        self.protocol = protocol
        self.base_url = base_url
        self.run = new_run()
        self.sender = self.user("widget", 0)
        self.viewer = self.user("dashboard", 0)

    def user(self, role: str, index: int) -> User:
        user = self.protocol.user(role, index, self.run, {})
        self.taken(self.protocol.login(user))
        return user

    def taken(self, steps: Login | Creation) -> str:
        """Takes the steps of a login or creation. Returns what they return."""
        try:
            request = next(steps)
            while True:
                request = steps.send(self.answer(request))
        except StopIteration as done:
            return str(done.value)

    def answer(self, request: Request) -> Answer:
        parts = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        connection.request(request.method, request.path, request.body, dict(request.headers))
        response = connection.getresponse()
        answer = Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )
        connection.close()
        return answer

    def ask(self, request: Request) -> bytes:
        status, _, body = self.answer(request)
        assert 200 <= status < 300, (request, status, body)
        return body

    def new_chat(self, index: int = 0) -> str:
        """The id of a chat, or of a room with both users as members."""
        if not self.protocol.promises.has_rooms:
            return self.taken(self.protocol.create_chat(self.sender))
        return self.taken(self.protocol.create_room(index, self.run, [self.viewer, self.sender]))

    def send(self, chat: str, text: str) -> Sent:
        reference = f"{self.run}.{time.monotonic_ns()}"
        sent = self.protocol.read_sent(self.ask(self.protocol.send(self.sender, chat, text, reference)))
        assert sent.accepted
        return sent

    def whole(self, chat: str) -> list[str]:
        """All texts of a chat, page by page."""
        texts: list[str] = []
        page: str | None = None
        while True:
            body = self.ask(self.protocol.whole_chat(self.viewer, chat, page))
            got = self.protocol.read_whole_chat(body, page)
            assert all(text.from_customer for text in got.texts)
            texts += [text.text for text in got.texts]
            page = got.next
            if page is None:
                assert got.total in (None, len(texts))
                return texts

    @contextmanager
    def connected(self, user: User, chat: str, last: Frame | None = None) -> Iterator["ProtocolSocket"]:
        """A socket of a user who gets the messages of a chat."""
        handshake = self.protocol.handshake(user)
        url = "ws" + self.base_url.removeprefix("http") + handshake.path
        offered = [Subprotocol(name) for name in handshake.subprotocols] or None
        headers = dict(handshake.headers)
        with connect(url, compression=None, subprotocols=offered, additional_headers=headers) as socket:
            opened = ProtocolSocket(self.protocol, user, socket)
            opened.subscribe()
            if self.protocol.promises.has_rooms:
                opened.join(chat, last)
            yield opened


class ProtocolSocket:
    """A socket that is driven by a session of the protocol."""

    def __init__(self, protocol: ChatProtocol, user: User, socket: ClientConnection) -> None:
        self.protocol = protocol
        self.session = protocol.session(user)
        self.socket = socket
        self.frames: list[Frame] = []
        """What frames mean that have come."""

    def say(self, outgoing: Sequence[Outgoing | None]) -> None:
        for one in outgoing:
            assert isinstance(one, str)
            self.socket.send(one)

    def heed(self, taken: Taken) -> None:
        self.frames += taken.frames
        self.say(taken.replies)

    def next(self) -> Frame:
        while not self.frames:
            data = self.socket.recv(timeout=10)
            for frame in self.protocol.read_frames(data.encode() if isinstance(data, str) else data):
                if frame.kind is Kind.MESSAGE and not self.session.expects:
                    self.heed(Taken((frame,), self.session.note(frame)))
                else:
                    self.heed(self.session.take(frame))
        return self.frames.pop(0)

    def wait_for(self, kind: Kind) -> list[Frame]:
        """All frames up to the next one of a kind."""
        frames = [self.next()]
        while frames[-1].kind is not kind:
            assert frames[-1].kind not in (Kind.ERROR, Kind.REFUSED, Kind.REJECTED), frames
            frames.append(self.next())
        return frames

    def subscribe(self) -> None:
        self.heed(self.session.open())
        self.wait_for(Kind.SUBSCRIBED)

    def join(self, room: str, last: Frame | None) -> None:
        self.heed(self.session.join(room, last))
        *self.replayed, self.joined = self.wait_for(Kind.JOINED)


def name_of(case: tuple[str, Server]) -> str:
    return f"{Path(case[0]).name}-{case[1].__name__}"


@contextmanager
def paired(name: str, server: Server, folder: Path) -> Iterator[ProtocolWithChat]:
    with server(folder) as base_url:
        secrets = SECRETS if server in WITH_A_KEY else {}
        yield ProtocolWithChat(find_protocol(name).make(secrets, base_url), base_url)


@pytest.fixture(params=CASES, ids=name_of)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProtocolWithChat]:
    name, server = request.param
    with paired(name, server, tmp_path) as made:
        yield made


def made(name: str) -> ChatProtocol:
    return find_protocol(name).make(SECRETS)


def test_every_protocol_is_tested() -> None:
    assert set(BUILT_IN) <= {name for name, _ in CASES}


# With a real chat.


def test_from_the_login_to_the_frame(pair: ProtocolWithChat) -> None:
    protocol, chat = pair.protocol, pair.new_chat()
    texts = [text_of("abcdefghij", 0, n, 100) for n in range(3)]
    with pair.connected(pair.viewer, chat) as socket:
        ids = [pair.send(chat, text).message_id for text in texts]
        frames = [socket.wait_for(Kind.MESSAGE)[-1] for _ in texts]
    assert [(frame.kind, frame.chat_id, frame.from_customer) for frame in frames] == [(Kind.MESSAGE, chat, True)] * 3
    assert [frame.message_id for frame in frames] == ids
    carried = texts if protocol.promises.visible == "frame" else [None] * 3
    assert [frame.text for frame in frames] == carried
    assert pair.whole(chat) == texts


def test_a_list_shows_its_chats(pair: ProtocolWithChat) -> None:
    protocol, chat = pair.protocol, pair.new_chat()
    if protocol.promises.visible == "frame":
        with pytest.raises(NotImplementedError, match="this chat has no list"):
            protocol.list_chats(pair.viewer)
        return
    texts = [text_of("abcdefghij", 0, n, 100) for n in range(5)]
    for text in texts:
        pair.send(chat, text)
    listed = protocol.read_list(pair.ask(protocol.list_chats(pair.viewer)))
    (shown,) = [one for one in listed if one.chat_id == chat]
    assert shown.total == 5
    assert [text.text for text in shown.texts] == texts[-len(shown.texts) :]


def test_every_character_survives(pair: ProtocolWithChat) -> None:
    chat = pair.new_chat()
    texts = [text_of("abcdefghij", 0, n, 100, "unicode") for n in range(10)]
    with pair.connected(pair.viewer, chat) as socket:
        for text in texts:
            pair.send(chat, text)
        frames = [socket.wait_for(Kind.MESSAGE)[-1] for _ in texts]
    if pair.protocol.promises.visible == "frame":
        assert [frame.text for frame in frames] == texts
    assert pair.whole(chat) == texts


def test_whole_chats_are_whole(pair: ProtocolWithChat) -> None:
    chat = pair.new_chat()
    for n in range(150):
        pair.send(chat, str(n))
    assert pair.whole(chat) == [str(n) for n in range(150)]


def test_pings_are_answered(pair: ProtocolWithChat) -> None:
    with pair.connected(pair.viewer, pair.new_chat()) as socket:
        ping = socket.session.ping()
        assert ping is not None
        socket.say([ping])
        assert socket.next().kind is Kind.OTHER


@pytest.fixture(params=[case for case in CASES if find_protocol(case[0]).promises.has_rooms], ids=name_of)
def rooms(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProtocolWithChat]:
    """Only the pairs whose chat has rooms."""
    name, server = request.param
    with paired(name, server, tmp_path) as made:
        yield made


def test_a_send_over_the_socket_is_acknowledged(rooms: ProtocolWithChat) -> None:
    room = rooms.new_chat()
    with rooms.connected(rooms.viewer, room) as viewer, rooms.connected(rooms.sender, room) as sender:
        sender.say([sender.session.send(room, "over the socket", "the reference")])
        acknowledged = sender.wait_for(Kind.ACKNOWLEDGED)[-1]
        shown = viewer.wait_for(Kind.MESSAGE)[-1]
    assert acknowledged.reference == "the reference"
    assert (shown.text, shown.message_id) == ("over the socket", acknowledged.message_id)


def test_what_was_missed_is_replayed(rooms: ProtocolWithChat) -> None:
    protocol, room = rooms.protocol, rooms.new_chat()
    with rooms.connected(rooms.viewer, room) as socket:
        rooms.send(room, "seen")
        last = socket.wait_for(Kind.MESSAGE)[-1]
    rooms.send(room, "missed")
    with rooms.connected(rooms.viewer, room, last) as socket:
        assert [(frame.text, frame.replayed) for frame in socket.replayed] == [("missed", True)]
        rooms.send(room, "live")
        assert [frame.text for frame in socket.wait_for(Kind.MESSAGE)] == ["live"]
    reading = protocol.read_missed(rooms.viewer, room, last)
    assert reading is not None
    shown = [text.text for text in protocol.read_whole_chat(rooms.ask(reading)).texts]
    assert shown[-2:] == ["missed", "live"]  # a file may have to read the whole room


def test_what_was_missed_before_any_message_came_is_replayed(rooms: ProtocolWithChat) -> None:
    room = rooms.new_chat()
    rooms.send(room, "old")
    with rooms.connected(rooms.viewer, room) as socket:
        joined = socket.joined
    rooms.send(room, "missed")
    with rooms.connected(rooms.viewer, room, joined) as socket:
        assert [frame.text for frame in socket.replayed] == ["missed"]


def test_only_members_get_anything(rooms: ProtocolWithChat) -> None:
    protocol, room = rooms.protocol, rooms.new_chat()
    other = rooms.user("dashboard", 1)
    with rooms.connected(rooms.viewer, room) as member:
        member.heed(member.session.join("no such room", None))
        assert member.next().kind is Kind.REFUSED
        with pytest.raises(AssertionError), rooms.connected(other, room):
            pass
        assert rooms.answer(protocol.whole_chat(other, room)).status == 403
        rooms.ask(protocol.add_member(room, other))
        with rooms.connected(other, room) as socket:
            rooms.send(room, "for both")
            assert socket.wait_for(Kind.MESSAGE)[-1].text == "for both"
            rooms.ask(protocol.remove_member(room, other))
            assert socket.wait_for(Kind.LEFT)[-1].chat_id == room
            socket.say([socket.session.send(room, "from outside", "a reference")])
            rejected = socket.next()
    assert (rejected.kind, rejected.reference, rejected.status) == (Kind.REJECTED, "a reference", 403)


# Without one.

NASTY = [
    "..",
    ".",
    "a/b",
    "a?b=c#d",
    "%2F",
    "a b\r\nHost: evil",
    "💥\u2028",
    "\ud800 half a pair",
    "' OR 1=1; --",
    "<script>",
    "\x00",
    "x" * 5000,
]


def known(protocol: ChatProtocol, name: str = "") -> User:
    """A user who has what a login gives."""
    return protocol.user("dashboard", 0, "run", {"name": name, "token": "the-token-of-the-user"} if name else {})


def requests_of(protocol: ChatProtocol, user: User, chat: str, text: str) -> Iterator[Request]:
    """Every request that a protocol makes; those that its chat does not have are left out."""
    last = Frame(Kind.MESSAGE, chat, message_id=text)
    makers: list[Callable[[], Request | None]] = [
        lambda: next(protocol.login(protocol.user("dashboard", 0, "run", {"name": user.name})), None),
        lambda: next(protocol.create_chat(user)),
        lambda: next(protocol.create_room(0, "run", [user])),
        lambda: protocol.add_member(chat, user),
        lambda: protocol.remove_member(chat, user),
        lambda: protocol.send(user, chat, text, "reference"),
        lambda: protocol.list_chats(user),
        lambda: protocol.whole_chat(user, chat),
        lambda: protocol.whole_chat(user, chat, "12"),
        lambda: protocol.read_missed(user, chat, last),
    ]
    for make in makers:
        with contextlib.suppress(NotImplementedError):
            if (request := make()) is not None:
                yield request


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_from_outside_changes_a_request(name: str, nasty: str) -> None:
    """An id stays one segment of the path, whatever it holds, and a text stays in the body."""
    protocol = made(name)
    plain = list(requests_of(protocol, known(protocol, "agent"), "chat", "text"))
    for request, expected in zip(requests_of(protocol, known(protocol, nasty), nasty, nasty), plain, strict=True):
        assert request.method == expected.method
        assert request.path.isascii()
        assert request.path.isprintable()
        assert " " not in request.path
        assert "#" not in request.path
        segments, like = (one.path.partition("?")[0].split("/") for one in (request, expected))
        assert len(segments) == len(like)
        assert not {".", "..", ""} & set(segments[1:])
        if nasty.isprintable() and "chat" in like:
            assert unquote(segments[like.index("chat")]) == nasty
        for header, value in request.headers.items():
            assert (header + value).isprintable()
        if request.body is not None and expected.body is not None:
            assert json.loads(request.body).keys() == json.loads(expected.body).keys()


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_from_outside_breaks_a_frame_for_the_target(name: str, nasty: str) -> None:
    protocol = made(name)
    session = protocol.session(known(protocol, "agent"))
    sent = [*session.open().replies, session.ping() or "{}"]
    with contextlib.suppress(NotImplementedError):
        sent += session.join(nasty, Frame(Kind.MESSAGE, nasty, message_id=nasty)).replies
        sent.append(session.send(nasty, nasty, nasty))
    for one in sent:
        assert isinstance(one, str)
        assert isinstance(json.loads(one.encode()), dict)


def created(protocol: ChatProtocol, body: bytes) -> str:
    """The id of the chat or room that an answer says was created."""
    user = known(protocol, "agent")
    has_rooms = protocol.promises.has_rooms
    steps = protocol.create_room(0, "run", [user]) if has_rooms else protocol.create_chat(user)
    next(steps)
    with pytest.raises(StopIteration) as done:
        steps.send(Answer(200, {}, body))
    return str(done.value.value)


def readers_of(protocol: ChatProtocol) -> list[Callable[[bytes], object]]:
    """The readers of what the chat has."""
    readers: list[Callable[[bytes], object]] = [
        lambda body: created(protocol, body),
        protocol.read_sent,
        protocol.read_whole_chat,
        protocol.read_frames,
    ]
    return readers if protocol.promises.visible == "frame" else [*readers, protocol.read_list]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_body_outside_the_protocol_is_unreadable_with_a_reason(name: str) -> None:
    for reader in readers_of(made(name)):
        for body in (b"", b"<html>", b"[1]", b'{"success": false}', b"\xff\xfe"):
            with pytest.raises(Unreadable, match="got"):
                reader(body)


@pytest.mark.parametrize("name", BUILT_IN)
def test_deep_nesting_is_unreadable(name: str) -> None:
    for reader in readers_of(made(name)):
        with pytest.raises(Unreadable, match="got"):
            reader(b'{"x":' + b"[" * 100_000)


_WORDS = st.sampled_from(
    ["type", "message", "room", "id", "text", "user", "joined", "ref", "ack", "nack", "batch", "frames", "status",
     "gap", "data", "chat_updates", "chat_id", "chat_message_notification", "messages", "next", "token", "error",
     "hello", "connected", "subscribed", "refused", "left", "replay", "users", "chats", "total_messages", "success"]
)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=6),
    max_leaves=12,
)
_BODIES = st.binary(max_size=60) | _VALUES.map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize("name", BUILT_IN)
@given(body=_BODIES)
def test_any_bytes_are_read_or_unreadable(name: str, body: bytes) -> None:
    for reader in readers_of(made(name)):
        with contextlib.suppress(Unreadable):
            reader(body)


@pytest.mark.parametrize("name", BUILT_IN)
@given(body=_BODIES)
def test_a_login_gets_through_or_is_refused_whatever_comes_back(name: str, body: bytes) -> None:
    protocol = made(name)
    for status in (200, 204, 302, 403, 500):
        login = protocol.login(protocol.user("widget", 0, "run", {}))
        with contextlib.suppress(StopIteration, Unreadable, LoginError):
            next(login)
            for _ in range(10):
                login.send(Answer(status, {}, body))
            raise AssertionError("a login without end")


_FRAMES = st.builds(
    Frame,
    kind=st.sampled_from(Kind),
    chat_id=st.text(max_size=5),
    message_id=st.none() | st.integers() | st.text(max_size=5),
    detail=st.text(max_size=5),
    text=st.none() | st.text(max_size=5),
    replayed=st.booleans(),
    reference=st.text(max_size=5),
    status=st.integers(),
    source=st.none(),
)


@pytest.mark.parametrize("name", BUILT_IN)
@given(frames=st.lists(_FRAMES, max_size=5), bodies=st.lists(_BODIES, max_size=5))
def test_a_session_takes_every_frame_in_any_order(name: str, frames: list[Frame], bodies: list[bytes]) -> None:
    protocol = made(name)
    session = protocol.session(known(protocol, "agent"))
    for body in bodies:
        with contextlib.suppress(Unreadable):
            frames += protocol.read_frames(body)
    for frame in frames:
        taken = session.take(frame)
        assert all(isinstance(one, Frame) for one in taken.frames)
        assert all(isinstance(reply, str) for reply in taken.replies)


@pytest.mark.parametrize("name", BUILT_IN)
def test_secrets_are_in_no_repr(name: str) -> None:
    protocol = made(name)
    user = known(protocol, "agent")
    shown = "".join(map(repr, [protocol, user, user.variables, protocol.session(user), protocol.login(user)]))
    for secret in (*SECRETS.values(), "the-token-of-the-user"):
        assert secret not in shown


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_invalid_secret_is_refused_without_being_shown(name: str) -> None:
    with pytest.raises(ValueError, match="expected printable ASCII without spaces, got a space") as caught:
        find_protocol(name).make(dict.fromkeys(SECRETS, "a secret"))
    assert "a secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\r\nX: y", "ä", "\x00"])
def test_a_token_cannot_add_a_header(token: str) -> None:
    push = Push()
    login = push.login(push.user("dashboard", 0, "run", {}))
    next(login)
    with pytest.raises(Unreadable, match="expected a token of printable ASCII without spaces, got another"):
        login.send(Answer(200, {}, json.dumps({"token": token}).encode()))
    with pytest.raises(ValueError, match="the token of agent: expected printable ASCII without spaces"):
        push.user("dashboard", 0, "run", {"name": "agent", "token": token})


@pytest.mark.parametrize("name", BUILT_IN)
def test_users_of_a_run_have_names_of_their_own(name: str) -> None:
    protocol = made(name)
    users = [protocol.user(role, n, run, {}) for run in "ab" for role in ("dashboard", "widget") for n in range(3)]
    assert len({user.email for user in users}) == len(users)


# The reference.


def frame_in(data: bytes) -> Frame:
    (frame,) = Reference().read_frames(data)
    return frame


def test_deep_nesting_is_unreadable_here_but_not_in_a_browser() -> None:
    for reader in readers_of(Reference()):
        with pytest.raises(UnreadableHere, match="nested too deeply"):
            reader(b'{"x":' + b"[" * 100_000)


@pytest.mark.parametrize(
    ("body", "chat"),
    [
        (rb'{"chat_id": "\ud83d\ude00"}', "😀"),
        (rb'{"chat_id": "\ud800"}', "\ufffd"),
        (rb'{"chat_id": "\\ud800"}', r"\ud800"),
        (rb'{"chat_id": "\ude00\ud83d\ude00\ud83d"}', "\ufffd😀\ufffd"),
        (b'\xef\xbb\xbf{"chat_id": "a"}', "a"),
        (b'{"chat_id": "a\xff"}', "a\ufffd"),
    ],
)
def test_the_reference_reads_a_body_as_a_browser_does(body: bytes, chat: str) -> None:
    assert created(Reference(), body) == chat


def test_an_undecodable_frame_is_unreadable_as_in_a_browser() -> None:
    with pytest.raises(Unreadable):
        frame_in(b'{"type": "chat_updates", "data": {"chat_id": "\xff"}}')


@pytest.mark.parametrize(
    ("message_id", "expected"),
    [
        ("7", 7),
        ("0", 0),
        ("-1", None),
        (str(2**63), None),
        ("9" * 30, None),
        ('"a7"', "a7"),
        ("7.5", None),
        ("null", None),
        ("true", None),
        ('{"$oid": "a7"}', None),
        ("[7]", None),
    ],
)
def test_an_id_that_does_not_fit_the_history_becomes_none(message_id: str, expected: int | str | None) -> None:
    reference = Reference()
    assert reference.read_sent(f'{{"message_id": {message_id}}}'.encode()).message_id == expected
    chat = f'{{"chat_id": "a", "total_messages": 1, "messages": [{{"text": "x", "message_id": {message_id}}}]}}'
    assert [text.message_id for text in reference.read_whole_chat(chat.encode()).texts] == [expected]
    data = f'{{"type": "chat_message_notification", "chat_id": "a", "message_id": {message_id}}}'
    frame = frame_in(f'{{"type": "chat_updates", "data": {data}}}'.encode())
    assert (frame.kind, frame.message_id) == (Kind.MESSAGE, expected)


def test_the_reference_accepts_a_number_as_a_chats_id() -> None:
    reference = Reference()
    assert created(reference, b'{"chat_id": 7}') == "7"
    (chat,) = reference.read_list(b'{"users": [{"chats": [{"chat_id": 7, "total_messages": 0}]}]}')
    assert chat.chat_id == "7"
    assert reference.read_whole_chat(b'{"chat_id": 7, "total_messages": 0}').total == 0
    data = b'{"type": "chat_message_notification", "chat_id": 7, "message_role": null}'
    frame = frame_in(b'{"type": "chat_updates", "data": ' + data + b"}")
    assert (frame.kind, frame.chat_id, frame.from_customer) == (Kind.MESSAGE, "7", False)


@pytest.mark.parametrize("text", ["null", "7", '{"code": 7}'])
def test_the_reference_ignores_human_readable_text_in_a_frame(text: str) -> None:
    frames = [f'{{"type": "{kind}", "message": {text}}}'.encode() for kind in ("connected", "error")]
    assert [frame_in(frame).kind for frame in frames] == [Kind.CONNECTED, Kind.ERROR]


@pytest.mark.parametrize("total", ["-1", str(2**31), "1.5", '"1"'])
def test_an_invalid_count_is_unreadable(total: str) -> None:
    with pytest.raises(Unreadable, match="total_messages"):
        Reference().read_whole_chat(f'{{"chat_id": "a", "total_messages": {total}}}'.encode())


def test_any_exception_of_a_protocol_is_unreadable_here() -> None:
    def broken(_: bytes) -> None:
        raise KeyError("oh")

    with pytest.raises(UnreadableHere, match="KeyError"):
        read(broken, b"x")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"a\\ud83d", "a\ufffd"),
        (b"\\ude00 b", "\ufffd b"),
        (b"a\\\\ud83d", "a\\ud83d"),
        (b"\\ud83d\\ude00\\ud83d", "\U0001f600\ufffd"),
        (b"a\xf0\x9f", "a\ufffd"),
        (b"a\xff", "a\ufffd"),
    ],
)
def test_characters_that_a_browser_shows_as_broken_do_not_make_a_body_unreadable(written: bytes, read: str) -> None:
    """If a chat cuts an emoji in half, the list is still readable, with one damaged text in it."""
    reference = Reference()
    chat = b'{"chat_id": "c", "total_messages": 1, "messages": [{"text": "' + written + b'"}]}'
    assert [text.text for text in reference.read_whole_chat(chat).texts] == [read]
    for mark in (b"", b"\xef\xbb\xbf"):
        (listed,) = reference.read_list(mark + b'{"users": [{"chats": [' + chat + b"]}]}")
        assert [text.text for text in listed.texts] == [read]
    frame = (
        b'{"type": "chat_updates", "data": {"type": "chat_message_notification", "chat_id": "c", "preview": "'
        + written
        + b'"}}'
    )
    assert frame_in(frame) == Frame(Kind.MESSAGE, "c", True, None)
    with pytest.raises(Unreadable):
        reference.read_list(b'{"users": [{"chats": [{"chat_id": "' + written + b'"}]}]}')


def test_frames_of_other_channels_are_ignored() -> None:
    for data in (b'{"type": "unread_counts", "data": [1, 2]}', b'{"type": "pong", "timestamp": "t"}'):
        assert frame_in(data).kind is Kind.OTHER
    assert frame_in(b'{"type": "error", "message": "Unknown action: x"}') == Frame(
        Kind.ERROR, detail="Unknown action: x"
    )
    with pytest.raises(Unreadable):
        frame_in(b'{"type": "chat_updates", "data": 7}')
