"""Serves the guide's two pages on their own port, from memory, with the backend's address filled in.

They are plain files from `dashboards/`, read once. The backend's address in them must be reachable for the browser: it
is the host name of the page's own request with the backend's port, unless the settings say otherwise.
"""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from chatswarm.backend.wire.headers import header

_TYPES: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
DOCS: Final = ("docs.css", "docs.html", "docs.js", "shapes.js", "trial.js")

_ADDRESS: Final = b"http://localhost:8000"
"""The placeholder for the backend's address in the files."""

_HOST: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


class _PageFile(NamedTuple):
    kind: str
    content: bytes


class Pages:
    """Serves the pages, for a backend at `backend_url`, or on `port` of the page's host."""

    def __init__(self, port: int, backend_url: str | None) -> None:
        self._port = port
        self._backend_url = backend_url
        self._files: dict[str, _PageFile] = {}
        for each in files("chatswarm.dashboards").iterdir():
            name, _, kind = each.name.rpartition(".")
            # The API documentation is served by the API itself: see api_docs.py.
            if kind in _TYPES and each.name not in DOCS:
                path = each.name if kind != "html" else name.removeprefix("index")
                self._files[f"/{path}"] = _PageFile(kind, each.read_bytes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        backend = self._backend(scope)
        file = self._files.get(scope["path"])
        headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
        if scope["method"] not in ("GET", "HEAD"):
            status, body = 405, b"Only GET\n"
            headers += [(b"allow", b"GET, HEAD"), (b"content-type", b"text/plain; charset=utf-8")]
        elif file is None:
            status, body = 404, b"The pages are /inbox and /widget\n"
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
        else:
            status, body = 200, file.content
            if file.kind == "html":
                body = body.replace(_ADDRESS, backend.encode())
                headers.append((b"content-security-policy", _policy(backend)))
            tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:16].encode()
            headers += [
                (b"content-type", _TYPES[file.kind].encode() + b"; charset=utf-8"),
                (b"cache-control", b"no-cache"),
                (b"etag", tag),
            ]
            if header(scope["headers"], b"if-none-match") == tag:
                status, body = 304, b""
        if status != 304:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _backend(self, scope: Scope) -> str:
        """The backend's address for the requesting browser."""
        if self._backend_url is not None:
            return self._backend_url
        host = _HOST.fullmatch((header(scope["headers"], b"host") or b"").decode("latin-1"))
        return f"http://{host[1] if host else 'localhost'}:{self._port}"


def with_pages(app: ASGIApp, pages: Pages, ports: frozenset[int]) -> ASGIApp:
    """The app, with the pages on these ports; the app itself if there are none."""
    if not ports:
        return app

    async def by_port(scope: Scope, receive: Receive, send: Send) -> None:
        server = scope.get("server")
        endpoint: ASGIApp = pages if server is not None and server[1] in ports else app
        await endpoint(scope, receive, send)

    return by_port


def _policy(backend: str) -> bytes:
    """Scripts and styles from this origin only, connections to the backend only, and no text that is parsed as HTML."""
    socket = backend.replace("http", "ws", 1)
    # A policy cannot contain IPv6 addresses.
    allowed = f"{backend} {socket}" if "[" not in backend else "http: ws:"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src {allowed}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ).encode()
