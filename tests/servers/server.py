"""What every real server has in common: how it is had, started, restarted and ended."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.system.children import free_port

BUILT = Path(__file__).parents[2] / "build" / "servers"
"""What `make servers` has built or unpacked; nothing else is installed."""


class UnavailableError(Exception):
    """This server cannot be had here. The text says what is missing."""


@dataclass(frozen=True)
class Running:
    """A server that is up."""

    base_url: str
    pid: int
    restart_command: str
    """Starts it again in the same place, with the same port and the same stored messages."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables with the secrets that a client needs."""
    users_file: Path | None = None


class Server(ABC):
    """One kind of server. `version`: of the package that is run, for people."""

    name: str
    defects: tuple[str, ...] = ()
    """What can be planted in it."""
    patience = 30.0
    """Seconds in which it must be up."""

    @abstractmethod
    def version(self) -> str:
        """Raises UnavailableError."""

    @abstractmethod
    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        """The command that runs the server in the foreground, and variables to add to its environment.

        `folder` is the server's own, and survives a restart. Raises UnavailableError.
        """

    def environment(self) -> Mapping[str, str]:
        """Variables with the secrets that a client needs."""
        return {}

    def users_file(self, folder: Path) -> Path | None:
        """The users' file that a client needs, if it needs one."""
        del folder
        return None

    def problem(self, base_url: str) -> str | None:
        """Why it is not up yet; None if it is."""
        return http_problem(base_url, 1.0)

    def after(self, folder: Path) -> None:
        """Ends what else was started."""
        del folder

    @contextmanager
    def running(self, folder: Path, defect: str = "") -> Iterator[Running]:
        """Starts it, and ends it with everything that it started, also if it was restarted since."""
        assert not defect or defect in self.defects, defect
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        command, extra = self.command(folder, port, defect)
        script = folder / "start.sh"
        lines = [f"export {name}={_quoted(value)}" for name, value in extra.items()]
        start = " ".join(map(_quoted, command))
        # The process group is recorded, so that a restarted server is found and ended, too.
        script.write_text(
            "\n".join(["cd " + _quoted(str(folder)), *lines, f"echo $$ >> {_quoted(str(folder / 'pids'))}"])
            + f"\nexec {start} >> {_quoted(str(folder / 'server.log'))} 2>&1\n",
            encoding="utf-8",
        )
        process = subprocess.Popen(["bash", str(script)], start_new_session=True)
        try:
            self._wait(process, base_url, folder)
            yield Running(
                base_url,
                process.pid,
                f"setsid bash {_quoted(str(script))}",
                self.environment(),
                self.users_file(folder),
            )
        finally:
            recorded = folder / "pids"
            for pid in map(int, recorded.read_text(encoding="utf-8").split() if recorded.exists() else ()):
                _end(pid)
            process.kill()
            process.wait(10)
            self.after(folder)

    def _wait(self, process: subprocess.Popen[bytes], base_url: str, folder: Path) -> None:
        deadline = time.monotonic() + self.patience
        while (why := self.problem(base_url)) is not None:
            log = folder / "server.log"
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""
            if process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with exit code {process.returncode}:\n{said}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} was not up within {self.patience:g} s: {why}\n{said}")
            time.sleep(0.05)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _end(pid: int) -> None:
    """Ends a process and its group: first politely, then not."""
    for which in (signal.SIGTERM, signal.SIGKILL):
        for target in (os.killpg, os.kill):
            try:
                target(pid, which)
            except (ProcessLookupError, PermissionError):
                continue
        for _ in range(50):
            if not Path(f"/proc/{pid}").exists() or _is_zombie(pid):
                return
            time.sleep(0.02)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
