"""A comparison as people see it: words, the terminal, the page, Markdown and JUnit XML."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import pytest
from rich.console import Console

from chatswarm.loadtests.compare.decide import CompareSettings, RunPair, curves_of, decide
from chatswarm.loadtests.compare.live import ComparePlan, CompareProgress, LiveSide
from chatswarm.loadtests.compare.result import CompareNumber, CompareResult
from chatswarm.loadtests.report.compare_page import compare_page
from chatswarm.loadtests.report.compare_reports import compare_junit, compare_markdown
from chatswarm.loadtests.report.compare_text import announcement, current, pair_line, print_comparison
from chatswarm.loadtests.report.compare_wording import change, headline
from chatswarm.loadtests.testbed.messages import TestbedOptions
from tests.loadtests.compare.runs import run_of
from tests.loadtests.nasty import NASTY

SIX = [1.0, 1.02, 0.99, 1.01, 0.98, 1.0]


def pairs(times: float, lost: float = 0.0) -> list[RunPair]:
    """Six pairs: the new side takes so many times as long, and loses so many messages in each run."""

    def figures(x: float, lost: float) -> dict[str, float]:
        visible = math.inf if lost else 0.32
        return {"visible.p99": visible, "lost": lost, "notified.p50": 0.005 * x, "refetch.p50": 0.001 * x}

    return [(run_of(figures(x, 0)), run_of(figures(x * times, lost))) for x in SIX]


def result_of(times: float, lost: float = 0.0, names: tuple[str, str] = ("old", "new")) -> CompareResult:
    return decide(pairs(times, lost), CompareSettings(), names)


def printed(result: CompareResult, width: int = 80) -> str:
    output = StringIO()
    print_comparison(Console(file=output, width=width, no_color=True), result)
    return output.getvalue()


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.2, "+20%"), (1.094, "+9.4%"), (0.969, "−3.1%"), (1.0, "0.0%"), (1.0001, "0.0%"), (0.9999, "0.0%"),
        (2.9, "+190%"), (3.46, "× 3.5"), (12.4, "× 12"), (0.0, "−100%"), ("infinite", "∞"), (1234.0, "× 1,234"),
    ],
)  # fmt: skip
def test_a_ratio_in_words(ratio: CompareNumber, words: str) -> None:
    assert change(ratio) == words


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (result_of(1.5), "The new side is worse: notified.p50 +50%, refetch.p50 +50%."),
        (result_of(0.5), "The new side is better: notified.p50 −50%, refetch.p50 −50%; the same: lost."),
        (result_of(1.0), "The new side is the same, within 20%: lost, notified.p50, refetch.p50."),
        (
            result_of(1.0, 4.0),
            "The new side is worse: visible.p99 320 ms → lost, lost in 6 of 6 runs, before in 0 of 6.",
        ),
    ],
)
def test_the_outcome_in_a_sentence(result: CompareResult, words: str) -> None:
    assert headline(result) == words


def test_it_fits_into_80_columns_and_says_what_hides_the_chat() -> None:
    lines = [line.rstrip() for line in printed(result_of(1.5)).splitlines()]
    assert max(map(len, lines)) <= 80
    (hidden,) = (line for line in lines if "visible.p99 " in line and "hides" in line)
    assert hidden.split() == ["·", "visible.p99", "320", "ms", "320", "ms", "0.0%", "0.0%", "…", "0.0%", "hides"]
    assert "  visible.p99: 93% of it is the refetch interval: its stages decide" in lines
    (notified,) = (line for line in lines if "notified.p50 " in line and "worse" in line and "✗" in line)
    assert re.search(r"5 ms +7\.5 ms +\+50%", notified)


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_a_targets_name_is_only_text(name: str) -> None:
    result = result_of(1.5, names=(name, name))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x80-\x9f\u202e]", printed(result))
    page = compare_page(result, [])
    assert "<script" not in page
    assert "onload='" not in page
    compare_junit(result)
    assert "[d](http" not in compare_markdown(result)


class Tags(HTMLParser):
    """Which elements are open, and whether all were closed in order."""

    VOID = frozenset({"meta", "br", "hr", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(("times", "lost"), [(1.0, 0.0), (1.5, 0.0), (1.0, 4.0), (200.0, 0.0)])
def test_the_page_is_whole(times: float, lost: float) -> None:
    found = pairs(times, lost)
    result = decide(found, CompareSettings(), ("old", "new"))
    page = compare_page(result, curves_of(found, result.metrics))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not re.search(r"\b(nan|inf)\b", page)
    assert f"{'visible.p99' if lost else 'notified.p50'}, pair by pair" in page
    assert lost or "notified by percentile" in page


def test_lines_of_single_runs_have_no_names_and_move_no_others() -> None:
    found = pairs(1.5)
    result = decide(found, CompareSettings(), ("old", "new"))
    assert not re.search(r'<text[^>]*class="name[^>]*></text>', compare_page(result, curves_of(found, result.metrics)))


@pytest.mark.parametrize("side", [0, 1])
def test_a_pair_of_which_one_run_counts_is_no_slope(side: int) -> None:
    found = pairs(1.5)
    runs = list(found[2])
    runs[side] = replace(runs[side], outcome="undecided")
    result = decide([*found[:2], (runs[0], runs[1]), *found[3:]], CompareSettings(), ("old", "new"))
    assert "larger on the new side in 5 of 5 pairs" in compare_page(result, [])


def test_a_page_of_runs_that_count_nothing() -> None:
    found = [(run_of({}, outcome="undecided"), run_of({}, outcome="undecided", reasons=("the rig was starved",)))] * 3
    result = decide(found, CompareSettings())
    page = compare_page(result, curves_of(found, result.metrics))
    assert "new run runs/one does not count: the rig was starved" in page
    assert "pair by pair" not in page


def test_progress_in_words() -> None:
    side = LiveSide("http://new", run_of({}).scenario, TestbedOptions())
    plan = ComparePlan(side, side)
    assert announcement(plan).plain == (
        "busy: http://new against http://new, 6 pairs of runs of about 44 s each, in turns: 9 min, at most 14 min "
        "in all"
    )
    progress = CompareProgress(2, 6, "new", "http://new", 2, True, True, 400.0)
    assert current(progress, 45.0) == "pair 2 of 6, again: new, http://new, seed 2; about 6 min left"
    assert current(progress, 900.0).endswith("; about 0 s left")
    assert pair_line(result_of(1.0)) == (
        "pair 6: visible.p99 320 ms → 320 ms, lost 0 → 0, notified.p50 5 ms → 5 ms, refetch.p50 1 ms → 1 ms"
    )
