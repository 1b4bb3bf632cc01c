"""A chat that speaks plain lines of text instead of JSON, as somebody's own server may."""

from collections.abc import Mapping
from pathlib import Path

from tests.servers.packages import python, python_version
from tests.servers.server import Server


class Lines(Server):
    """Rooms, and `messages.txt`. Sockets are at /chat, a room's messages at /history/ROOM."""

    name = "lines"
    defects = (
        "drops-every-tenth",  # lost: stored, but only the sender is sent it
        "forgets-every-tenth",  # store_lost: everybody is sent it, but it is not stored
    )

    def version(self) -> str:
        return python_version("websockets")

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        return python(str(Path(__file__).with_name("app.py"))), {"PORT": str(port), "DEFECT": defect}
