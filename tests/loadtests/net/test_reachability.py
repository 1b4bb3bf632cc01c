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


def responding(response: bytes) -> Callable[[Connection], None]:
    def serve(connection: Connection) -> None:
        connection.head()
        connection.sock.sendall(response)

    return serve


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    "response",
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
def test_any_http_response_is_enough(response: bytes) -> None:
    with server(responding(response)) as chat:
        assert http_problem(chat.url) is None


def test_an_endless_response_is_enough() -> None:
    def endless(connection: Connection) -> None:
        connection.head()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        connection.read_on()

    with server(endless) as chat:
        assert http_problem(chat.url, 30.0) is None


def test_a_trickle_of_bytes_is_not_a_response() -> None:
    def drips(connection: Connection) -> None:
        connection.head()
        while True:
            connection.sock.sendall(b"\r\n")
            time.sleep(0.05)

    with server(drips) as chat:
        assert http_problem(chat.url, 0.3) == f"expected an HTTP answer from {chat.url}, got no answer: timed out"


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (b"", "the connection ended without a response"),
        (b"HTTP/1.1 200 OK\r\nServer", "in the middle of the response"),
        (b"SSH-2.0-OpenSSH\x1b[2J\r\n", "no HTTP: 'SSH-2.0-OpenSSH\\x1b[2J\\r\\n'"),
    ],
)
def test_any_other_response_is_reported_on_one_line(response: bytes, problem: str) -> None:
    with server(responding(response)) as chat:
        assert http_problem(chat.url) == f"expected an HTTP answer from {chat.url}, got {problem}"


def test_the_request_has_the_targets_path_and_host() -> None:
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
    with listener, server(responding(OK), listener=listener):
        via = form.format(port=listener.getsockname()[1])
        assert http_problem("http://chat.example", via=via) is None


def test_a_password_is_not_repeated() -> None:
    problem = http_problem("http://me:secret@127.0.0.1:1")
    assert problem is not None
    assert "secret" not in problem


class TestSeveralAddresses:
    """One address that responds is enough, wherever it is in the list."""

    def test_an_address_that_refuses_is_skipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(responding(OK)) as chat:
            names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
            assert http_problem(f"http://chat.test:{chat.listener.getsockname()[1]}") is None

    def test_a_silent_address_leaves_time_for_the_next(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(responding(OK)) as chat:
            port = chat.listener.getsockname()[1]
            with socket.create_server(("127.0.0.3", port)):
                names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
                assert http_problem(f"http://chat.test:{port}", 1.0) is None

    def test_if_none_responds_each_failure_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(responding(b"")) as chat:
            port = chat.listener.getsockname()[1]
            names(monkeypatch, {"chat.test": ["127.0.0.3", "127.0.0.1"]})
            problem = http_problem(f"http://chat.test:{port}")
        assert problem == (
            f"expected an HTTP answer from http://chat.test:{port}, got connection refused (127.0.0.3), "
            "the connection ended without a response (127.0.0.1)"
        )


class TestProxies:
    """A variable that sets a proxy is named, but its value is not repeated."""

    @pytest.mark.parametrize(
        ("scheme", "variable", "named"),
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
    def test_an_ignored_proxy_is_reported(
        self, monkeypatch: pytest.MonkeyPatch, scheme: str, variable: str, named: bool
    ) -> None:
        monkeypatch.setenv(variable, "http://me:secret@proxy:3128")
        problem = str(http_problem(f"{scheme}://127.0.0.1:1"))
        note = f" ({variable} is set, and ignored: chatswarm connects directly)"
        assert problem.endswith(note) == named
        assert "secret" not in problem

    def test_an_ignored_proxy_is_not_reported_if_there_is_a_response(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        with server(responding(OK)) as chat:
            assert http_problem(chat.url) is None

    def test_an_empty_variable_is_not_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "")
        assert "PROXY" not in str(http_problem("http://127.0.0.1:1"))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENETUNREACH])
def test_rig_limits_are_reported_as_limits_of_this_machine(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", fails)
    problem = str(http_problem("http://127.0.0.1:1"))
    assert f" ({errno.errorcode[number]}: {os.strerror(number).lower()}), which is a limit of this machine: " in problem


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and a folder of authorities like that of `update-ca-certificates`."""
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
def test_the_systems_authorities_are_trusted(authority: tuple[ssl.SSLContext, Path], variable: str) -> None:
    context, folder = authority
    held = str(folder if variable == "SSL_CERT_DIR" else folder / "ca.pem")
    others = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    code = "import sys; from chatswarm.loadtests.net.reachability import http_problem; print(http_problem(sys.argv[1]))"
    with server(responding(OK), context) as chat:
        done = subprocess.run(
            [sys.executable, "-c", code, chat.url],
            env={**others, variable: held},
            capture_output=True,
            text=True,
            check=True,
        )
        problem = http_problem(chat.url)
    assert done.stdout == "None\n"
    assert problem is not None
    assert "certificate not trusted" in problem
    assert "SSL_CERT_FILE, or SSL_CERT_DIR" in problem
