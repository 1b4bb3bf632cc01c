"""The cause of a finding stands wherever the verdict is shown, and data in it never becomes markup."""

import html
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console

from chatswarm.loadtests.judge.judge import Judged, judged, write_verdict
from chatswarm.loadtests.plugin.result import read
from chatswarm.loadtests.report.figures import figures_of
from chatswarm.loadtests.report.html import page
from chatswarm.loadtests.report.junit import junit
from chatswarm.loadtests.report.markdown import markdown
from chatswarm.loadtests.report.terminal import print_verdict
from tests.loadtests.judge.play import Plant, Play

SENTENCE = "2 lost: accepted, but never stored"
NASTY = "<img src=x>|`*"


def run(folder: Path) -> Judged:
    return judged(Play(folder, plants={(0, 2): Plant(stored=0)}).perform().write())


def nasty(folder: Path) -> Judged:
    """A run whose only cause names a chat with markup in its name."""
    play = Play(
        folder, widgets=4, rate=8, seconds=8, plants={(0, n): Plant(unseen_by={0, 1}) for n in range(20)}
    ).perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "chat" and values[0] == 0:
            rows[at] = (table, (*values[:2], NASTY))
    return judged(play.write())


def test_the_terminal(tmp_path: Path) -> None:
    out = StringIO()
    print_verdict(Console(file=out, width=100), run(tmp_path).verdict)
    first_screen = out.getvalue().splitlines()[:8]
    assert any(SENTENCE in line for line in first_screen)
    assert any("chatswarm why" in line for line in first_screen)


def test_the_page_has_it_before_the_sections(tmp_path: Path) -> None:
    document = page(figures_of(run(tmp_path)))
    assert SENTENCE in document.partition("<nav")[0]
    assert "absent in the final read, and never shown to anybody" in document


def test_junit_and_markdown(tmp_path: Path) -> None:
    figures = figures_of(run(tmp_path))
    failures = [one.get("message", "") for one in ElementTree.fromstring(junit(figures)).iter("failure")]
    assert any(SENTENCE in message for message in failures)
    assert f"- {SENTENCE.replace(':', '&#58;')}" in markdown(figures)


def test_the_plugin(tmp_path: Path) -> None:
    judgement = run(tmp_path)
    write_verdict(tmp_path, judgement.verdict)
    assert SENTENCE in read(tmp_path).text()


def test_a_verdict_without_a_finding_names_no_cause(tmp_path: Path) -> None:
    verdict = judged(Play(tmp_path).perform().write()).verdict
    out = StringIO()
    print_verdict(Console(file=out, width=100), verdict)
    assert "chatswarm why" not in out.getvalue()


def test_names_in_causes_are_no_markup(tmp_path: Path) -> None:
    figures = figures_of(nasty(tmp_path))
    document = page(figures)
    assert NASTY in figures.verdict.findings[0].cause
    assert "<img" not in document
    assert html.escape(NASTY) in document
    assert "<img" not in markdown(figures)


def test_a_missed_slo_on_latency_is_explained(tmp_path: Path) -> None:
    plants = {(widget, n): Plant(slow=0.7) for widget in range(2) for n in range(20)}
    play = Play(tmp_path, rate=1, seconds=10, plants=plants).perform()
    result = judged(play.write(), ["visible.p99 <= 500ms"]).verdict.slos[0]
    assert (result.outcome, result.cause.startswith("20 over visible.p99 <= 500ms: their frames came")) == (
        "fail",
        True,
    )
