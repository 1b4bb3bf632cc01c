"""The testbed's process: what it says, and that it leaves nothing behind however it ends."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import NEMESIS, TARGET, history_file
from chatswarm.loadtests.protocols.push import KEY
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.system.children import free_port, python
from chatswarm.loadtests.testbed import messages
from tests.e2e.command import until
from tests.plants.push import PushChat
from tests.plants.push.client import Client
from tests.plants.wire import serving


class Talk:
    """A testbed's process, and what it said."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.process = subprocess.Popen(
            python("chatswarm.loadtests.testbed"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(self.scratch), **env},
            bufsize=0,
        )

    def order(self, name: str = "smoke", **options: object) -> messages.SetUpTestbed:
        table = dict(scenario.load(name).table)
        return messages.SetUpTestbed(
            str(self.folder), name, table, 1, msgspec.convert(options, messages.TestbedOptions)
        )

    def say(self, *orders: messages.ToTestbed) -> None:
        assert self.process.stdin is not None
        for order in orders:
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")

    def hear(self) -> messages.FromTestbed:
        assert self.process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            line += self.process.stdout.read(1) or pytest.fail("it ended")
        heard: messages.FromTestbed = msgspec.json.decode(line, type=messages.FromTestbed)
        return heard

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def left_nothing(self) -> bool:
        mine = [it for it in psutil.process_iter(["cmdline"]) if str(self.folder) in " ".join(it.info["cmdline"] or [])]
        return not mine and not list(self.scratch.iterdir())


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    with _talking(tmp_path) as talk:
        yield talk


@contextmanager
def _talking(folder: Path, **env: str) -> Iterator[Talk]:
    talk = Talk(folder, **env)
    try:
        yield talk
    finally:
        talk.process.kill()
        talk.process.wait()
        for pipe in filter(None, (talk.process.stdin, talk.process.stdout)):
            pipe.close()


def test_it_sets_up_and_takes_everything_down(talk: Talk) -> None:
    talk.say(talk.order())
    says, ready = talk.hear(), talk.hear()
    assert isinstance(says, messages.TestbedSays)
    assert isinstance(ready, messages.TestbedReady)
    assert says.text == f"starting the reference backend at {ready.base_url}"
    assert ready.via == {}
    talk.say(messages.HealFaults(), messages.EndTestbed())
    assert talk.hear() == messages.TestbedEnded(None)
    assert talk.process.wait(20) == 0
    assert talk.left_nothing()
    assert not (talk.folder / "history").exists()


def test_the_processes_of_its_reference_chat_are_sampled_from_the_begin_to_the_end(talk: Talk) -> None:
    """All its workers, and even without faults, whose nemesis then leaves no history."""
    order = talk.order()
    talk.say(msgspec.structs.replace(order, table={**order.table, "backend": {"workers": 2}}))
    assert isinstance(talk.hear(), messages.TestbedSays)
    ready = talk.hear()
    assert isinstance(ready, messages.TestbedReady)
    assert ready.watches
    backend = {child.pid for child in talk.children() if "chatswarm.backend" in child.cmdline()}
    assert len(backend) >= 3
    talk.say(messages.MeasuringBegins("run", 1.0))
    path = history_file(talk.folder, TARGET)
    until(lambda: path.exists() and len(read(path).tables["process"]["pid"]))
    talk.say(messages.EndTestbed())
    assert talk.hear() == messages.TestbedEnded(None)
    assert read(path).cut is None
    assert backend <= {int(pid) for pid in read(path).tables["process"]["pid"]}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_its_push_chat_has_the_service_key_of_the_swarm(tmp_path: Path) -> None:
    with _talking(tmp_path, **{KEY: "s3cret"}) as talk:
        order = talk.order()
        talk.say(msgspec.structs.replace(order, table={**order.table, "backend": {"push": True}}))
        assert isinstance(talk.hear(), messages.TestbedSays)
        ready = talk.hear()
        assert isinstance(ready, messages.TestbedReady)
        for key, status in (("s3cret", 200), ("another", 403)):
            with Client(ready.base_url, key) as client:
                assert client.log_in("amy").status_code == status
        talk.say(messages.EndTestbed())
        assert talk.hear() == messages.TestbedEnded(None)


@pytest.mark.parametrize("ready", [False, True], ids=["while it sets up", "when all is up"])
def test_the_end_of_its_input_is_its_end(talk: Talk, ready: bool) -> None:
    """Whoever started it may be killed at any moment."""
    talk.say(talk.order())
    assert isinstance(talk.hear(), messages.TestbedSays)
    if ready:
        assert isinstance(talk.hear(), messages.TestbedReady)
    children = talk.children()
    assert children
    assert talk.process.stdin is not None
    talk.process.stdin.close()
    talk.process.wait(20)
    assert psutil.wait_procs(children, 20)[1] == []
    until(talk.left_nothing)


def test_what_cannot_be_set_up_is_refused_in_lines(talk: Talk) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    talk.say(talk.order("kill", base_url=url))
    refused = talk.hear()
    assert isinstance(refused, messages.TestbedRefused)
    assert refused.problems[0].startswith(f"--target: expected an HTTP answer from {url}")
    assert talk.hear() == messages.TestbedEnded(None)
    assert talk.process.wait(20) == 0


def test_a_check_starts_nothing(talk: Talk) -> None:
    """It does not even look for the target: whoever asks has done so."""
    url = f"http://127.0.0.1:{free_port()}"
    talk.say(msgspec.structs.replace(talk.order("cut", base_url=url), only_check=True))
    assert talk.hear() == messages.TestbedReady(url, {}, watches=False)
    assert talk.children() == []


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"type": "MeasuringBegins", "run": "r", "start": 1}\n'])
def test_anything_but_an_order_ends_it(talk: Talk, line: bytes) -> None:
    assert talk.process.stdin is not None
    talk.process.stdin.write(line)
    talk.process.stdin.close()
    talk.process.wait(20)
    assert talk.left_nothing()


def test_the_faults_are_told_the_runs_rooms(talk: Talk) -> None:
    with serving(PushChat()) as url, Client(url) as client:
        assert client.room("a-room", ["ada"]).status_code == 200
        order = talk.order("intruders", base_url=url, protocol="push")
        fault = {"name": "intruders", "kind": "intruders", "at": 0, "for": "0.5s", "attempts": 20}
        talk.say(msgspec.structs.replace(order, table={**order.table, "fault": [fault]}))
        assert isinstance(talk.hear(), messages.TestbedReady)
        talk.say(messages.MeasuringBegins("abcdefghij", time.monotonic(), ["a-room"]))
        assert talk.hear() == messages.TestbedSays("fault intruders begins")
        assert talk.hear() == messages.TestbedSays("fault intruders is over")
        talk.say(messages.EndTestbed())
        assert talk.hear() == messages.TestbedEnded(None)
        assert talk.process.wait(20) == 0
    rows = read(history_file(talk.folder, NEMESIS)).tables["fault"]
    evidence = json.loads(rows["evidence"][-1])
    assert evidence["refused"] == evidence["joins"] > 0
    assert evidence["let_in"] == evidence["shown"] == evidence["accepted"] == 0
