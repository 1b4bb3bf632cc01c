"""The progress line, and the rates in it."""

import time

import pytest

from chatswarm.loadtests.swarm.live.progress_line import ProgressLines
from chatswarm.loadtests.swarm.plan import ProcessProgress


def test_a_line_has_the_phase_and_the_figures_of_the_whole_swarm() -> None:
    total = ProcessProgress(sent=7, updates=2, latencies={100: 1, 300: 1})
    line = ProgressLines().next("measuring", time.monotonic(), 2.0, 4, total)
    assert (line.phase, line.length, line.dashboards, line.sent) == ("measuring", 2.0, 4, 7)
    assert line.p99 == 0.3
    assert (line.sent_rate, line.update_rate) == (0, 0)


def test_rates_are_taken_over_the_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
    lines = ProgressLines()
    for second in range(10):
        total = ProcessProgress(sent=0 if second < 5 else 10 * (second - 4), updates=second)
        line = lines.next("measuring", 0.0, 2.0, 4, total)
    assert line.sent_rate == pytest.approx(50 / 6)
    assert line.update_rate == 1
