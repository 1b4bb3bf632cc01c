"""Faults of a run that was started on Locust's page: they are shown there, and healed by every way out."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from .command import LOCUST, Command, running, scenario, until
from .given import LONG, GivenChat, fault, given_chat, given_toxiproxy, proxies_at
from .locust_page import Page

FROZEN = fault("pause", "500ms", "50s", name="frozen")
SLOW = fault("latency", "300ms", "50s", latency="10ms", name="slow")
LATER = fault("latency", "59s", "100ms", latency="10ms", name="later", on="widgets")


class Started:
    """A run in the middle of its faults: the target is paused, and behind somebody's Toxiproxy."""

    def __init__(self, page: Page, command: Command, chat: GivenChat, toxiproxy: str) -> None:
        self.page, self.command, self.chat, self.toxiproxy = page, command, chat, toxiproxy

    def begin(self, run: int = 1) -> None:
        assert self.page.start() is None
        until(lambda: self.command.said().count("fault frozen begins") == run, what=self.command.said())
        until(self.paused)
        assert proxies_at(self.toxiproxy)

    def paused(self) -> bool:
        return psutil.Process(self.chat.process.pid).status() == psutil.STATUS_STOPPED

    def assert_healed(self) -> None:
        until(lambda: not self.paused(), 20)
        until(self.chat.answers)
        until(lambda: proxies_at(self.toxiproxy) == [], 20)


@contextmanager
def ready(folder: Path, *more: str, text: str = LONG + FROZEN + SLOW + LATER) -> Iterator[Started]:
    with given_chat(folder) as chat, given_toxiproxy() as toxiproxy:
        page = Page(chat.url)
        args = [*page.args, "--scenario", scenario(folder, text), "--out", str(folder / "out")]
        args += ["--pid", str(chat.process.pid), "--toxiproxy", toxiproxy]
        with running([*LOCUST, *args, *more], folder / "master", group=True) as command:
            until(page.there)
            yield Started(page, command, chat, toxiproxy)


def in_force(page: Page, name: str, kind: str) -> str:
    """What a scrape says of it."""
    start = f'chatswarm_fault_active{{kind="{kind}",name="{name}"}} '
    (line,) = [line for line in page.metrics().splitlines() if line.startswith(start)]
    return line.removeprefix(start)


@pytest.mark.parametrize("more", [(), ("--processes", "1")], ids=["alone", "with a worker"])
def test_stop_heals_and_the_next_start_makes_the_faults_again(tmp_path: Path, more: tuple[str, ...]) -> None:
    with ready(tmp_path, *more) as run:
        page = run.page
        if more:
            until(lambda: "reported as ready" in run.command.said())
        for number in (1, 2):
            run.begin(number)
            assert page.row("quick")["state"].startswith("measuring, ")
            assert page.row("frozen")["state"].startswith("in force, since ")
            assert page.row("frozen") | {"state": "", "name": ""} == {
                "what": "frozen", "kind": "pause", "on": "target", "due": "at 0.5 s, for 50 s", "state": "", "name": "",
            }  # fmt: skip
            assert page.row("slow")["state"].startswith("in force, since ")
            assert page.row("later")["state"] == "waiting until 59 s"
            assert [in_force(page, *key) for key in (("frozen", "pause"), ("later", "latency"))] == ["1.0", "0.0"]
            page.stop()
            run.assert_healed()
            assert page.row("quick")["state"].startswith("over, ended after ")
            assert page.row("frozen")["state"].startswith("over, from ")
            assert page.row("later")["state"] == "did not begin: the run ended before"
            assert in_force(page, "frozen", "pause") == "0.0"
        assert "Traceback" not in run.command.said()


def test_more_users_in_the_middle_of_a_fault_do_it_no_harm(tmp_path: Path) -> None:
    with ready(tmp_path, text=LONG + SLOW) as run:
        page = run.page
        assert page.start(user_count=3) is None
        until(lambda: page.row("slow")["state"].startswith("in force"))
        assert page.start(user_count=5) is None
        assert page.row("slow")["state"].startswith("in force")
        assert run.command.said().count("fault slow begins") == 1
        page.stop()
        assert page.row("slow")["state"].startswith("over, from ")
        run.assert_healed()
        assert "Traceback" not in run.command.said()


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_master_that_is_ended_in_the_middle_of_a_fault_leaves_none_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    with ready(tmp_path) as run:
        run.begin()
        started = run.command.children()
        assert any("loadtests.testbed" in " ".join(child.cmdline()) for child in started)
        run.command.process.send_signal(number)
        run.assert_healed()
        assert run.command.process.wait(60) == (-number if number == signal.SIGKILL else 3)
        psutil.wait_procs(started, 30)
        assert [child for child in started if child.is_running()] == []


def test_nobody_knows_what_becomes_of_the_faults_of_a_testbed_that_is_gone(tmp_path: Path) -> None:
    """They are healed all the same, and the run is void."""
    with ready(tmp_path) as run:
        run.begin()
        (testbed,) = [it for it in run.command.children() if "chatswarm.loadtests.testbed" in it.cmdline()]
        testbed.kill()
        until(lambda: "can be trusted: the testbed of the run ended" in run.page.row("quick")["state"])
        assert (
            run.page.row("frozen")["state"] == "nobody knows: the testbed is gone, and the healer undoes what it left"
        )
        assert "chatswarm_fault_active{" not in run.page.metrics()
        run.assert_healed()
