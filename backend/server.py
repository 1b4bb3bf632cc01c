"""Runs the app on uvicorn, with a shutdown that ends within the grace time whatever the dashboards do.

On SIGTERM, SIGINT or SIGHUP: stop listening ─► finish HTTP requests, with their commits and frames ─► close dashboards
with 1012 ─► abort what does not close ─► close the store ─► exit code 0, all within the grace time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from dataclasses import replace
from types import FrameType
from typing import Any, Final, cast

from uvicorn.config import LOGGING_CONFIG, Config
from uvicorn.server import Server

from chatswarm.backend.chat.worker_service import WorkerService, worker_name
from chatswarm.backend.fanout.sockets import LOGGER, DashboardProtocol, Sockets
from chatswarm.backend.http.auth_middleware import with_auth
from chatswarm.backend.http.capacity import allocate
from chatswarm.backend.http.connections import KEEP_ALIVE, HttpConnections
from chatswarm.backend.http.responses import push_refusal, refusal
from chatswarm.backend.workers.supervisor import WorkerContext

from .app import create_app
from .listeners import bind
from .pages import Pages, with_pages
from .push_app import create_push_app
from .settings import Settings

_COLLECT_AFTER: Final = (10_000, 10, 10)
"""For gc.set_threshold. Connections live long: with the default, 700, connecting thousands costs as much again for
visiting those that are already there."""

_log = logging.getLogger("uvicorn.error")


def serve(settings: Settings, worker: WorkerContext | None = None) -> int:
    """Run until stopped, alone or as one of several workers. Returns the exit code.

    Raises SettingsError if the address cannot be listened on.
    """
    listeners = worker.listeners if worker else bind(settings)
    # With the default of 5 ms, the writer thread waits that long for the GIL after each sync while the loop is busy.
    sys.setswitchinterval(0.001)
    files = _raise_file_limit()
    capacity = allocate(files, settings.max_connections, settings.max_http_connections)
    wanted, settings = settings.max_connections, replace(settings, max_connections=capacity.dashboards)
    sockets = Sockets(settings.buffer_limit, settings.unsent_limit, settings.idle_timeout)
    app = (create_push_app if settings.push else create_app)(settings, sockets, worker)
    metrics = app.state.service.metrics
    body = push_refusal if settings.push else refusal
    # What is ready passes by the middleware for origins and tokens, and by the pages.
    ready = app.state.ready if settings.origins is None and settings.dashboard_tokens is None else None
    ready_ports = frozenset(each.getsockname()[1] for each in listeners.api)
    http = HttpConnections(capacity, sockets, settings.request_timeout, metrics, body, ready, ready_ports)
    pages = Pages(listeners.api[0].getsockname()[1], settings.backend_url)
    config = Config(
        with_pages(with_auth(app, settings.origins, settings.dashboard_tokens, metrics), pages, listeners.pages_ports),
        loop="uvloop",
        http=cast("Any", http.protocol),
        ws=cast("Any", sockets.protocol),
        ws_max_size=settings.max_frame_size,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        # Explicit, so that uvicorn ignores WEB_CONCURRENCY, which is meant for other programs.
        workers=1,
        log_config=_logging(),
        proxy_headers=False,
        server_header=False,
        headers=[("X-Served-By", worker_name(worker))],
        timeout_keep_alive=KEEP_ALIVE,
        # A float is fine: it is passed to asyncio.wait_for.
        timeout_graceful_shutdown=cast("int", settings.grace * 0.4),
    )
    server = ChatServer(config, app.state.service, settings, http)
    if capacity.dashboards < wanted:
        problem = "--max-connections: expected enough open files for %d dashboards, got %d, enough for %d"
        _log.warning(problem, wanted, files, capacity.dashboards)
    if worker is None and listeners.note is not None:
        _log.warning("%s", listeners.note)
    server.addresses = [_address(each) for each in listeners.api]
    server.pages = [_address(each) for each in listeners.pages]
    # Closing the terminal stops the chat like SIGTERM; under nohup, SIGHUP stays ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, server.handle_exit)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(listeners.all)
    return 0 if server.started else 1


class ChatServer(Server):
    """uvicorn's server with its own shutdown sequence."""

    def __init__(self, config: Config, service: WorkerService, settings: Settings, http: HttpConnections) -> None:
        super().__init__(config)
        self.addresses: list[str] = []
        self.pages: list[str] = []
        self._stop_requested = False
        self._http = http
        self._service = service
        self._settings = settings

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop. uvicorn's own handler raises the signal again at the end, which would hide a clean exit."""
        # A second SIGTERM or SIGINT forces the exit. SIGHUP does not: the kernel and the shell each send one when a
        # terminal closes, and systemd may send one together with SIGTERM.
        if sig != signal.SIGHUP:
            self.force_exit = self._stop_requested
            self._stop_requested = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and log the addresses."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        for address in self.addresses:
            _log.info("Uvicorn running on %s (Press CTRL+C to quit)", address)
            if self._settings.api_docs:
                _log.info("The API: %s/docs", address)
        for address in self.pages:
            _log.info("The pages: %s/inbox and %s/widget", address, address)
        if self._settings.lifeline_fd is not None:
            os.set_blocking(self._settings.lifeline_fd, False)
            asyncio.get_running_loop().add_reader(self._settings.lifeline_fd, self._read_lifeline)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, until the shutdown: close overdue HTTP connections."""
        self._http.close_overdue(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish accepted requests, announce their messages, and close all connections, within the grace time."""
        for server in self.servers:
            server.close()
        # Dashboards are closed only after the last response, so that every accepted message is announced.
        end = time.monotonic() + self._settings.grace / 5
        while time.monotonic() < end and (self._end_requests() or self._service.unanswered):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._service.flush_announcements()
        await super().shutdown(sockets)

    def _end_requests(self) -> int:
        """Close idle HTTP connections, and the others after their response. Returns the number still open."""
        connections = [each for each in self.server_state.connections if not isinstance(each, DashboardProtocol)]
        for connection in connections:
            connection.shutdown()
        return len(connections)

    def _read_lifeline(self) -> None:
        assert self._settings.lifeline_fd is not None
        with contextlib.suppress(BlockingIOError):
            if os.read(self._settings.lifeline_fd, 4096):
                return
            asyncio.get_running_loop().remove_reader(self._settings.lifeline_fd)
            _log.info("The parent process has ended, or requests a stop")
            self.should_exit = True


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> int:
    """Raise the soft limit on open files, usually 1,024: each connection takes one. Returns the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


class _HandshakeLineFilter(logging.Filter):
    """Drops the line that uvicorn logs for every refused handshake."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "ASGI callable returned without completing handshake."


def _logging() -> dict[str, Any]:
    config = {**LOGGING_CONFIG}
    config["filters"] = {"handshakes": {"()": _HandshakeLineFilter}}
    config["handlers"] = {"default": {**LOGGING_CONFIG["handlers"]["default"], "filters": ["handshakes"]}}
    quiet = {"handlers": ["default"], "level": "INFO", "propagate": False}
    # uvicorn and websockets have several lines for each dashboard. Not to make them is cheaper than to filter them.
    config["loggers"] = {"uvicorn": quiet, "chatswarm.backend": quiet, LOGGER: {"level": "WARNING"}}
    return config
