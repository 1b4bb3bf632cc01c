"""Serves `/metrics` over HTTP, on a separate port and on Locust's web page if there is one."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from gevent import socket
from gevent.pywsgi import WSGIServer
from locust.web import WebUI

from chatswarm.loadtests.net.address import join_host_port

from .prometheus import CONTENT_TYPE

PATH = "/metrics"
logger = logging.getLogger(__name__)


class Scrapes:
    """Responds with what `exposition` returns, until this process ends. Raises OSError if the port is taken."""

    def __init__(self, host: str, port: int, exposition: Callable[[], bytes]) -> None:
        """`port` 0 takes a free one, which `url` then has."""
        self._exposition = exposition
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(16)
        except OSError:
            listener.close()
            raise
        self.url = f"http://{join_host_port(host, listener.getsockname()[1])}{PATH}"
        self._server = WSGIServer(listener, self._respond, log=None, error_log=logger)
        self._server.start()

    def _respond(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        status, kind, body = "200 OK", CONTENT_TYPE, b""
        if environment["PATH_INFO"] != PATH:
            status, kind, body = "404 Not Found", "text/plain", f"expected {PATH}\n".encode()
        elif environment["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "text/plain", b"expected GET\n"
        else:
            body = self._exposition()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body] if environment["REQUEST_METHOD"] != "HEAD" else []


def join_page(page: WebUI, exposition: Callable[[], bytes]) -> None:
    """Adds `/metrics` to Locust's web page, behind its login if it has one."""

    def respond() -> tuple[bytes, dict[str, str]]:
        return exposition(), {"Content-Type": CONTENT_TYPE}

    assert page.app is not None, "Locust creates the app with the page"
    page.app.add_url_rule(PATH, "chatswarm_metrics", page.auth_required_if_enabled(respond))
