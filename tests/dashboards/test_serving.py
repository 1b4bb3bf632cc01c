"""How the pages are served, without a browser."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chatswarm.backend import listeners
from chatswarm.backend.pages import DOCS
from chatswarm.backend.settings import Settings, SettingsError, read_settings
from chatswarm.loadtests.system.children import free_port
from tests.backend.servers import COMMAND, PATIENCE, clean_environment

from .sites import Site, site_at

PAGES = Path(__file__).parents[2] / "dashboards"


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        yield client


@pytest.mark.parametrize("path", ["/inbox", "/widget", "/"])
def test_a_page_knows_the_backend_and_has_a_strict_policy(quiet: Site, browser: httpx.Client, path: str) -> None:
    answer = browser.get(quiet.pages + path)
    assert answer.status_code == 200
    address = f"http://localhost:{quiet.backend.port}"
    assert address in answer.text
    assert "http://localhost:8000" not in answer.text
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"{address} {address.replace('http', 'ws')}"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert browser.get(quiet.pages + path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "path",
    sorted(each.name for each in PAGES.iterdir() if each.suffix in (".js", ".css", ".svg") and each.name not in DOCS),
)
def test_every_file_has_its_content_type(quiet: Site, browser: httpx.Client, path: str) -> None:
    answer = browser.get(f"{quiet.pages}/{path}")
    assert answer.content == (PAGES / path).read_bytes()
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[path.rpartition(".")[2]]
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.html")), ids=lambda page: page.name)
def test_pages_have_no_inline_script_or_style(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for wrong in ("<style", " style=", " on", "javascript:", "<script>"):
        assert wrong not in text.replace(" one", "").replace(" only", "")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/__init__.py", 404),
        ("/../README.md", 404),
        ("/api/debug/users-chats", 404),
        ("/docs", 404),
        ("/docs.js", 404),
        ("//inbox", 404),
    ],
)
def test_other_paths_are_not_found(quiet: Site, path: str, status: int) -> None:
    port = int(quiet.pages.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_pages_are_read_only(quiet: Site, browser: httpx.Client) -> None:
    assert browser.post(f"{quiet.pages}/inbox").status_code == 405
    head = browser.head(f"{quiet.pages}/inbox")
    assert (head.status_code, head.content) == (200, b"")
    assert quiet.backend.http.get("/inbox").status_code == 404


@pytest.mark.parametrize(
    ("host", "shown"),
    [("chat.example:3000", "chat.example"), ("[::1]:3000", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("a;b", "localhost")],
)
def test_the_backend_is_on_the_pages_host(quiet: Site, browser: httpx.Client, host: str, shown: str) -> None:
    answer = browser.get(f"{quiet.pages}/inbox", headers={"Host": host})
    assert f'content="http://{shown}:{quiet.backend.port}"' in answer.text
    assert ";b" not in answer.headers["content-security-policy"]


def test_the_backends_address_can_be_set(tmp_path: Path, browser: httpx.Client) -> None:
    with site_at(tmp_path, "--backend-url", "https://chat.example") as site:
        answer = browser.get(f"{site.pages}/inbox")
    assert 'content="https://chat.example"' in answer.text
    assert "connect-src https://chat.example wss://chat.example;" in answer.headers["content-security-policy"]


def test_several_workers_serve_them_beside_tokens_and_origins(tmp_path: Path, browser: httpx.Client) -> None:
    (tmp_path / "tokens").write_text("secret\n")
    flags = ("--workers", "2", "--dashboard-token-file", str(tmp_path / "tokens"), "--origins", "https://a.example")
    with site_at(tmp_path, *flags) as site:
        for _ in range(10):
            assert browser.get(f"{site.pages}/inbox", headers={"Connection": "close"}).status_code == 200
        assert f"{site.pages.replace('localhost', '127.0.0.1')}/inbox" in site.backend.errors
        assert site.backend.stop() == 0


def test_an_explicit_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [*COMMAND, "--port", "0", "--pages-port", str(port), "--database", f"sqlite:///{tmp_path}/a.db"],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=clean_environment(),
        )
    assert ended.returncode == 2
    expected = (
        f"--pages-port: expected a port that is free to listen on, got 127.0.0.1:{port}: Address already in use\n"
    )
    assert ended.stderr == expected


def test_without_the_default_port_the_pages_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(listeners, "PAGES_PORT", port)
        bound = listeners.bind(Settings(port=0))
        bound.close()
    assert bound.pages == []
    assert bound.note is not None
    assert bound.note.startswith(f"--pages-port: expected a port that is free to listen on, got 127.0.0.1:{port}: ")
    assert "the pages are left out" in bound.note


def test_two_taken_ports_are_reported_together() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        settings = Settings(port=one.getsockname()[1], pages_port=two.getsockname()[1])
        with pytest.raises(SettingsError) as caught:
            listeners.bind(settings)
    assert [problem.where for problem in caught.value.problems] == ["--host, --port", "--pages-port"]


def test_no_pages_and_no_port() -> None:
    bound = listeners.bind(Settings(port=0, pages_port=None))
    bound.close()
    assert (bound.pages, bound.note) == ([], None)


def test_the_flags() -> None:
    assert read_settings([], {}).pages_port == "auto"
    assert read_settings(["--pages-port", "off"], {}).pages_port is None
    assert read_settings([], {"CHATSWARM_PAGES_PORT": "3001"}).pages_port == 3001
    for wrong in (
        ["--pages-port", "x"],
        ["--pages-port", "65536"],
        ["--backend-url", "chat"],
        ["--backend-url", "http://a/b"],
    ):
        with pytest.raises(SettingsError) as caught:
            read_settings(wrong, {})
        assert str(caught.value).startswith(f"{wrong[0]}: expected 'auto'")


def test_one_port_for_both_is_refused() -> None:
    port = free_port()
    with pytest.raises(SettingsError):
        listeners.bind(Settings(port=port, pages_port=port))
