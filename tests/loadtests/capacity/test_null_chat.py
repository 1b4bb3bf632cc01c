"""The null chat speaks the guide's protocol: it passes the checklist, and takes requests in any pieces."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatswarm.loadtests.capacity.null_chat import NullChat
from chatswarm.loadtests.capacity.search import null_chat
from chatswarm.loadtests.checklist import run_checklist
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.catalogue import find_protocol


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with null_chat(tmp_path / "log") as (url, _):
        yield url


def test_it_passes_the_checklist(url: str) -> None:
    report = run_checklist(find_protocol("reference").make(target=url), url)
    assert report.exit_code == 0, report.json()


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_it_takes_requests_in_any_pieces(url: str, piece: int) -> None:
    address = parse_address(url)
    asked = _post("/api/users/chats/create", b"{}")
    asked += _post("/api/users/chats/chat-0/send", b'{"content": "one"}') * 2
    with socket.create_connection((address.host, address.port), 5) as connection:
        for place in range(0, len(asked), piece):
            connection.sendall(asked[place : place + piece])
        said = b""
        while said.count(b"HTTP/1.1 200 ") < 3 or not said.endswith(b"}"):
            received = connection.recv(4096)
            assert received, said
            said += received
    assert b'"chat_id":"chat-0"' in said
    assert b'"message_id":1}' in said
    assert b'"message_id":2}' in said


def test_it_leaves_nobody_behind(tmp_path: Path) -> None:
    with null_chat(tmp_path / "log") as (url, _):
        address = parse_address(url)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address.host, address.port), 5)


def test_its_list_shows_the_last_text_and_the_total() -> None:
    chat = NullChat()
    chat.respond("POST", "/api/users/chats/create", b"{}")
    for text in ("one", 'two "quoted" ☃'):
        chat.respond("POST", "/api/users/chats/chat-0/send", b'{"content": %s}' % _json(text))
    protocol = find_protocol("reference").make(target="")
    (listed,) = protocol.read_list(_body(chat.respond("GET", "/api/debug/users-chats", b"")))
    assert (listed.chat_id, listed.total, [text.text for text in listed.texts]) == ("chat-0", 2, ['two "quoted" ☃'])
    whole = protocol.read_whole_chat(_body(chat.respond("GET", "/api/chats/chat-0", b"")))
    assert [text.text for text in whole.texts] == ["one", 'two "quoted" ☃']
    assert chat.respond("GET", "/api/chats/other", b"").startswith(b"HTTP/1.1 404 ")


def _post(path: str, body: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


def _json(text: str) -> bytes:
    return json.dumps(text).encode()


def _body(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]
