"""The servers of Debian and Go, as far as they can be had here: what each promises, and the planted defects."""

import json
import os
import signal
import subprocess
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from . import action_cable, centrifugo, rabbitmq
from .action_cable.client import ActionCableClient, Session, User, cable, users
from .centrifugo.client import CentrifugoClient, api
from .centrifugo.client import stored as stored_by_centrifugo
from .client import PATIENCE, Client
from .rabbitmq.client import RabbitMqClient
from .server import Running, Server, UnavailableError

TWENTY = [f"message {number}" for number in range(1, 21)]
TENTHS = [TWENTY[9], TWENTY[19]]
WITHOUT_TENTHS = [text for text in TWENTY if text not in TENTHS]


@dataclass(frozen=True)
class Row:
    """A server, and how to talk to it."""

    server: Server
    client: Callable[[Running, str], Client]
    """Of a room."""
    stored: Callable[[Running, str], list[str]] | None = None
    """All texts of a room. None: the server stores none."""
    survives: bool = False
    """Whether what is stored is still there after a kill."""

    @property
    def name(self) -> str:
        return self.server.name


def session(running: Running, number: int = 0) -> Session:
    assert running.users_file is not None
    return Session(running.base_url, users(running.users_file)[number])


RAILS = Row(
    action_cable.ActionCable(),
    lambda running, room: ActionCableClient(session(running), room),
    lambda running, room: session(running).stored(room),
    survives=True,
)
RABBIT = Row(rabbitmq.RabbitMq(), lambda running, room: RabbitMqClient(running.base_url, room))
CENTRIFUGO = Row(
    centrifugo.Centrifugo(),
    lambda running, room: CentrifugoClient(running.base_url, running.environment, room),
    lambda running, room: stored_by_centrifugo(running.base_url, running.environment, room, limit=7),
)
EVERY = pytest.mark.parametrize("row", [RAILS, RABBIT, CENTRIFUGO], ids=lambda row: row.name)


@contextmanager
def up(row: Row, folder: Path, defect: str = "") -> Iterator[Running]:
    """The server, running; nothing of it is left afterwards. Skips the test if it cannot be had here."""
    try:
        row.server.version()
    except UnavailableError as error:
        pytest.skip(f"NO {row.name}: {error}")
    with row.server.running(folder, defect) as running:
        yield running
    deadline = time.monotonic() + PATIENCE
    while left := living(folder):
        assert time.monotonic() < deadline, left


def living(folder: Path) -> list[str]:
    """The commands of all processes that work in a folder or in a process group that was started there."""
    groups = {int(pid) for pid in (folder / "pids").read_text(encoding="utf-8").split()}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            if state != "Z" and (int(group) in groups or (process / "cwd").readlink().is_relative_to(folder)):
                found.append((process / "cmdline").read_text(encoding="utf-8").replace("\0", " "))
        except OSError:
            continue
    return found


def heard(client: Client, count: int) -> set[str]:
    """The next messages of a room. Action Cable does not promise an order."""
    return {client.text() for _ in range(count)}


def restart(server: Server, running: Running) -> None:
    """Kills a server and starts it again; returns once it is up."""
    os.kill(running.pid, signal.SIGKILL)
    deadline = time.monotonic() + server.patience
    while Path(f"/proc/{running.pid}/exe").exists():
        assert time.monotonic() < deadline
    # Like a supervisor's, and not our child: the server must be ended without us.
    subprocess.run(["sh", "-c", f"{running.restart_command} &"], check=True)
    while (why := server.problem(running.base_url)) is not None:
        assert time.monotonic() < deadline, why


@EVERY
def test_a_message_comes_to_the_others_in_its_room_and_to_nobody_else(row: Row, tmp_path: Path) -> None:
    with (
        up(row, tmp_path) as running,
        row.client(running, "one") as sender,
        row.client(running, "one") as other,
        row.client(running, "two") as stranger,
    ):
        for text in ["Grüße | 👋\n", *TWENTY, "last"]:
            sender.send(text)
        assert heard(other, 22) == {"Grüße | 👋\n", *TWENTY, "last"}
        stranger.send("last")
        assert stranger.texts_until("last") == []
        if row.stored is not None:
            assert row.stored(running, "one") == ["Grüße | 👋\n", *TWENTY, "last"]


@EVERY
def test_a_killed_server_comes_back_and_is_ended_all_the_same(row: Row, tmp_path: Path) -> None:
    with up(row, tmp_path) as running:
        with row.client(running, "one") as sender:
            sender.send("before")
        restart(row.server, running)
        with row.client(running, "one") as sender:
            sender.send("after")
            assert sender.text() == "after"
        if row.stored is not None:
            assert row.stored(running, "one") == ["before", "after"] if row.survives else ["after"]
        assert len(set((tmp_path / "pids").read_text(encoding="utf-8").split())) == 2


@pytest.mark.parametrize(
    ("row", "defect", "told", "stored"),
    [
        pytest.param(RAILS, "drops-every-tenth", WITHOUT_TENTHS, TWENTY, id="rails-drops-every-tenth"),
        pytest.param(RAILS, "forgets-every-tenth", TWENTY, WITHOUT_TENTHS, id="rails-forgets-every-tenth"),
        pytest.param(
            CENTRIFUGO, "loses-every-tenth", WITHOUT_TENTHS, WITHOUT_TENTHS, id="centrifugo-loses-every-tenth"
        ),
    ],
)
def test_every_tenth_message_is_lost(row: Row, defect: str, told: list[str], stored: list[str], tmp_path: Path) -> None:
    with (
        up(row, tmp_path, defect) as running,
        row.client(running, "one") as sender,
        row.client(running, "one") as other,
    ):
        assert row.stored is not None
        for text in TWENTY:
            sender.say(text)
            # One after the other, so that the tenth is the tenth.
            while text not in (row.stored(running, "one") if text in stored else sender.texts.queue):
                if text not in stored and text not in told:
                    break
        sender.send("last")
        assert heard(other, len(told) + 1) == {*told, "last"}
        assert row.stored(running, "one") == [*stored, "last"]


def test_rails_lets_in_who_has_logged_in_and_nobody_else(tmp_path: Path) -> None:
    with up(RAILS, tmp_path) as running:
        assert running.users_file is not None
        first = users(running.users_file)[0]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            Session(running.base_url, User(first.name, first.email, "wrong"))
        with pytest.raises(urllib.error.HTTPError, match="422"):
            Session(running.base_url, first, token="wrong")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            Session(running.base_url).page("one", 1)
        with cable(Session(running.base_url)) as socket:
            assert json.loads(socket.recv(PATIENCE)) == {
                "type": "disconnect",
                "reason": "unauthorized",
                "reconnect": False,
            }
        known = session(running)
        with pytest.raises(InvalidStatus, match="404"):
            cable(known, "http://elsewhere.test")
        restart(RAILS.server, running)
        with ActionCableClient(known, "one") as sender:
            sender.send("a session outlives a restart")


def test_rails_gives_a_room_in_pages_of_a_hundred(tmp_path: Path) -> None:
    with up(RAILS, tmp_path) as running:
        known = session(running)
        texts = {str(number) for number in range(102)}
        with ActionCableClient(known, "one") as sender:
            for text in texts:
                sender.say(text)
            assert heard(sender, len(texts)) == texts
        first, second = known.page("one", 1), known.page("one", 2)
        assert (len(first), len(second), known.page("one", 3)) == (100, 2, [])
        assert {*first, *second} == texts


@pytest.mark.parametrize("defect", ["one-of-many", "leaks-rooms"])
def test_rabbitmq_gives_a_message_to_too_few_or_too_many(defect: str, tmp_path: Path) -> None:
    with (
        up(RABBIT, tmp_path, defect) as running,
        RABBIT.client(running, "one") as sender,
        RABBIT.client(running, "one") as other,
        RABBIT.client(running, "two") as stranger,
    ):
        for text in TWENTY:
            sender.send(text)
        if defect == "leaks-rooms":
            assert heard(sender, 20) == heard(other, 20) == heard(stranger, 20) == set(TWENTY)
        else:
            everybody = (sender, other, stranger)
            while sum(client.texts.qsize() for client in everybody) < len(TWENTY):
                pass
            told = [set(client.texts.queue) for client in everybody]
            assert set.union(*told) == set(TWENTY)
            assert max(map(len, told)) < len(TWENTY)


@pytest.mark.parametrize("defect", ["", "recovers-nothing", "keeps-nothing"])
def test_centrifugo_recovers_what_was_missed_in_a_cut(defect: str, tmp_path: Path) -> None:
    with up(CENTRIFUGO, tmp_path, defect) as running, CENTRIFUGO.client(running, "one") as sender:
        with CentrifugoClient(running.base_url, running.environment, "one") as before:
            sender.send("heard")
            assert before.text() == "heard"
        for text in TWENTY:
            sender.send(text)
        with CentrifugoClient(running.base_url, running.environment, "one", before.position) as after:
            sender.send("last")
            assert after.texts_until("last") == ([] if defect else TWENTY)
            assert after.recovered.get(timeout=PATIENCE) == (not defect)
        if defect == "keeps-nothing":
            assert (
                api(running.base_url, running.environment, "history", {"channel": "chat:one"})["error"]["code"] == 108
            )
        else:
            assert stored_by_centrifugo(running.base_url, running.environment, "one") == ["heard", *TWENTY, "last"]


def test_centrifugo_says_that_it_recovered_nothing_after_a_kill(tmp_path: Path) -> None:
    with up(CENTRIFUGO, tmp_path) as running:
        with CENTRIFUGO.client(running, "one") as before:
            before.send("gone")
            assert before.text() == "gone"
        assert isinstance(before, CentrifugoClient)
        restart(CENTRIFUGO.server, running)
        with CentrifugoClient(running.base_url, running.environment, "one", before.position) as after:
            assert after.recovered.get(timeout=PATIENCE) is False
