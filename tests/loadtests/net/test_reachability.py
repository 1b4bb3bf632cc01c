from __future__ import annotations

import errno
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from chatswarm.loadtests.net.reachability import http_problem
from tests.loadtests.faults.misbehaving import Connection, server
from tests.loadtests.names import names

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def saying(answer: bytes) -> Callable[[Connection], None]:
    def serve(connection: Connection) -> None:
        connection.head()
        connection.sock.sendall(answer)

    return serve


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.0 503 No\r\n\r\nuntil the end",
        b"HTTP/1.1 404\r\n\r\n",
        b"HTTP/1.1 200 OK\nServer: old\n\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 500 + b"\r\n",
    ],
)
def test_any_http_answer_will_do(answer: bytes) -> None:
    with server(saying(answer)) as chat:
        assert http_problem(chat.url) is None


def test_an_answer_without_an_end_is_one() -> None:
    def endless(connection: Connection) -> None:
        connection.head()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        connection.read_on()

    with server(endless) as chat:
        assert http_problem(chat.url, 30.0) is None


def test_a_byte_now_and_then_is_no_answer() -> None:
    def drips(connection: Connection) -> None:
        connection.head()
        while True:
            connection.sock.sendall(b"\r\n")
            time.sleep(0.05)

    with server(drips) as chat:
        assert http_problem(chat.url, 0.3) == f"expected an HTTP answer from {chat.url}, got no answer: timed out"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "the connection ended without a response"),
        (b"HTTP/1.1 200 OK\r\nServer", "in the middle of the response"),
        (b"SSH-2.0-OpenSSH\x1b[2J\r\n", "no HTTP: 'SSH-2.0-OpenSSH\\x1b[2J\\r\\n'"),
    ],
)
def test_what_is_no_answer_is_told_in_one_line(said: bytes, told: str) -> None:
    with server(saying(said)) as chat:
        assert http_problem(chat.url) == f"expected an HTTP answer from {chat.url}, got {told}"


def test_it_asks_below_the_path_and_for_the_right_host() -> None:
    heads: list[str] = []

    def serve(connection: Connection) -> None:
        heads.append(connection.head())
        connection.sock.sendall(OK)

    with server(serve) as chat:
        port = chat.listener.getsockname()[1]
        assert http_problem(f"http://LOCALHOST:{port}/team/ä%2Fb/") is None
        assert http_problem("http://chat.example/x?y=1") == (
            "expected a URL such as http://127.0.0.1:8000 or https://chat.example.com/path, "
            "got 'http://chat.example/x?y=1' (it has a query or a fragment)"
        )
        assert http_problem("http://chat.example/x", via=f"127.0.0.1:{port}") is None
    lines = [head.split("\r\n")[:2] for head in heads]
    assert lines == [
        ["GET /team/%C3%A4%2Fb/ HTTP/1.1", f"Host: localhost:{port}"],
        ["GET /x/ HTTP/1.1", "Host: chat.example"],
    ]


@pytest.mark.parametrize("form", ["[::1]:{port}", "::1:{port}"])
def test_a_proxy_may_be_at_an_ipv6_address(form: str) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener, server(saying(OK), listener=listener):
        via = form.format(port=listener.getsockname()[1])
        assert http_problem("http://chat.example", via=via) is None


def test_a_password_is_never_repeated() -> None:
    told = http_problem("http://me:secret@127.0.0.1:1")
    assert told is not None
    assert "secret" not in told


class TestSeveralAddresses:
    """One that answers will do, wherever it stands in the list."""

    def test_an_address_that_refuses_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(saying(OK)) as chat:
            names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
            assert http_problem(f"http://chat.test:{chat.listener.getsockname()[1]}") is None

    def test_an_address_that_says_nothing_leaves_time_for_the_next(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(saying(OK)) as chat:
            port = chat.listener.getsockname()[1]
            with socket.create_server(("127.0.0.3", port)):
                names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
                assert http_problem(f"http://chat.test:{port}", 1.0) is None

    def test_when_none_answers_each_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(saying(b"")) as chat:
            port = chat.listener.getsockname()[1]
            names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
            told = http_problem(f"http://chat.test:{port}")
        assert told == (
            f"expected an HTTP answer from http://chat.test:{port}, got connection refused (127.0.0.3), "
            "the connection ended without a response (127.0.0.1)"
        )


class TestProxies:
    """A variable that names a proxy is told of, and never what it holds."""

    @pytest.mark.parametrize(
        ("scheme", "variable", "told"),
        [
            ("http", "HTTP_PROXY", True),
            ("http", "http_proxy", True),
            ("http", "all_proxy", True),
            ("https", "HTTPS_PROXY", True),
            ("https", "ALL_PROXY", True),
            ("http", "HTTPS_PROXY", False),
            ("https", "HTTP_PROXY", False),
        ],
    )
    def test_a_proxy_that_is_ignored_is_told_of(
        self, monkeypatch: pytest.MonkeyPatch, scheme: str, variable: str, told: bool
    ) -> None:
        monkeypatch.setenv(variable, "http://me:secret@proxy:3128")
        said = str(http_problem(f"{scheme}://127.0.0.1:1"))
        note = f" ({variable} is set, and ignored: chatswarm connects directly)"
        assert said.endswith(note) == told
        assert "secret" not in said

    def test_nothing_is_told_where_there_is_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        with server(saying(OK)) as chat:
            assert http_problem(chat.url) is None

    def test_an_empty_variable_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "")
        assert "PROXY" not in str(http_problem("http://127.0.0.1:1"))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENETUNREACH])
def test_this_machines_own_limits_are_told_as_such(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", fails)
    told = str(http_problem("http://127.0.0.1:1"))
    assert f" ({errno.errorcode[number]}: {os.strerror(number).lower()}), which is a limit of this machine: " in told


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and a folder of authorities as `update-ca-certificates` makes it."""
    ca = trustme.CA()
    pem = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(pem))
    done = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(pem)], capture_output=True, text=True, check=True
    )
    pem.with_name(f"{done.stdout.strip()}.0").hardlink_to(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    return context, tmp_path


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_it_trusts_what_the_system_trusts(authority: tuple[ssl.SSLContext, Path], variable: str) -> None:
    context, folder = authority
    held = str(folder if variable == "SSL_CERT_DIR" else folder / "ca.pem")
    others = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    code = "import sys; from chatswarm.loadtests.net.reachability import http_problem; print(http_problem(sys.argv[1]))"
    with server(saying(OK), context) as chat:
        done = subprocess.run(
            [sys.executable, "-c", code, chat.url],
            env={**others, variable: held},
            capture_output=True,
            text=True,
            check=True,
        )
        told = http_problem(chat.url)
    assert done.stdout == "None\n"
    assert told is not None
    assert "certificate not trusted" in told
    assert "SSL_CERT_FILE, or SSL_CERT_DIR" in told
