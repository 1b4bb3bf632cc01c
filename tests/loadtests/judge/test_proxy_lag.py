"""The fault proxy is a part of the rig: where it was slow, it is to blame, and not the target."""

from pathlib import Path

import pytest

from chatswarm.loadtests.history.faults import ProxyWriter
from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import PROXY, history_file
from chatswarm.loadtests.judge.judge import judge

from .play import T0, Plant, Play

TIGHT = "visible.p99 <= 500ms"


def proxied(folder: Path, lag: float, plants: dict[tuple[int, int], Plant] | None = None, until: int = 6) -> Play:
    """A run through a proxy whose loop stood still for `lag` at the end of each second from 2 s to `until`."""
    play = Play(folder, rate=4, processes=2, plants=plants or {}).perform()
    play.manifest.processes.append(PROXY)
    play.naps(PROXY, lag, 2, until)
    play.row(PROXY, "cpu", T0 + 3, 0.95, 0)
    return play


def slow(by: float) -> dict[tuple[int, int], Plant]:
    """What is meant between 2.125 and 3.625 s comes so much later."""
    return {(widget, n): Plant(slow=by) for widget in range(2) for n in range(4, 8)}


def test_a_quick_one_is_sound(tmp_path: Path) -> None:
    verdict = proxied(tmp_path, 0.001).judge([TIGHT])
    assert (verdict.verdict, verdict.reasons, verdict.rig.sound) == ("pass", [], True)


def test_a_slow_proxy_makes_the_rig_unsound_with_specific_advice(tmp_path: Path) -> None:
    verdict = proxied(tmp_path, 0.6).judge([TIGHT])
    assert (verdict.verdict, verdict.rig.sound) == ("undecided", False)
    (reason,) = verdict.rig.reasons
    assert reason.startswith("proxy: its loop woke 580 ms late or more")
    assert "put less load through the fault proxy" in reason
    assert "--processes" not in reason


@pytest.mark.parametrize(
    ("lag", "by", "outcome"),
    [
        (0.6, 0.9, "undecided"),  # without 600 ms of the proxy's, it would have come in time
        (0.6, 1.5, "fail"),  # and this would not
        (0.8, 1.85, "undecided"),  # this would without twice 800 ms
    ],
)
def test_delay_in_the_proxy_does_not_count_against_the_target(
    tmp_path: Path, lag: float, by: float, outcome: str
) -> None:
    verdict = proxied(tmp_path, lag, slow(by)).judge([TIGHT])
    assert verdict.slos[0].outcome == outcome
    assert ("load generator's own delays" in "\n".join(verdict.reasons)) == (outcome == "undecided")


def test_its_lag_elsewhere_excuses_nothing(tmp_path: Path) -> None:
    plants = {(w, n): Plant(slow=0.9) for w in range(2) for n in range(10, 12)}  # from 5.1 s on
    play = proxied(tmp_path, 0.6, plants, until=4)
    assert play.judge(["visible.p90 <= 500ms", "visible.p99 <= 500ms"][1:]).slos[0].outcome == "fail"


def test_a_missing_history_of_it_takes_nothing_from_the_dashboards(tmp_path: Path) -> None:
    folder = proxied(tmp_path, 0.001, {(0, 2): Plant(unseen_by={1})}).write()
    history_file(tmp_path, PROXY).unlink()
    verdict = judge(folder)
    assert "history/proxy.cs1 is missing" in "\n".join(verdict.reasons)
    assert (verdict.verdict, verdict.deliveries.lost, verdict.deliveries.unproven) == ("fail", 1, 0)


def test_what_its_writer_writes_is_what_is_judged(tmp_path: Path) -> None:
    writer = ProxyWriter(tmp_path, "run")
    writer.looked([(1.0, 0.25), (1.01, 0.5)], 1.5, 0.75)
    assert writer.close() is None
    writer.looked([(2.0, 1.0)], 2.5, 1.0)
    tables = read(history_file(tmp_path, PROXY)).tables
    assert list(tables["lag"]["lag"]) == [0.25, 0.5]
    assert list(tables["cpu"]["cpu"]) == [0.75]


@pytest.mark.parametrize("window", ["", " after slow-net"])
@pytest.mark.parametrize(("by", "outcome"), [(2.3, "undecided"), (3.0, "fail")])
def test_what_is_late_through_it_alone_decides_nothing(tmp_path: Path, by: float, outcome: str, window: str) -> None:
    plants = {(widget, n): Plant(slow=by) for widget in range(2) for n in range(4, 12)}
    play = proxied(tmp_path, 0.3, plants, until=8)
    play.fault("slow-net", 0.2, 0.4)
    verdict = play.judge([f"late == 0{window}"])
    assert verdict.deliveries.late
    assert verdict.slos[0].outcome == outcome
