"""One suite for every protocol: a real chat accepts its requests, and it can read the responses and frames."""

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from chatswarm.loadtests.messages.identity import text_of
from chatswarm.loadtests.protocols import PROTOCOLS, Reference
from chatswarm.loadtests.protocols.protocol import (
    ChatProtocol,
    Customer,
    Frame,
    Kind,
    Request,
    Unreadable,
    UnreadableHere,
    read,
)
from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend
from tests.plants import Chat, serving

Server = Callable[[Path], AbstractContextManager[str]]


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


CASES: list[tuple[str, Server]] = [("reference", backend), ("reference", original), ("reference", with_ids)]


class ProtocolWithChat:
    """A protocol, and a real chat that it should work with."""

    def __init__(self, protocol: ChatProtocol, base_url: str) -> None:
        self.protocol = protocol
        self.base_url = base_url

    def ask(self, request: Request) -> bytes:
        parts = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        connection.request(request.method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert 200 <= answer.status < 300, (request, answer.status, body)
        return body

    def new_chat(self) -> str:
        customer = Customer("Ada", f"ada-{time.monotonic_ns()}@example.com")
        self.ask(self.protocol.submit_contact(customer))
        return self.protocol.read_created(self.ask(self.protocol.create_chat(customer)))

    @contextmanager
    def dashboard(self) -> Iterator[ClientConnection]:
        with connect("ws" + self.base_url.removeprefix("http") + self.protocol.socket_path, compression=None) as socket:
            assert self.next_frame(socket).kind is Kind.CONNECTED
            socket.send(self.protocol.subscribe())
            assert self.next_frame(socket).kind is Kind.SUBSCRIBED
            yield socket

    def next_frame(self, socket: ClientConnection) -> Frame:
        data = socket.recv(timeout=10)
        return self.protocol.read_frame(data.encode() if isinstance(data, str) else data)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].__name__}")
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProtocolWithChat]:
    name, server = request.param
    with server(tmp_path) as base_url:
        yield ProtocolWithChat(PROTOCOLS[name](None), base_url)


def test_every_protocol_is_tested() -> None:
    assert {name for name, _ in CASES} == set(PROTOCOLS)


def test_from_the_contact_form_to_the_dashboard(pair: ProtocolWithChat) -> None:
    protocol = pair.protocol
    chat_id = pair.new_chat()
    texts = [text_of("abcdefghij", 0, n, 100) for n in range(3)]
    with pair.dashboard() as socket:
        ids = [protocol.read_sent(pair.ask(protocol.send(chat_id, text))) for text in texts]
        frames = [pair.next_frame(socket) for _ in texts]
    assert [(frame.kind, frame.chat_id, frame.from_customer) for frame in frames] == [(Kind.MESSAGE, chat_id, True)] * 3
    assert [frame.message_id for frame in frames] == ids
    (shown,) = [chat for chat in protocol.read_list(pair.ask(protocol.list_chats())) if chat.chat_id == chat_id]
    assert shown.total == 3
    assert [text.text for text in shown.texts] == texts[-len(shown.texts) :]
    whole = protocol.read_whole_chat(pair.ask(protocol.whole_chat(chat_id)))
    assert (whole.chat_id, whole.total, [text.text for text in whole.texts]) == (chat_id, 3, texts)
    assert all(text.from_customer for text in whole.texts)


def test_every_character_survives(pair: ProtocolWithChat) -> None:
    protocol, chat_id = pair.protocol, pair.new_chat()
    texts = [text_of("abcdefghij", 0, n, 100, "unicode") for n in range(10)]
    for text in texts:
        protocol.read_sent(pair.ask(protocol.send(chat_id, text)))
    (shown,) = [chat for chat in protocol.read_list(pair.ask(protocol.list_chats())) if chat.chat_id == chat_id]
    assert [text.text for text in shown.texts] == texts[-len(shown.texts) :]
    whole = protocol.read_whole_chat(pair.ask(protocol.whole_chat(chat_id)))
    assert [text.text for text in whole.texts] == texts


def test_whole_chats_are_whole(pair: ProtocolWithChat) -> None:
    chat_id = pair.new_chat()
    for n in range(150):
        pair.ask(pair.protocol.send(chat_id, str(n)))
    whole = pair.protocol.read_whole_chat(pair.ask(pair.protocol.whole_chat(chat_id)))
    assert [text.text for text in whole.texts] == [str(n) for n in range(150)]


def test_pings_are_answered(pair: ProtocolWithChat) -> None:
    with pair.dashboard() as socket:
        socket.send(pair.protocol.ping())
        assert pair.next_frame(socket).kind is Kind.OTHER


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_body_outside_the_protocol_is_unreadable_with_a_reason(name: str) -> None:
    protocol = PROTOCOLS[name](None)
    for reader in (
        protocol.read_created,
        protocol.read_sent,
        protocol.read_list,
        protocol.read_whole_chat,
        protocol.read_frame,
    ):
        for body in (b"", b"<html>", b"[1]", b'{"success": false}', b"\xff\xfe"):
            with pytest.raises(Unreadable, match="got"):
                reader(body)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_deep_nesting_is_unreadable_here_but_not_in_a_browser(name: str) -> None:
    protocol, body = PROTOCOLS[name](None), b'{"x":' + b"[" * 100_000
    for reader in (
        protocol.read_created,
        protocol.read_sent,
        protocol.read_list,
        protocol.read_whole_chat,
        protocol.read_frame,
    ):
        with pytest.raises(UnreadableHere, match="nested too deeply"):
            reader(body)


@pytest.mark.parametrize("name", PROTOCOLS)
@given(
    body=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: f'{{"chat_id":"{text}"}}'.encode()))
)
def test_any_bytes_are_read_or_unreadable(name: str, body: bytes) -> None:
    protocol = PROTOCOLS[name](None)
    for reader in (
        protocol.read_created,
        protocol.read_sent,
        protocol.read_list,
        protocol.read_whole_chat,
        protocol.read_frame,
    ):
        with contextlib.suppress(Unreadable):
            reader(body)


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
    assert Reference().read_created(body) == chat


def test_an_undecodable_frame_is_unreadable_as_in_a_browser() -> None:
    with pytest.raises(Unreadable):
        Reference().read_frame(b'{"type": "chat_updates", "data": {"chat_id": "\xff"}}')


@pytest.mark.parametrize(
    ("message_id", "known"),
    [
        ("7", 7),
        ("0", 0),
        ("-1", None),
        (str(2**63), None),
        ("9" * 30, None),
        ('"a7"', None),
        ("7.5", None),
        ("null", None),
        ("true", None),
        ('{"$oid": "a7"}', None),
        ("[7]", None),
    ],
)
def test_an_id_that_does_not_fit_the_history_becomes_none(message_id: str, known: int | None) -> None:
    reference = Reference()
    assert reference.read_sent(f'{{"message_id": {message_id}}}'.encode()) == known
    chat = f'{{"chat_id": "a", "total_messages": 1, "messages": [{{"text": "x", "message_id": {message_id}}}]}}'
    assert [text.message_id for text in reference.read_whole_chat(chat.encode()).texts] == [known]
    data = f'{{"type": "chat_message_notification", "chat_id": "a", "message_id": {message_id}}}'
    frame = reference.read_frame(f'{{"type": "chat_updates", "data": {data}}}'.encode())
    assert (frame.kind, frame.message_id) == (Kind.MESSAGE, known)


def test_the_reference_accepts_a_number_as_a_chats_id() -> None:
    reference = Reference()
    assert reference.read_created(b'{"chat_id": 7}') == "7"
    (chat,) = reference.read_list(b'{"users": [{"chats": [{"chat_id": 7, "total_messages": 0}]}]}')
    assert (chat.chat_id, reference.read_whole_chat(b'{"chat_id": 7, "total_messages": 0}').chat_id) == ("7", "7")
    data = b'{"type": "chat_message_notification", "chat_id": 7, "message_role": null}'
    frame = reference.read_frame(b'{"type": "chat_updates", "data": ' + data + b"}")
    assert (frame.kind, frame.chat_id, frame.from_customer) == (Kind.MESSAGE, "7", False)


@pytest.mark.parametrize("text", ["null", "7", '{"code": 7}'])
def test_the_reference_ignores_human_readable_text_in_a_frame(text: str) -> None:
    frames = [f'{{"type": "{kind}", "message": {text}}}'.encode() for kind in ("connected", "error")]
    assert [Reference().read_frame(frame).kind for frame in frames] == [Kind.CONNECTED, Kind.ERROR]


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
    reference = PROTOCOLS["reference"](None)
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
    assert reference.read_frame(frame) == Frame(Kind.MESSAGE, "c", True, None)
    with pytest.raises(Unreadable):
        reference.read_list(b'{"users": [{"chats": [{"chat_id": "' + written + b'"}]}]}')


def test_frames_of_other_channels_are_ignored() -> None:
    reference = PROTOCOLS["reference"](None)
    for data in (b'{"type": "unread_counts", "data": [1, 2]}', b'{"type": "pong", "timestamp": "t"}'):
        assert reference.read_frame(data).kind is Kind.OTHER
    assert reference.read_frame(b'{"type": "error", "message": "Unknown action: x"}') == Frame(
        Kind.ERROR, detail="Unknown action: x"
    )
    with pytest.raises(Unreadable):
        reference.read_frame(b'{"type": "chat_updates", "data": 7}')
