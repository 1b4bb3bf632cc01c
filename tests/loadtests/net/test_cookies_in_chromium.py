"""The cases of `test_cookies.py` in Chromium itself."""

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import trustme

from .cookie_cases import CASES

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.test. 127.0.0.1",
]


class _CookieServer:
    """Sets the cookies in `sets` once, and keeps the Cookie header of the last page that was asked for."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.sets: tuple[str, ...] = ()
        self.sent = ""
        self._tls = tls
        self._listener = socket.create_server(("0.0.0.0", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (came := connection.recv(65536)):
                        return
                    head += came
                fields = b""
                if not head.startswith(b"GET /favicon.ico "):
                    sent = [line[8:] for line in head.split(b"\r\n") if line.lower().startswith(b"cookie: ")]
                    self.sent = b"".join(sent).decode()
                    fields = b"".join(b"Set-Cookie: " + line.encode() + b"\r\n" for line in self.sets)
                    self.sets = ()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n" + fields + b"\r\n")
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def servers() -> Iterator[dict[str, _CookieServer]]:
    """A server for each scheme."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(tls)
    both = {"http": _CookieServer(None), "https": _CookieServer(tls)}
    try:
        yield both
    finally:
        for server in both.values():
            server.close()


@pytest.mark.skipif(CHROMIUM is None, reason="expected Debian's chromium, got none")
def test_chromium_keeps_and_sends_the_same_cookies() -> None:
    from playwright.sync_api import sync_playwright

    different: list[str] = []

    def compare() -> None:
        with servers() as reached, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            context = browser.new_context(ignore_https_errors=True)
            page = context.new_page()

            def visit(url: str, sets: tuple[str, ...] = ()) -> str:
                parts = urlsplit(url)
                server = reached[parts.scheme]
                server.sets = sets
                address = parts._replace(netloc=f"{parts.hostname}:{server.port}").geturl()
                if urlsplit(page.url)[:2] == urlsplit(address)[:2]:
                    page.evaluate("url => fetch(url).then(response => response.text())", address)  # faster
                else:
                    page.goto(address, wait_until="commit")
                return server.sent

            for case in CASES:
                visit(case.set_by, case.lines)
                if (sent := visit(case.sent_to)) != case.sent:
                    different.append(f"{case.name}: {sent!r}")
                context.clear_cookies()
            browser.close()

    # Playwright keeps an event loop running in its thread, in which no other test could use asyncio.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(compare).result()
    assert different == []
