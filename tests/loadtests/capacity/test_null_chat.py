"""The null chat speaks the guide's protocol: it passes the checklist, and takes requests in any pieces."""

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


def test_it_takes_requests_in_any_pieces(url: str) -> None:
    address = parse_address(url)
    asked = b"POST /api/users/chats/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" * 2
    with socket.create_connection((address.host, address.port), 5) as connection:
        for place in range(len(asked)):
            connection.sendall(asked[place : place + 1])
        said = b""
        while said.count(b"chat_id") < 2:
            said += connection.recv(4096)
    assert b'"chat_id":"chat-0"' in said
    assert b'"chat_id":"chat-1"' in said


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


def _json(text: str) -> bytes:
    import json

    return json.dumps(text).encode()


def _body(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]
