"""The testbed's process: what it says, and that it leaves nothing behind however it ends."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.system.children import free_port, python
from chatswarm.loadtests.testbed import messages
from tests.e2e.command import until


class Talk:
    """A testbed's process, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.process = subprocess.Popen(
            python("chatswarm.loadtests.testbed"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(self.scratch)},
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
def _talking(folder: Path) -> Iterator[Talk]:
    talk = Talk(folder)
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
    assert talk.hear() == messages.TestbedReady(url, {})
    assert talk.children() == []


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"type": "BeginFaults", "run": "r", "start": 1}\n'])
def test_anything_but_an_order_ends_it(talk: Talk, line: bytes) -> None:
    assert talk.process.stdin is not None
    talk.process.stdin.write(line)
    talk.process.stdin.close()
    talk.process.wait(20)
    assert talk.left_nothing()
