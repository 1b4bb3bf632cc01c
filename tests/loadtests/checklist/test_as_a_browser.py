"""`check` accepts what a browser accepts, and does not call broken what only it cannot read."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable

import pytest

from chatswarm.loadtests.checklist import CheckReport, run_checklist
from chatswarm.loadtests.checklist.diagnosis import HERE
from chatswarm.loadtests.checklist.http import excerpt
from chatswarm.loadtests.checklist.symptoms import Failure, StepName
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.system.exit_code import ExitCode
from tests.loadtests.faults.misbehaving import Connection, server
from tests.loadtests.names import names

from .broken_chat import Defects, broken_chat


def seen_of(report: CheckReport, step: StepName) -> str:
    return next(one.seen for one in report.steps if one.name is step)


@pytest.mark.parametrize("framing", ["length", "chunked", "until close", "HTTP/1.0"])
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "br", "gzip, br"])
def test_every_framing_and_encoding_is_read(framing: str, encoding: str) -> None:
    with broken_chat(Defects(framing=framing, encoding=encoding)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.ok, report.problem


def test_early_hints_are_not_the_response() -> None:
    with broken_chat(Defects(early_hints=True)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.ok, report.problem


def test_page_at_the_root_does_not_matter() -> None:
    """It may be endless, or in an encoding that only browsers can read."""
    with broken_chat(Defects(root="zstd without an end")) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.ok, report.problem


def test_a_path_prefix() -> None:
    with broken_chat(Defects(prefix="/team%2Fa")) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.ok, report.problem
    assert all(path.startswith("/team%2Fa/") for _, path, _ in chat.asked)


@pytest.mark.parametrize("status", [307, 308])
def test_redirects_are_followed_and_reported(status: int) -> None:
    with broken_chat(Defects(moved=status)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.ok, report.problem
    redirected = f", redirected by {status} to /moved/api/"
    for step in (StepName.LIST, StepName.CHAT, StepName.SENT):
        assert redirected in seen_of(report, step)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirects_of_reads_are_followed_and_those_of_writes_are_not(status: int) -> None:
    with broken_chat(Defects(moved=status)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert f"redirected by {status} to /moved/api/" in seen_of(report, StepName.LIST)
    assert report.problem is not None
    assert f"POST /api/users/data returned HTTP {status}: redirect to /moved" in report.problem.seen
    assert not [path for _, path, _ in chat.asked if path == "/moved/api/users/data"]


def test_token_goes_to_no_other_origin() -> None:
    with broken_chat() as other:
        with broken_chat(Defects(moved=307, token="right", moved_to=other.url)) as chat:
            run_checklist(Reference("right"), chat.url)
        assert other.asked
        assert not [headers for _, _, headers in other.asked if "Authorization" in headers]
    with broken_chat(Defects(moved=307, token="right")) as chat:
        assert run_checklist(Reference("right"), chat.url).ok


@pytest.mark.parametrize("location", ["", "//", "mailto:a@b.example", "http://me:secret@127.0.0.1:1/", "http://[::1"])
def test_a_redirect_that_cannot_be_followed_crashes_nothing(location: str) -> None:
    with broken_chat(Defects(moved=307, moved_to=location)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.problem is not None
    assert "secret" not in str(report)


def raw(response: bytes) -> Callable[[Connection], None]:
    """Sends these bytes as the response to every request."""

    def serve(connection: Connection) -> None:
        while connection.head():
            connection.sock.sendall(response)

    return serve


def listing(response: bytes) -> Callable[[Connection], None]:
    """Serves a dashboard up to its subscription, and these bytes as the list."""

    def serve(connection: Connection) -> None:
        while head := connection.head():
            if "websocket" in head.lower():
                connection.dashboard(head)
                connection.read_on()
            elif "users-chats" in head:
                connection.sock.sendall(response)
            else:
                connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return serve


def body(data: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(data), more, data)


@pytest.mark.parametrize(
    ("response", "seen"),
    [
        (body(b"(\xb5/\xfd", b"Content-Encoding: zstd\r\n"), "got zstd"),
        (body(b"no gzip", b"Content-Encoding: gzip\r\n"), "expected content in gzip, got malformed data"),
        (b"HTTP/1.1 302 No\r\nLocation: /api/debug/users-chats\r\nContent-Length: 0\r\n\r\n", "more than 5 redirects"),
        (body(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "users": []}'), "got b'{"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "more than 32 MiB"),
    ],
)  # fmt: skip
def test_what_only_check_cannot_read_is_not_a_failure_of_the_chat(response: bytes, seen: str) -> None:
    with server(listing(response)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.problem is not None
    assert report.problem.title == HERE[Failure.NOT_READ_HERE]
    assert seen in report.problem.seen
    assert "a browser may" in report.problem.seen
    assert [step.ok for step in report.steps] == [True] * 3 + [False] + [None] * 5
    assert report.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 -1 No\r\n\r\n",
        b"HTTP/1.1 99999 No\r\n\r\n",
        b"HTTP/1.1 200 \xff\xfe\x1b[2J\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 403 No\r\n\r\nwithout an end",
        b"HTTP/1.0 403\n\n",
        b"HTTP/1.1 302 No\r\nLocation: /a\r\nLocation: /b\r\n\r\n",
        b"HTTP/1.1 302 No\r\nLocation: \x1b]0;\xe2\x80\xae\x07\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \x00\r\n\r\n",
        b"HTTP/1.1 429 No\r\nRetry-After: \x1b[2J\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        b"HTTP/1.1 401 No\r\nContent-Encoding: zstd\r\nContent-Length: 1\r\n\r\nx",
    ],
)
def test_no_response_crashes_it(response: bytes) -> None:
    with server(raw(response)) as chat:
        report = run_checklist(Reference(), chat.url, update_target=0.2)
    assert report.problem is not None
    said = "".join([report.problem.seen, *report.problem.causes, *report.problem.remedies])
    assert said.isprintable()
    assert all(step.seen.isprintable() for step in report.steps)
    assert report.json()


def test_a_refusal_with_an_endless_body_is_reported_by_its_status() -> None:
    def serve(connection: Connection) -> None:
        if "websocket" not in connection.head().lower():
            connection.sock.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        connection.sock.sendall(b"HTTP/1.0 403 Forbidden\r\n\r\nno")
        connection.read_on()

    with server(serve) as chat:
        report = run_checklist(Reference(), chat.url)
    assert seen_of(report, StepName.CONNECTED) == "HTTP 403"


def test_frames_above_one_mebibyte_are_read() -> None:
    def serve(connection: Connection) -> None:
        head = connection.head()
        if "websocket" not in head.lower():
            connection.sock.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        connection.upgrade(head)
        greeting = b'{"type": "connected", "message": "%b"}' % (b"x" * (2 << 20))
        connection.sock.sendall(b"\x81\x7f" + len(greeting).to_bytes(8) + greeting)
        connection.read_on()

    with server(serve) as chat:
        report = run_checklist(Reference(), chat.url, update_target=0.2)
    assert [step.ok for step in report.steps][:2] == [True, True]


@pytest.mark.parametrize(
    "chat_id", ["a/b?c#d", "a%2Fb", "ä b", "a\nb\r\nX-Evil: 1", "\x1b[2J", "\u202egnihton", "..", "😀"]
)
def test_any_chat_id_is_usable_and_printable(chat_id: str) -> None:
    with broken_chat(Defects(chat_id=chat_id)) as chat:
        report = run_checklist(Reference(), chat.url)
    assert seen_of(report, StepName.CHAT).isprintable()
    assert not [headers for _, _, headers in chat.asked if "X-Evil" in headers]


def test_a_line_break_in_an_id_is_escaped() -> None:
    with broken_chat(Defects(chat_id="a\nb")) as chat:
        report = run_checklist(Reference(), chat.url)
    assert seen_of(report, StepName.CHAT) == "chat a\\nb"


def test_an_excerpt_escapes_cursor_and_bidirectional_controls() -> None:
    assert excerpt("a\x1b[2J\u202eb\udc80\n  c") == "a\\x1b[2J\\u202eb\\x80 c"


class TestTokens:
    """A chat that requires a token."""

    def test_the_right_token_is_sent_with_the_handshake(self) -> None:
        with broken_chat(Defects(token="right")) as chat:
            report = run_checklist(Reference("right"), chat.url)
        assert report.ok, report.problem

    @pytest.mark.parametrize(("token", "cause"), [("wrong", "is not one that"), (None, "holds none")])
    def test_a_wrong_or_missing_token_is_named_as_the_cause(self, token: str | None, cause: str) -> None:
        with broken_chat(Defects(token="right")) as chat:
            report = run_checklist(Reference(token), chat.url)
        assert report.problem is not None
        assert seen_of(report, StepName.CONNECTED) == "HTTP 401"
        assert "CHATSWARM_TOKEN" in report.problem.causes[0]
        assert cause in report.problem.causes[0]
        assert "wrong" not in str(report.problem)


class TestOrigins:
    """A chat that accepts only listed origins."""

    def test_a_given_origin_is_sent_with_every_request(self) -> None:
        with broken_chat(Defects(origins=("https://shop.example",))) as chat:
            report = run_checklist(Reference(), chat.url, origin="https://SHOP.example:443/")
        assert report.ok, report.problem
        assert {headers.get("Origin") for _, _, headers in chat.asked} == {"https://shop.example"}

    def test_no_origin_is_sent_by_default(self) -> None:
        with broken_chat() as chat:
            run_checklist(Reference(), chat.url)
        assert {headers.get("Origin") for _, _, headers in chat.asked} == {None}

    @pytest.mark.parametrize("origin", [None, "https://evil.example"])
    def test_the_chats_own_origin_is_suggested_if_it_is_accepted(self, origin: str | None) -> None:
        defects = Defects(prefix="/chat")
        with broken_chat(defects) as chat:
            own = f"http://127.0.0.1:{chat.port}"
            defects.origins = (own,)
            report = run_checklist(Reference(), chat.url, origin=origin)
        assert report.problem is not None
        assert seen_of(report, StepName.CONNECTED) == "HTTP 403"
        assert report.problem.causes == [f"the chat accepts only listed origins: pass --origin {own}"]
        assert report.exit_code == ExitCode.FAIL

    def test_no_origin_is_suggested_if_none_is_accepted(self) -> None:
        with broken_chat(Defects(origins=("https://shop.example",))) as chat:
            report = run_checklist(Reference(), chat.url)
            assert len([path for _, path, _ in chat.asked if path == "/ws/dashboard"]) == 2
        assert report.problem is not None
        assert "origin is not allowed (none was sent)" in report.problem.causes[0]
        assert "listed origins" not in str(report.problem)

    @pytest.mark.parametrize(
        "origin", ["", "shop.example", "https://shop.example/path", "https://a@b", "x://a b", "a\r\nb"]
    )
    def test_an_invalid_origin_is_refused(self, origin: str) -> None:
        with pytest.raises(ValueError, match=r"expected an origin such as https://shop\.example\.com, got "):
            run_checklist(Reference(), "http://127.0.0.1:1", origin=origin)


@pytest.mark.parametrize("defects", [Defects(handshake=429), Defects(list_status=429), Defects(send_status=429)])
def test_rate_limiting_is_reported_with_its_retry_after(defects: Defects) -> None:
    defects.retry_after = "17"
    with broken_chat(defects) as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.problem is not None
    assert "HTTP 429 (Retry-After: 17)" in report.problem.seen
    assert report.problem.causes[0].startswith("rate limiting")
    assert report.problem.remedies[0].startswith("wait 17 s")


class TestSeveralAddresses:
    """One name with several backends behind it."""

    def test_addresses_take_turns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
        with broken_chat(Defects(framing="until close"), None, "127.0.0.2") as chat:
            report = run_checklist(Reference(), f"http://chat.test:{chat.port}")
        assert report.ok, report.problem
        assert {address for address, _, _ in chat.asked} == {"127.0.0.1", "127.0.0.2"}
        assert report.notes[0].startswith(
            "chat.test has several addresses: the dashboard's WebSocket to 127.0.0.2, its HTTP"
        )

    @pytest.mark.parametrize("framing", ["length", "until close"])
    def test_the_message_is_sent_to_another_address_than_the_dashboards(
        self, monkeypatch: pytest.MonkeyPatch, framing: str
    ) -> None:
        names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
        with broken_chat(Defects(framing=framing), None, "127.0.0.2") as chat:
            run_checklist(Reference(), f"http://chat.test:{chat.port}")
        sockets = {address for address, path, _ in chat.asked if path == "/ws/dashboard"}
        sends = {address for address, path, _ in chat.asked if path.endswith("/send")}
        assert (sockets, sends) == ({"127.0.0.2"}, {"127.0.0.1"})

    def test_an_address_that_refuses_is_skipped_and_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
        with broken_chat() as chat:
            report = run_checklist(Reference(), f"http://chat.test:{chat.port}")
        assert report.ok, report.problem
        assert report.notes == ["127.0.0.3 of chat.test was skipped: connection refused"]

    def test_an_address_that_behaves_differently_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
        with broken_chat() as chat, socket.create_server(("127.0.0.2", chat.port)):
            report = run_checklist(Reference(), f"http://chat.test:{chat.port}")
        assert not report.ok
        assert seen_of(report, StepName.CONNECTED) == "no answer"
        assert "the dashboard's WebSocket to 127.0.0.2" in report.notes[0]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENETUNREACH])
def test_rig_limits_are_not_failures_of_the_chat(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", fails)
    report = run_checklist(Reference(), "http://127.0.0.1:1")
    assert report.problem is not None
    assert report.problem.here
    assert errno.errorcode[number] in report.problem.seen
    assert report.exit_code == ExitCode.USAGE


def test_running_out_of_threads_is_not_a_failure_of_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    real = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if self.name == "send":
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    with broken_chat() as chat:
        report = run_checklist(Reference(), chat.url)
    assert report.problem is not None
    assert report.problem.title == HERE[Failure.HERE]
    assert [step.ok for step in report.steps] == [True] * 5 + [False] + [None] * 3


def test_an_ignored_proxy_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@proxy:3128")
    report = run_checklist(Reference(), "http://127.0.0.1:1")
    assert report.problem is not None
    assert "(HTTP_PROXY is set, and ignored: chatswarm connects directly)." in report.problem.seen
    assert "secret" not in str(report)
