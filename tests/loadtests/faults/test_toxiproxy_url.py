"""The URL of Toxiproxy's API: the same forms as for a target."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.toxiproxy import Toxiproxy
from tests.loadtests.names import names

from .misbehaving import Connection, server


def api(asked: list[str], listen: str = "127.0.0.1:5000") -> Callable[[Connection], None]:
    """A Toxiproxy that creates every proxy at `listen`, and records its requests."""

    def serve(connection: Connection) -> None:
        head = connection.head()
        length = next(int(line.partition(":")[2]) for line in head.split("\r\n") if line.startswith("Content-Length"))
        while len(connection.seen) < length:
            connection.seen += connection.sock.recv(1 << 16)
        asked.append(f"{head.splitlines()[0]} {connection.seen.decode()}".rstrip())
        answer = json.dumps({"version": "2.12.0", "listen": listen}).encode()
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(answer), answer)
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)

    return serve


def test_the_urls_path_prefixes_all_requests() -> None:
    asked: list[str] = []
    with server(api(asked)) as proxy:
        toxiproxy = Toxiproxy(f"{proxy.url}/team/a/")
        assert toxiproxy.create("sockets/1", "h:1") == ("127.0.0.1", 5000)
        toxiproxy.remove("sockets/1", "slow")
        assert toxiproxy.proxy_url("sockets/1").endswith("/team/a/proxies/sockets%2F1")
    assert [line.split(" HTTP")[0] for line in asked] == [
        "GET /team/a/version",
        "POST /team/a/proxies",
        "DELETE /team/a/proxies/sockets%2F1/toxics/slow",
    ]


@pytest.mark.parametrize(
    ("url", "asked_at"),
    [
        ("http://127.0.0.1", ("127.0.0.1", 8474)),
        ("http://127.0.0.1/a", ("127.0.0.1", 8474)),
        ("http://127.0.0.1:80", ("127.0.0.1", 80)),
        ("https://127.0.0.1", ("127.0.0.1", 443)),
        ("HTTP://[::1]", ("::1", 8474)),
    ],
)
def test_the_default_port(monkeypatch: pytest.MonkeyPatch, url: str, asked_at: tuple[str, int]) -> None:
    seen: list[tuple[str, int]] = []

    def refused(_: object, address: tuple[str, int]) -> None:
        seen.append(address[:2])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refused)
    with pytest.raises(FaultError, match="expected Toxiproxy's API, got connection refused"):
        Toxiproxy(url)
    assert seen == [asked_at]


def test_https_is_verified_with_the_systems_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with server(api([]), context) as proxy:
        with pytest.raises(FaultError, match="certificate not trusted"):
            Toxiproxy(proxy.url)
        with authority.cert_pem.tempfile() as pem:
            monkeypatch.setenv("SSL_CERT_FILE", pem)
            assert Toxiproxy(proxy.url).version == "2.12.0"


def test_of_several_addresses_always_the_same_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be a different Toxiproxy."""
    asked: list[str] = []
    with server(api(asked)) as proxy:
        port = proxy.listener.getsockname()[1]
        other: list[str] = []
        with server(api(other), listener=socket.create_server(("127.0.0.2", port))):
            names(monkeypatch, {"toxi.test": ["127.0.0.3", "127.0.0.1", "127.0.0.2"]})
            toxiproxy = Toxiproxy(f"http://toxi.test:{port}")
            assert toxiproxy.create("a", "h:1")[0] == "127.0.0.1"
            for _ in range(3):
                toxiproxy.remove("a", "slow")
            assert toxiproxy.proxy_url("a") == f"http://127.0.0.1:{port}/proxies/a"
    assert (len(asked), len(other)) == (5, 0)


def test_proxies_are_at_the_address_where_the_api_was_reached() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    asked: list[str] = []
    with server(api(asked, "[::1]:5000"), listener=listener):
        toxiproxy = Toxiproxy(f"http://[::1]:{listener.getsockname()[1]}")
        assert toxiproxy.create("a", "h:1") == ("::1", 5000)
    assert '"listen": "[::1]:0"' in asked[1]


def test_its_error_is_reported_in_one_line() -> None:
    def serve(connection: Connection) -> None:
        connection.head()
        connection.sock.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n\x1b[2J\nno\r\n")

    with server(serve) as proxy, pytest.raises(FaultError, match=r"got 500: \\x1b\[2J\\nno\\r\\n$"):
        Toxiproxy(proxy.url)
