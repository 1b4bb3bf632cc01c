"""Foreign origins and bad tokens: access is reported, and nothing begins if refusals would prove nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from chatswarm.loadtests.faults.rogues.rogue import CannotBeginError

from .misbehaving import Connection, attack, server

TOKEN = "right-token"


def headers(head: str) -> dict[str, str]:
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}


def checking(refusal: Callable[[str, dict[str, str]], int]) -> Callable[[Connection], None]:
    """A chat that grants access unless `refusal` returns a status."""

    def serve(connection: Connection) -> None:
        head = connection.head()
        if status := refusal(head.split(" ")[1], headers(head)):
            connection.refuse(status)
        elif "sec-websocket-key" in headers(head):
            connection.upgrade(head)
            connection.read_on()
        else:
            connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    return serve


def strict(path: str, head: dict[str, str]) -> int:
    if head.get("origin", "https://chat.example") != "https://chat.example":
        return 403
    return 0 if head.get("authorization") == f"Bearer {TOKEN}" else 401


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.websocket._WRITE_TIMEOUT", 0.1)


def twelve(rogue: Any) -> bool:
    return bool(rogue.statuses.total() >= 12)


def test_a_chat_that_refuses_foreign_origins() -> None:
    with server(checking(strict)) as chat:
        evidence = attack("foreign_origin", chat.url, twelve, token=TOKEN, attempts=50)
    count = evidence["attempts"]
    assert evidence == {"attempts": count, "refused": count, "let_in": 0, "statuses": f"403 ×{count}"}


def test_a_chat_that_lets_every_origin_in() -> None:
    with server(checking(lambda *_: 0)) as chat:
        evidence = attack("foreign_origin", chat.url, twelve, attempts=50, origin="https://other.example")
    count = evidence["attempts"]
    assert evidence == {
        "attempts": count,
        "refused": 0,
        "let_in": count,
        "statuses": f"101 ×{count}",
        "let_in_with": f"https://other.example ×{count}",
    }


def test_an_error_is_not_a_refusal() -> None:
    def broken(connection: Connection) -> None:
        head = connection.head()
        if "origin" not in headers(head):
            connection.upgrade(head)
        elif connection.number % 2:
            connection.refuse(500)

    with server(broken) as chat:
        evidence = attack("foreign_origin", chat.url, twelve, attempts=50)
    assert (evidence["refused"], evidence["let_in"]) == (0, 0)
    assert evidence["statuses"].startswith("none ×")
    assert ", 500 ×" in evidence["statuses"]


def test_a_chat_that_refuses_bad_tokens() -> None:
    with server(checking(strict)) as chat:
        evidence = attack("bad_token", chat.url, twelve, token=TOKEN, attempts=50)
    count = evidence["attempts"]
    assert evidence == {"attempts": count, "refused": count, "let_in": 0, "statuses": f"401 ×{count}"}


def list_is_open(path: str, head: dict[str, str]) -> int:
    return 0 if "users-chats" in path else strict(path, head)


def accepts_any_token(path: str, head: dict[str, str]) -> int:
    return 0 if head.get("authorization") else 401


def accepts_no_token(path: str, head: dict[str, str]) -> int:
    return 0 if "authorization" not in head else strict(path, head)


def accepts_token_in_url(path: str, head: dict[str, str]) -> int:
    return 0 if f"token={TOKEN}" in path else strict(path, head)


def accepts_any_subprotocol(path: str, head: dict[str, str]) -> int:
    chatswarm, _, offered = head.get("sec-websocket-protocol", "").partition(", bearer.")
    if chatswarm == "chatswarm" and TOKEN.encode() != base64.urlsafe_b64decode(offered + "=="):
        return 0
    return strict(path, head)


@pytest.mark.parametrize(
    ("flaw", "let_in"),
    [
        (list_is_open, {"list without a token", "list with a wrong token"}),
        (accepts_any_token, {"socket with a wrong token", "list with a wrong token"}),
        (
            accepts_no_token,
            {
                "socket without a token",
                "list without a token",
                "socket with a wrong token as subprotocol",
                "socket with the token in its URL",
            },
        ),
        (accepts_token_in_url, {"socket with the token in its URL"}),
        (accepts_any_subprotocol, {"socket with a wrong token as subprotocol"}),
    ],
)
def test_granted_access_is_reported(flaw: Callable[[str, dict[str, str]], int], let_in: set[str]) -> None:
    with server(checking(flaw)) as chat:
        evidence = attack("bad_token", chat.url, twelve, token=TOKEN, attempts=50)
    assert {entry.partition(" ×")[0] for entry in evidence["let_in_with"].split(", ")} == let_in
    assert 0 < evidence["let_in"] == evidence["attempts"] - evidence["refused"]


def test_it_does_not_begin_if_refusals_would_prove_nothing() -> None:
    with server(checking(lambda *_: 403)) as chat:
        for kind in ("foreign_origin", "bad_token"):
            with pytest.raises(CannotBeginError, match=r"expected a proper handshake to be accepted .*, got HTTP 403"):
                attack(kind, chat.url, twelve, token=TOKEN)
    with server(checking(lambda path, _: 404 if "users-chats" in path else 0)) as chat:
        with pytest.raises(CannotBeginError, match="expected the list for the right token, got HTTP 404"):
            attack("bad_token", chat.url, twelve, token=TOKEN)
        with pytest.raises(CannotBeginError, match="expected a token that admits dashboards, got none"):
            attack("bad_token", chat.url, twelve)
