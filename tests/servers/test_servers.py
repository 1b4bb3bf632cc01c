"""Every real server, as far as it can be had here: it starts, keeps what it stored, ends, and has the planted defects.

Another server is another row of `ROWS`.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import django_channels, graphql_ws, lines, python_socketio, socket_io
from .client import PATIENCE, Client
from .django_channels.client import DjangoChannelsClient
from .graphql_ws.client import GraphqlWsClient
from .graphql_ws.client import stored as stored_by_graphql_ws
from .lines.client import LinesClient
from .lines.client import stored as stored_by_lines
from .python_socketio.client import PythonSocketioClient
from .server import Running, Server, UnavailableError
from .socket_io.client import SocketIoClient
from .socket_io.client import stored as stored_by_socket_io

TWENTY = [f"message {number}" for number in range(1, 21)]
TENTHS = (TWENTY[9], TWENTY[19])
WITHOUT_TENTHS = [text for text in TWENTY if text not in TENTHS]
TENTHS_TWICE = [text for text in TWENTY for _ in range(1 + (text in TENTHS))]


@dataclass(frozen=True)
class Seen:
    """What is seen of twenty messages: by another member of the room, by a member of another room, and later."""

    other: list[str]
    stranger: tuple[str, ...] = ()
    stored: list[str] | None = None
    """None: as they were sent."""


@dataclass(frozen=True)
class Row:
    """A server, and how to talk to it."""

    server: Server
    client: Callable[[str, str], Client]
    """Of a base URL and a room."""
    defects: Mapping[str, Seen]
    stored: Callable[[str, str], list[str]] | None = None
    """The texts that the chat keeps, of a base URL and a room. None: it keeps none."""
    rooms: bool = True

    @property
    def name(self) -> str:
        return self.server.name


ROWS = (
    Row(
        socket_io.SocketIo(),
        SocketIoClient,
        {
            "drops-every-tenth": Seen(WITHOUT_TENTHS),
            "acknowledges-without-storing": Seen(TWENTY, stored=WITHOUT_TENTHS),
            "stores-repeats-again": Seen(TWENTY),  # nothing is repeated here: see the test below
        },
        stored_by_socket_io,
        rooms=False,
    ),
    Row(
        graphql_ws.GraphqlWs(),
        GraphqlWsClient,
        {"drops-every-tenth": Seen(WITHOUT_TENTHS), "sends-every-tenth-twice": Seen(TENTHS_TWICE)},
        stored_by_graphql_ws,
    ),
    Row(
        python_socketio.PythonSocketio(),
        PythonSocketioClient,
        {"drops-every-tenth": Seen(WITHOUT_TENTHS), "leaks-every-tenth": Seen(TWENTY, stranger=TENTHS)},
    ),
    Row(
        django_channels.DjangoChannels(),
        DjangoChannelsClient,
        {"drops-every-tenth": Seen(WITHOUT_TENTHS), "sends-every-tenth-twice": Seen(TENTHS_TWICE)},
    ),
    Row(
        lines.Lines(),
        LinesClient,
        {"drops-every-tenth": Seen(WITHOUT_TENTHS), "forgets-every-tenth": Seen(TWENTY, stored=WITHOUT_TENTHS)},
        stored_by_lines,
    ),
)
EVERY = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
EVERY_DEFECT = pytest.mark.parametrize(
    ("row", "defect", "seen"),
    [
        pytest.param(row, defect, seen, id=f"{row.name}-{defect or 'clean'}")
        for row in ROWS
        for defect, seen in {"": Seen(TWENTY), **row.defects}.items()
    ],
)


def needed(row: Row) -> None:
    """Skips the test if the server cannot be had here."""
    try:
        row.server.version()
    except UnavailableError as error:
        pytest.skip(f"NO {row.name}: {error}")


def ids_of(folder: Path) -> list[int]:
    """The processes of a server, from its start and its restarts."""
    return [int(pid) for pid in (folder / "pids").read_text(encoding="utf-8").split()]


def runs(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def restarted(server: Server, running: Running) -> subprocess.Popen[bytes]:
    """Kills a server and starts it again; returns once it is up."""
    os.kill(running.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while runs(running.pid):
        assert time.monotonic() < deadline
    again = subprocess.Popen(shlex.split(running.restart_command))
    deadline = time.monotonic() + server.patience
    while (why := server.problem(running.base_url)) is not None:
        assert again.poll() is None, why
        assert time.monotonic() < deadline, why
    return again


@EVERY
def test_a_message_comes_to_the_others_in_its_room(row: Row, tmp_path: Path) -> None:
    needed(row)
    with row.server.running(tmp_path) as running:
        assert runs(running.pid)
        with row.client(running.base_url, "one") as sender, row.client(running.base_url, "one") as other:
            sender.send("Grüße | 👋")
            assert other.text() == "Grüße | 👋"
    assert not [pid for pid in ids_of(tmp_path) if runs(pid)]


@EVERY
def test_a_killed_server_comes_back_with_what_it_stored_and_is_ended_all_the_same(row: Row, tmp_path: Path) -> None:
    needed(row)
    with row.server.running(tmp_path) as running:
        with row.client(running.base_url, "one") as sender:
            sender.send("before")
        again = restarted(row.server, running)
        with row.client(running.base_url, "one") as sender:
            sender.send("after")
        if row.stored is not None:
            assert row.stored(running.base_url, "one") == ["before", "after"]
        assert len(set(ids_of(tmp_path))) == 2
    again.wait(PATIENCE)
    assert not [pid for pid in ids_of(tmp_path) if runs(pid)]


@EVERY_DEFECT
def test_a_defect_is_what_it_says(row: Row, defect: str, seen: Seen, tmp_path: Path) -> None:
    needed(row)
    with (
        row.server.running(tmp_path, defect) as running,
        row.client(running.base_url, "one") as sender,
        row.client(running.base_url, "one") as other,
        row.client(running.base_url, "two") as stranger,
    ):
        for text in TWENTY:
            sender.send(text)
        sender.send("last")
        assert other.texts_until("last") == seen.other
        if row.rooms:
            stranger.send("last")
            assert stranger.texts_until("last") == list(seen.stranger)
        if row.stored is not None:
            assert row.stored(running.base_url, "one") == [*(TWENTY if seen.stored is None else seen.stored), "last"]


@EVERY
def test_every_defect_is_tested(row: Row) -> None:
    assert set(row.defects) == set(row.server.defects)


@pytest.mark.parametrize(("defect", "times"), [("", 1), ("stores-repeats-again", 2)])
def test_a_send_that_socket_io_gets_again_is_acknowledged_again(defect: str, times: int, tmp_path: Path) -> None:
    row = ROWS[0]
    needed(row)
    with (
        row.server.running(tmp_path, defect) as running,
        SocketIoClient(running.base_url, "") as sender,
        SocketIoClient(running.base_url, "") as other,
    ):
        for _ in range(2):
            sender.say_as("again", "the same")
            sender.acknowledged.get(timeout=PATIENCE)
        sender.send("last")
        assert other.texts_until("last") == ["again"] * times
        assert stored_by_socket_io(running.base_url, "") == ["again"] * times + ["last"]
