"""The chat of Django Channels' tutorial under daphne: no acknowledgements, no history, no database."""

from collections.abc import Mapping
from pathlib import Path

from tests.servers.packages import python, python_version
from tests.servers.server import Server


class DjangoChannels(Server):
    """Rooms, all in memory. A handshake needs an Origin that the server allows, such as its own."""

    name = "django_channels"
    defects = (
        "drops-every-tenth",  # lost: only the sender is sent it
        "sends-every-tenth-twice",  # duplicated: everybody in the room is sent it twice
    )

    def version(self) -> str:
        return f"{python_version('channels')}, {python_version('daphne')}, {python_version('django')}"

    def command(self, folder: Path, port: int, defect: str) -> tuple[list[str], Mapping[str, str]]:
        self.version()
        command = python("-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "mysite.asgi:application")
        variables = {"PYTHONPATH": str(Path(__file__).parent), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
        return command, {**variables, "DEFECT": defect}
