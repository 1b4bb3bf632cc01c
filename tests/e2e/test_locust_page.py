"""Locust's own page: what makes no run is said on it, and whatever an operator does there, a run ends in a verdict."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.system.children import free_port
from tests.plants import Chat, serving

from .command import LOCUST, QUICK, Command, running, scenario, until
from .given import fault
from .locust_page import Page
from .test_faults import far_toxiproxy


@pytest.fixture
def target() -> Iterator[str]:
    with serving(Chat()) as url:
        yield url


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"scenario": "staedy"}, "did you mean steady?"),
    ({"scenario": "kill"}, "fault kill: expected --pid, the target's process, because chatswarm did not start it"),
    ({"out": "/dev/null/x"}, "--out: expected a folder that can be made, got '/dev/null/x'"),
    ({"host": "nonsense"}, "--host: expected a URL"),
    ({"host": "http://127.0.0.1:9"}, "--host: expected an HTTP answer"),
    ({"seed": "abc"}, "--seed: expected a whole number"),
    ({"protocol": "foo"}, "--protocol: expected a shipped protocol or that of the command line, got 'foo'"),
    ({"protocol": "./ours.toml"}, "--protocol: expected a shipped protocol or that of the command line, got"),
    ({"protocol": "os:Chat"}, "--protocol: expected a shipped protocol or that of the command line, got 'os:Chat'"),
    ({"origin": "http://a/b"}, "--origin: expected an origin"),
    ({"user_count": 1}, "-u: expected at least 2 users"),
    ({"spawn_rate": 0}, "-r: expected a number of users per second above 0"),
]


def refuses_all(page: Page) -> None:
    for fields, said in WRONG:
        error = page.start(**fields)
        assert error is not None, fields
        assert said in error
    assert page.stats()["state"] == "ready", "nothing has started"


def verdict_in(folder: Path, command: Command) -> dict[str, Any]:
    until((folder / "verdict.json").exists, 60, command.said())
    verdict: dict[str, Any] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return verdict


def test_the_form_asks_for_what_may_differ_from_run_to_run(tmp_path: Path, target: str) -> None:
    """And not for what ends processes, runs commands or opens ports: anybody who sees the page may fill it in."""
    page = Page(target)
    with running([*LOCUST, *page.args], tmp_path):
        until(page.there)
        assert page.form() == {"scenario", "protocol", "seed", "origin", "out"}


def test_what_makes_no_run_is_said_and_the_next_try_is_a_run(tmp_path: Path, target: str) -> None:
    page, out = Page(target), tmp_path / "out"
    args = [*page.args, "--scenario", scenario(tmp_path), "--out", str(out)]
    with running([*LOCUST, *args], tmp_path) as command:
        until(page.there)
        refuses_all(page)
        assert not out.exists(), "no folder is left behind"
        right = {"scenario": str(tmp_path / "quick.toml"), "out": str(out), "seed": 1, "protocol": "reference"}
        assert page.start(**right, origin="") is None
        assert verdict_in(out, command)["verdict"] == "pass"


def test_what_is_refused_while_a_run_is_prepared_is_said_as_well(tmp_path: Path, target: str) -> None:
    """The proxies lead nowhere, which shows only once they are there."""
    with far_toxiproxy() as (url, deleted):
        page = Page(target)
        text = QUICK + fault("latency", "1s", "100ms", on="widgets", latency="1ms")
        args = [*page.args, "--scenario", scenario(tmp_path, text), "--out", str(tmp_path / "out")]
        with running([*LOCUST, *args, "--toxiproxy", url], tmp_path) as command:
            until(page.there)
            error = page.start()
            assert error is not None
            assert "fault proxy for widgets: expected it to reach the target" in error
            assert page.stats()["state"] == "ready"
            assert deleted
            assert page.start(scenario="smoke", user_count=2) is None, "the next attempt is a run"
            until(lambda: "chatswarm: measuring" in command.said())
        assert not (tmp_path / "out" / "verdict.json").exists()


def test_with_workers_too_and_they_stay(tmp_path: Path, target: str) -> None:
    page, out, port = Page(target), tmp_path / "out", str(free_port())
    args = [*page.args, "--scenario", scenario(tmp_path), "--out", str(out), "--master", "--master-bind-port", port]
    with ExitStack() as stack:
        master = stack.enter_context(running([*LOCUST, *args], tmp_path / "master"))
        until(page.there)
        error = page.start()
        assert error is not None
        assert "expected at least one worker" in error
        worker = stack.enter_context(running([*LOCUST, "--worker", "--master-port", port], tmp_path / "worker"))
        until(lambda: "reported as ready" in master.said())
        until(lambda: page.stats()["state"] == "ready")
        refuses_all(page)
        assert worker.process.poll() is None
        right = {"scenario": str(tmp_path / "quick.toml"), "out": str(out), "seed": 1, "protocol": "reference"}
        assert page.start(**right, origin="") is None
        assert verdict_in(out, master)["verdict"] == "pass"
        assert worker.process.poll() is None


def test_what_only_the_command_line_may_set_cannot_be_set_by_the_form(tmp_path: Path, target: str) -> None:
    """Any web site that is open on this machine can send a form to the page."""
    page, ran = Page(target), tmp_path / "ran"
    text = QUICK + fault("restart", "1s", "0s")
    args = [*page.args, "--scenario", scenario(tmp_path, text), "--out", str(tmp_path / "out")]
    with running([*LOCUST, *args], tmp_path) as command:
        until(page.there)
        for fields in ({"restart_command": f"touch {ran}"}, {"pid": 1}, {"toxiproxy": "http://127.0.0.1:9"}):
            error = page.start(**fields)
            assert error is not None
            assert "expected on the command line only, got it in the form" in error
        error = page.start()
        assert error is not None
        assert "fault restart: expected --restart-command" in error, "nothing of it was kept"
        assert command.process.poll() is None
    assert not ran.exists()


def test_an_operator_edits_and_stops_a_run_and_starts_another_at_once(tmp_path: Path, target: str) -> None:
    page, out = Page(target), tmp_path / "out"
    slow = QUICK.replace('"2s"', '"30s"')
    args = [*page.args, "--scenario", scenario(tmp_path, slow), "--out", str(out)]
    with running([*LOCUST, *args], tmp_path) as command:
        until(page.there)
        assert page.start() is None
        until(lambda: "chatswarm: measuring" in command.said())
        assert page.start(user_count=-1) is not None
        assert page.start(user_count=3) is None, "fewer"
        until(lambda: page.stats()["user_count"] == 3)
        assert page.start(user_count=20) is None, "and more than the scenario has"
        until(lambda: page.stats()["user_count"] == 7)
        page.stop()
        verdict = verdict_in(out, command)
        assert (verdict["verdict"], verdict["findings"]) == ("undecided", []), verdict["reasons"]
        assert any("cut short" in reason for reason in verdict["reasons"])
        assert page.start() is None
        until(lambda: command.said().count("chatswarm: measuring") == 2)
        # As a terminal that is closed.
        command.process.send_signal(signal.SIGHUP)
        assert command.result().code == 3
        assert "Traceback" not in command.said()
    assert verdict_in(tmp_path / "out-2", command)["verdict"] == "undecided"
