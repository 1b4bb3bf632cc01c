"""Trends as they are shown: every figure of them, and no text that becomes anything but text."""

import math
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from chatswarm.loadtests.compare.paired import Ratio
from chatswarm.loadtests.compare.trends import Trends, trends_of
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.report.trend_page import trend_page
from chatswarm.loadtests.report.trend_text import print_trends, trends_markdown
from chatswarm.loadtests.report.trend_words import headline, interval, signed, size, sparkline
from chatswarm.loadtests.system.text import one_line
from tests.loadtests.compare.verdicts_of_runs import days, kept, verdict_on
from tests.loadtests.nasty import NASTY, wrong_in

from .reader import Reader
from .test_nasty import shape_of


def slower(text: str = "steady") -> Trends:
    """A new change, another machine, an undecided run and an unsound rig, with this text wherever one can be."""
    runs = kept(
        *days(12, scenario=text, processor=text),
        verdict_on(12, 0.3, "undecided", scenario=text),
        verdict_on(13, 0.4, "fail", scenario=text, processor="other"),
        verdict_on(14, 0.4, "fail", scenario=text, processor=text, sound=False),
        *days(3, 0.4, begin=15, scenario=text, processor=text),
    )
    return trends_of([type(run)(Path(f"{text}/{text}"), run.started, run.verdict) for run in runs])


def printed(trends: Trends, width: int = 200) -> str:
    output = StringIO()
    print_trends(Console(file=output, width=width, no_color=True, force_terminal=False), trends)
    return output.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_what_changed(width: int) -> None:
    shown = printed(slower(), width)
    assert "✗ WORSE   steady: visible.p99 +33 %" in shown
    assert "300 ms → 400 ms" in shown
    assert "new, worse" in shown
    assert "2026-01-16 00:00" in shown
    assert "latencies left out, because the rig was not sound" in shown
    assert "left out, because undecided" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_nasty_texts(text: str) -> None:
    trends = slower(text)
    shown = printed(trends)
    assert wrong_in(shown) == []
    assert one_line(text)[:20] in shown
    markdown = trends_markdown(trends)
    assert wrong_in(markdown) == []
    assert shape_of(markdown) == shape_of(trends_markdown(slower()))
    page = trend_page(trends)
    assert wrong_in(page) == []
    assert Reader(page).tags == Reader(trend_page(slower())).tags


def test_the_page_has_every_figure() -> None:
    reader = Reader(trend_page(slower()))
    rows = reader.rows("visible.p99")
    assert rows["2026-01-16 00:00"][:2] == ["400 ms", "pass"]
    assert rows["2026-01-15 00:00"][:2] == ["–", "fail"]
    assert reader.rows("Change points, the newest first")["visible.p99"][:4] == [
        "new, worse", "2026-01-16 00:00", "300 ms → 400 ms", "+33 % (+32 to +35 %)",
    ]  # fmt: skip


def test_a_page_without_runs_or_with_infinite_figures_only() -> None:
    assert "too few runs to tell" in trend_page(trends_of([]))
    page = trend_page(trends_of(kept(*(verdict_on(day, None) for day in range(12)))))
    assert 'class="rail"' in page
    assert 'class="rail"' not in trend_page(slower())


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ([], "too few runs to tell: expected at least 10, none was decided"),
        (days(3), "too few runs to tell: expected at least 10, steady has 3"),
        (days(12), "no new change for the worse"),
        ([*days(12), *days(3, 0.6, begin=12)], "steady: visible.p99 +100 %"),
    ],
)
def test_the_headline(runs: list[Verdict], told: str) -> None:
    assert headline(trends_of(kept(*runs))) == told


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (1.21, "+21 %"),
        (0.92, "−8.0 %"),
        (1.056, "+5.6 %"),
        (2.5, "+150 %"),
        (12, "× 12"),
        (math.inf, "∞"),
        (0, "−100 %"),
    ],
)  # fmt: skip
def test_the_size_of_a_change(ratio: float, shown: str) -> None:
    assert signed(ratio) == shown


def test_a_change_with_its_interval() -> None:
    assert size(Ratio(1.21, 1.15, 1.27, 15)) == "+21 % (+15 to +27 %)"
    assert interval(Ratio(math.inf, 3.0, math.inf, 15)) == "+200 % to ∞"


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        ([1.0, 1.01, 0.99], "▁▁▁"), ([1.0, 2.0, 4.0], "▁▅█"), ([0.0, 0.0, 12.0], "▁▁█"), ([], ""),
        ([1.0, None, math.inf], "▁ ∞"), ([9.0, 1.0, 1.0], "▁▁"), ([0.0, 0.0], "▁▁"),
    ],
)  # fmt: skip
def test_a_sparkline(figures: list[float | None], shown: str) -> None:
    assert sparkline(figures, 2 if figures[:1] == [9.0] else 3) == shown
