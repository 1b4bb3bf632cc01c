"""Which runs have the same load: only what is done counts, not what is expected, by whom, or of whom."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .play import Play


def load_after(folder: Path, change: Callable[[Play], object] = lambda _: None, **parts: object) -> str:
    play = Play(folder, **parts).perform()  # type: ignore[arg-type]
    change(play)
    return play.judge().load


def test_it_is_the_same_again(tmp_path: Path) -> None:
    assert len(load_after(tmp_path / "a")) == 12
    assert load_after(tmp_path / "a1") == load_after(tmp_path / "a2")


@pytest.mark.parametrize(
    "change",
    [
        lambda play: setattr(play.manifest, "seed", 8),
        lambda play: setattr(play.manifest, "target", "http://other"),
        lambda play: setattr(play, "slos", ["lost == 0"]),
        lambda play: setattr(play.manifest, "protocol", "/elsewhere/reference"),
    ],
)
def test_what_may_differ(tmp_path: Path, change: Callable[[Play], object]) -> None:
    assert load_after(tmp_path / "a") == load_after(tmp_path / "b", change)


@pytest.mark.parametrize(
    "parts", [{"dashboards": 7}, {"widgets": 3}, {"rate": 3.0}, {"swarm": {"refetch": "every"}}, {"processes": 3}]
)
def test_what_may_not(tmp_path: Path, parts: dict[str, object]) -> None:
    assert load_after(tmp_path / "a") != load_after(tmp_path / "b", lambda _: None, **parts)


def test_another_protocol_is_another_load(tmp_path: Path) -> None:
    assert load_after(tmp_path / "a") != load_after(
        tmp_path / "b", lambda play: setattr(play.manifest, "protocol", "x")
    )


def test_the_processor_is_told_with_the_machine(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.manifest.processor = "Some processor"
    play.row("worker0", "machine", play.manifest.start, 1.0, 0.0, 0.0, 0.0, 4)
    machine = play.judge().rig.machine
    assert machine is not None
    assert machine.processor == "Some processor"
