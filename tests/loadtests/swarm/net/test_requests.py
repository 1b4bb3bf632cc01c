"""Requests as bytes, and the targets of redirects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.protocol import Request, User
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.swarm.net.requests import Unfollowable, Unsendable, outgoing, redirected

BASE = parse_address("https://chat.example/base")
SECRET = {"Authorization": "Bearer secret", "Accept": "application/json"}


def lines(request: Request, url: str = "https://chat.example/base", origin: str | None = None) -> list[str]:
    head, _, _ = outgoing(parse_address(url), request, origin).wire().partition(b"\r\n\r\n")
    return head.decode().split("\r\n")


def test_a_get() -> None:
    assert lines(Request("GET", "/list", headers={"Accept": "application/json"})) == [
        "GET /base/list HTTP/1.1",
        "Host: chat.example",
        "User-Agent: chatswarm",
        "Accept-Encoding: gzip, deflate, br",
        "Accept: application/json",
    ]


def test_a_post_has_a_length_and_accepts_no_encoding() -> None:
    assert outgoing(parse_address("http://[::1]:8000"), Request("POST", "/send", b"hello"), "http://page").wire() == (
        b"POST /send HTTP/1.1\r\nHost: [::1]:8000\r\nUser-Agent: chatswarm\r\nOrigin: http://page\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    assert "Content-Length: 0" in lines(Request("POST", "/send"))


def test_a_protocols_headers_win_except_for_framing() -> None:
    headers = {"HOST": "other", "accept-encoding": "br", "Content-Length": "99", "Connection": "close"}
    got = lines(Request("GET", "/", headers=headers))
    assert got[1:] == ["HOST: other", "User-Agent: chatswarm", "accept-encoding: br"]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("list", "/base/list"),
        ("", "/base/"),
        ("//x", "/base//x"),
        ("/a b", "/base/a%20b"),
        ("/a%2Fb?c=d&e=[f]", "/base/a%2Fb?c=d&e=[f]"),
        ("/a#b", "/base/a%23b"),
        ("/é\n", "/base/%C3%A9%0A"),
        ("/\udc80", "/base/%EF%BF%BD"),
        ("http://elsewhere/x", "/base/http://elsewhere/x"),
    ],
)
def test_paths_are_encoded(path: str, target: str) -> None:
    assert lines(Request("GET", path))[0] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(
    ("chat", "segment"),
    [
        ("a b", "a%20b"), ("a\n", "a%0A"), ("a?b", "a%3Fb"), ("a#b", "a%23b"), ("a/b", "a%2Fb"), ("100%", "100%25"),
        ("é", "%C3%A9"), ("..", "%2E%2E"), (".", "%2E"), ("a.b", "a.b"), ("a\udc80", "a%EF%BF%BD"), ("\0", "%00"),
    ],
)  # fmt: skip
def test_any_chat_id_is_one_path_segment(chat: str, segment: str) -> None:
    user = User("a", "a@b")
    assert Reference().whole_chat(user, chat).path == f"/api/chats/{segment}"
    assert Reference().send(user, chat, "x", "").path == f"/api/users/chats/{segment}/send"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "a\0", "\x7f"])
def test_a_header_with_a_line_break_is_refused_without_repeating_its_value(value: str) -> None:
    with pytest.raises(Unsendable, match="header Authorization: expected a value in one line") as caught:
        lines(Request("GET", "/", headers={"Authorization": f"secret{value}"}))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("request_", [Request("GET", "/", headers={"A\r\nB": "c"}), Request("GE T", "/")])
def test_an_invalid_method_or_header_name_is_refused(request_: Request) -> None:
    with pytest.raises(Unsendable):
        lines(request_)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_path_or_header_value_adds_a_line(path: str, value: str) -> None:
    try:
        wire = outgoing(BASE, Request("GET", path, headers={"X": value}), None).wire()
    except Unsendable:
        return
    assert wire.count(b"\r\n") == wire.count(b"\n") == 6
    assert wire.split(b"\r\n")[0].count(b" ") == 2


@pytest.mark.parametrize(
    ("location", "origin", "path"),
    [
        ("/new", "https://chat.example", "/new"),
        ("new?a=b#c", "https://chat.example", "/base/new?a=b"),
        ("?page=2", "https://chat.example", "/base/list?page=2"),
        ("//other.example/x", "https://other.example", "/x"),
        ("http://chat.example/x", "http://chat.example", "/x"),
        ("HTTPS://CHAT.EXAMPLE:443/x y", "https://chat.example", "/x%20y"),
        ("https://user:pass@chat.example", "https://chat.example", "/"),
        (" /é ", "https://chat.example", "/%C3%A9"),
    ],
)
def test_the_target_of_a_redirect(location: str, origin: str, path: str) -> None:
    for status in (301, 302, 303, 307, 308):
        further = redirected(outgoing(BASE, Request("GET", "/list"), None), status, location)
        assert further is not None
        assert (further.address.origin, further.path, further.method) == (origin, path, "GET")


def test_credentials_go_to_the_same_origin_only() -> None:
    request = outgoing(BASE, Request("GET", "/list", headers=SECRET), None)
    for location, kept in (("/x", True), ("https://chat.example/x", True), ("https://chat.example:8443/x", False),
                           ("http://chat.example/x", False), ("https://other.example/x", False)):  # fmt: skip
        further = redirected(request, 302, location)
        assert further is not None
        assert ("Authorization" in further.headers) is kept, location
        assert further.headers["Accept"] == "application/json"


def test_a_post_follows_only_redirects_that_repeat_it_unchanged() -> None:
    request = outgoing(BASE, Request("POST", "/send", b"hello"), None)
    for status in (300, 301, 302, 303, 304, 305, 306):
        assert redirected(request, status, "/x") is None
    for status in (307, 308):
        further = redirected(request, status, "/x")
        assert further is not None
        assert (further.method, further.body) == ("POST", b"hello")


@pytest.mark.parametrize("location", ["javascript:alert(1)", "http://", "http://a:99999/", "http://[x/", "ftp://a/b"])
def test_a_location_that_cannot_be_followed(location: str) -> None:
    with pytest.raises(Unfollowable):
        redirected(outgoing(BASE, Request("GET", "/list"), None), 302, location)


@given(st.text(max_size=40))
def test_any_location_can_be_followed_or_is_unfollowable(location: str) -> None:
    try:
        further = redirected(outgoing(BASE, Request("GET", "/list"), None), 302, location)
    except Unfollowable:
        return
    assert further is not None
    assert further.wire().startswith(b"GET /")
