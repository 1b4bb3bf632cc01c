"""A chat with rooms and acknowledgements but no history, by the package python-socketio under uvicorn."""

from collections.abc import Mapping
from pathlib import Path

from tests.servers.packages import python, python_version
from tests.servers.server import Server

PING = 2.0
"""Seconds between two pings of the server, and also until it gives up waiting for the answer."""


class PythonSocketio(Server):
    """Rooms, all in memory."""

    name = "python_socketio"
    defects = (
        "drops-every-tenth",  # lost: acknowledged, but only the sender is sent it
        "leaks-every-tenth",  # leaked: everybody is sent it, whatever room they are in
    )

    def version(self) -> str:
        return f"{python_version('python-socketio')}, {python_version('uvicorn')}"

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        variables = {"PORT": str(port), "DEFECT": defect, "PING": f"{PING:g}"}
        return python(str(Path(__file__).with_name("app.py"))), variables
