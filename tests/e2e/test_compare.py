"""`chatswarm compare` with real runs: chats that are alike, one that is slower, and what is kept if it ends early."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.plants.chat import Chat
from tests.plants.latency import SlowFrames
from tests.plants.wire import serving

from .command import CHATSWARM, chatswarm, running, scenario, until
from .given import given_chat

pytestmark = pytest.mark.timeout(300)

BRIEF = """
[swarm]
dashboards = 4
widgets = 3
rate = 10
duration = "2s"
ramp = "0.5s"
update_target = "3s"
drain = "5s"
"""
ON = ("--on", "notified.p50,lost", "--repeat", "3")


@contextmanager
def chats(*delays: float) -> Iterator[list[str]]:
    """Chats whose frames are so many seconds late, much longer than a busy machine's noise."""
    with ExitStack() as stack:
        yield [stack.enter_context(serving(SlowFrames(delay=delay))) for delay in delays]


@pytest.mark.parametrize(("delays", "code", "outcome"), [((0.4, 0.4), 0, "same"), ((0.4, 0.8), 1, "worse")])
def test_alike_or_slower(delays: tuple[float, float], code: int, outcome: str, tmp_path: Path) -> None:
    file = scenario(tmp_path, BRIEF)
    with chats(*delays) as (old, new):
        words = ("compare", old, "--against", new, "--scenario", file, *ON, "--out", "out", "--json")
        result = chatswarm(*words, folder=tmp_path, timeout=240)
    assert result.code == code, result.err
    found = json.loads(result.out)
    assert (found["outcome"], found["pairs"]) == (outcome, 3)
    notified = next(metric for metric in found["metrics"] if metric["metric"] == "notified.p50")
    assert notified["ratio"]["estimate"] == pytest.approx(delays[1] / delays[0], rel=0.15)
    assert [run["seed"] for run in found["base"]["runs"]] == [run["seed"] for run in found["new"]["runs"]] == [1, 2, 3]
    assert result.err.splitlines()[0].startswith(f"quick: {new} against {old}, 3 pairs of runs of about ")
    # Quiet, because the result goes to a program.
    assert "measuring" not in result.err
    assert json.loads((tmp_path / "out" / "comparison.json").read_bytes()) == found
    # The same from the recorded runs alone, as a shell would list them.
    sides = [sorted(str(path) for path in (tmp_path / "out").glob(f"{side}-*")) for side in ("base", "new")]
    again = chatswarm("compare", *sides[0], "--against", *sides[1], *ON[:2], "--json", folder=tmp_path)
    assert again.code == code, again.err
    assert json.loads(again.out)["metrics"] == found["metrics"]


def test_two_settings_of_the_reference_chat(tmp_path: Path) -> None:
    file = scenario(tmp_path, BRIEF)
    words = ("compare", "--scenario", file, "--new-backend", "--workers 2", "--on", "lost", "--repeat", "3")
    result = chatswarm(*words, "--out", "out", folder=tmp_path, timeout=240)
    assert result.code == 0, result.err
    assert "the reference chat --workers 2 against the reference chat" in result.err
    assert "workers = 2" in (tmp_path / "out" / "new-01" / "scenario.toml").read_text(encoding="utf-8")
    assert "workers" not in (tmp_path / "out" / "base-01" / "scenario.toml").read_text(encoding="utf-8")


def test_wrong_flags_of_the_reference_chat(tmp_path: Path) -> None:
    file = scenario(tmp_path, BRIEF)
    words = ("compare", "--scenario", file, "--base-backend", "--wrokers 2", "--out", "out")
    result = chatswarm(*words, folder=tmp_path)
    assert result.code == 2, result.err
    assert "wrokers" in result.err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    file = scenario(tmp_path, BRIEF)
    with chats(0.1, 0.1) as (old, new):
        words = ["compare", old, "--against", new, "--scenario", file, *ON, "--out", "out", "--json"]
        with running([*CHATSWARM, *words], tmp_path) as command:
            until((tmp_path / "out" / "new-02" / "history").exists, 60)
            command.process.send_signal(signal.SIGINT)
            result = command.result(60)
    assert result.code == 3, result.err
    found = json.loads(result.out)
    assert found["reasons"] == ["interrupted, after 1 of 3 pairs"]
    assert len(found["base"]["runs"]) == 1
    assert not (tmp_path / "out" / "base-02").exists()
    assert (tmp_path / "out" / "comparison.html").exists()


def test_a_target_that_stops_answering_keeps_what_was_measured(tmp_path: Path) -> None:
    file = scenario(tmp_path, BRIEF)
    with serving(Chat()) as new, given_chat(tmp_path) as old:
        words = ["compare", old.url, "--against", new, "--scenario", file, *ON, "--out", "out", "--json"]
        with running([*CHATSWARM, *words], tmp_path) as command:
            until((tmp_path / "out" / "new-02").exists, 60)
            old.end()
            result = command.result(60)
    assert result.code == 3, result.err
    found = json.loads(result.out)
    (reason,) = found["reasons"]
    assert reason.startswith(f"{old.url}: ")
    assert reason.endswith("after 1 of 3 pairs")
    assert (tmp_path / "out" / "new-02" / "verdict.json").exists()
