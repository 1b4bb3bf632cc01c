"""Running the app: uvicorn, with an end that comes in time whatever the dashboards do.

On SIGTERM, SIGINT or SIGHUP: stop listening ─► let HTTP requests finish, and their commits and frames ─► dashboards get
1012 ─► what does not close is aborted ─► the store is closed ─► exit code 0, all within the grace time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from dataclasses import replace
from types import FrameType
from typing import Any, cast

from uvicorn.config import LOGGING_CONFIG, Config
from uvicorn.server import Server

from chatswarm.backend.chat.service import ChatService
from chatswarm.backend.fanout.sockets import DashboardProtocol, Sockets
from chatswarm.backend.http.auth_middleware import gated
from chatswarm.backend.http.capacity import share
from chatswarm.backend.http.connections import KEEP_ALIVE, HttpConnections
from chatswarm.backend.workers.supervisor import WorkerPlace

from .app import create_app
from .listeners import bind
from .pages import Pages, paged
from .settings import Settings

_log = logging.getLogger("uvicorn.error")


def serve(settings: Settings, place: WorkerPlace | None = None) -> int:
    """Run until stopped, alone or as one of several workers; returns the exit code.

    Raises SettingsError if the address cannot be listened on.
    """
    listeners = place.listeners if place else bind(settings)
    # The writer's thread must not wait 5 ms for the interpreter after each sync while the loop is busy.
    sys.setswitchinterval(0.001)
    files = _raise_file_limit()
    room = share(files, settings.max_connections, settings.max_http_connections)
    wanted, settings = settings.max_connections, replace(settings, max_connections=room.dashboards)
    sockets = Sockets(settings.buffer_limit, settings.unsent_limit, settings.idle_timeout)
    app = create_app(settings, sockets, place)
    metrics = app.state.service.metrics
    http = HttpConnections(room, sockets, settings.request_timeout, metrics)
    pages = Pages(listeners.api[0].getsockname()[1], settings.backend_url)
    config = Config(
        paged(gated(app, settings.origins, settings.dashboard_tokens, metrics), pages, listeners.pages_ports),
        loop="uvloop",
        http=cast("Any", http.protocol),
        ws=cast("Any", sockets.protocol),
        ws_max_size=settings.max_frame_size,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        # Said, so that uvicorn does not look for WEB_CONCURRENCY, which is meant for somebody else.
        workers=1,
        log_config=_logging(),
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        # A fraction is fine: it goes to asyncio.wait_for.
        timeout_graceful_shutdown=cast("int", settings.grace * 0.4),
    )
    server = ChatServer(config, app.state.service, settings, http)
    if room.dashboards < wanted:
        told = "--max-connections: expected room for %d dashboards, got %d open files, which hold %d"
        _log.warning(told, wanted, files, room.dashboards)
    if place is None and listeners.note is not None:
        _log.warning("%s", listeners.note)
    server.addresses = [_address(each) for each in listeners.api]
    server.pages = [_address(each) for each in listeners.pages]
    # A terminal that closes ends the chat as SIGTERM does; under nohup the signal is ignored, and stays so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, server.handle_exit)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(listeners.all)
    return 0 if server.started else 1


class ChatServer(Server):
    """uvicorn's server with a shutdown of its own."""

    def __init__(self, config: Config, service: ChatService, settings: Settings, http: HttpConnections) -> None:
        super().__init__(config)
        self.addresses: list[str] = []
        self.pages: list[str] = []
        self._asked_to_stop = False
        self._http = http
        self._service = service
        self._settings = settings

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop. uvicorn's own raises the signal again in the end, which would hide that all ended well."""
        # A second SIGTERM or SIGINT means haste. Not so SIGHUP: the kernel and the shell each send one when a terminal
        # closes, and systemd may send one beside SIGTERM.
        if sig != signal.SIGHUP:
            self.force_exit = self._asked_to_stop
            self._asked_to_stop = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say where."""
        await super().startup(sockets)
        for address in self.addresses:
            _log.info("Uvicorn running on %s (Press CTRL+C to quit)", address)
            if self._settings.api_docs:
                _log.info("The API: %s/docs", address)
        for address in self.pages:
            _log.info("The pages: %s/inbox and %s/widget", address, address)
        if self._settings.lifeline_fd is not None:
            os.set_blocking(self._settings.lifeline_fd, False)
            asyncio.get_running_loop().add_reader(self._settings.lifeline_fd, self._feel_lifeline)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, until it is to end."""
        self._http.look(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: what was accepted is finished, everybody is told, nobody is waited for longer than the grace time."""
        for server in self.servers:
            server.close()
        # Dashboards are sent away only when every request is answered, so that what was accepted is announced as well.
        end = time.monotonic() + self._settings.grace / 5
        while time.monotonic() < end and (self._end_requests() or self._service.store.waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._service.announce_the_last()
        await super().shutdown(sockets)

    def _end_requests(self) -> int:
        """Close idle HTTP connections, the others after their answer. Returns how many there still are."""
        connections = [each for each in self.server_state.connections if not isinstance(each, DashboardProtocol)]
        for connection in connections:
            connection.shutdown()
        return len(connections)

    def _feel_lifeline(self) -> None:
        assert self._settings.lifeline_fd is not None
        with contextlib.suppress(BlockingIOError):
            if os.read(self._settings.lifeline_fd, 4096):
                return
            asyncio.get_running_loop().remove_reader(self._settings.lifeline_fd)
            _log.info("The parent process has ended, or wants this one to end")
            self.should_exit = True


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> int:
    """Each connection is an open file, and the usual soft limit is 1,024. Returns the limit as it is now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


class _Few(logging.Filter):
    """Drops the lines that uvicorn writes for every WebSocket, and for every one that was refused."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.INFO:
            return record.msg != "ASGI callable returned without completing handshake."
        return '"WebSocket' not in str(record.msg) and record.msg not in ("connection open", "connection closed")


def _logging() -> dict[str, Any]:
    config = {**LOGGING_CONFIG}
    config["filters"] = {"few": {"()": _Few}}
    config["handlers"] = {"default": {**LOGGING_CONFIG["handlers"]["default"], "filters": ["few"]}}
    quiet = {"handlers": ["default"], "level": "INFO", "propagate": False}
    config["loggers"] = {"uvicorn": quiet, "chatswarm.backend": quiet}
    return config
