"""What a user has before chatswarm comes: a chat that runs already, and a Toxiproxy. And scenarios with faults."""

import contextlib
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from chatswarm.loadtests.faults.target_processes import listener_on
from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.system.children import free_port

from .command import QUICK, Command, until

LONG = QUICK.replace('"2s"', '"60s"').replace('"5s"', '"2s"').replace('"7s"', '"4s"')


class GivenChat:
    """A reference backend of somebody's own, which is none of chatswarm's children."""

    def __init__(self, folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = folder / "given.db"
        self.arguments = [sys.executable, "-m", "chatswarm.backend", "--port", str(self.port), "--pages-port", "off"]
        self.arguments += ["--database", f"sqlite:///{self.database}", *flags]
        self.process = subprocess.Popen(
            self.arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **(env or {})}
        )
        until(self.answers)

    @property
    def command(self) -> str:
        """With which its owner starts it again."""
        return f"exec {shlex.join(self.arguments)}"

    @property
    def pid(self) -> int:
        """Of whoever listens there now."""
        pid = listener_on(self.port)
        assert pid is not None
        return pid

    def answers(self) -> bool:
        return http_problem(self.url, 1.0) is None

    def end(self) -> None:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.database) in " ".join(process.cmdline()):
                    process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def given_chat(folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[GivenChat]:
    chat = GivenChat(folder, *flags, env=env)
    try:
        yield chat
    finally:
        chat.end()


@contextmanager
def given_toxiproxy() -> Iterator[str]:
    """The URL of a Toxiproxy's API that somebody else runs."""
    port = free_port()
    command = [sys.executable, "-m", "chatswarm.loadtests.faults.proxy", "--api", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: http_problem(f"{url}/version", 1.0) is None)
            yield url
        finally:
            process.kill()


def proxies_at(url: str) -> list[str]:
    """The names of the proxies that a Toxiproxy has now."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/proxies")
    names = list(json.loads(connection.getresponse().read()))
    connection.close()
    return names


def fault(kind: str, at: str = "300ms", length: str = "50s", **values: object) -> str:
    """A `[[fault]]` for a scenario's text."""
    rows = {"kind": kind, "at": at, "for": length, **values}
    return "[[fault]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())


def begun(command: Command, *names: str) -> bool:
    """Whether these faults have begun."""
    return all(f"fault {name} begins" in command.said() for name in names)
