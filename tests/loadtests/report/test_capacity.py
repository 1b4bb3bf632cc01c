"""How the result of a search is shown: in the terminal at two widths, and as a page."""

import re
from html import unescape
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from chatswarm.loadtests.capacity.record import CapacityReport
from chatswarm.loadtests.capacity.search import perform
from chatswarm.loadtests.plugin.result import text_of
from chatswarm.loadtests.report.capacity import print_capacity, print_plan
from chatswarm.loadtests.report.capacity_page import capacity_page
from chatswarm.loadtests.report.capacity_words import load, p99_of, probe_words
from chatswarm.loadtests.system.units import about
from tests.loadtests.capacity.searched import ASKED, MadeUp, begun
from tests.loadtests.nasty import NASTY


def capacity_text(found: CapacityReport, width: int) -> str:
    return text_of(lambda console: print_capacity(console, found), width)


def report(folder: Path, made: MadeUp, wanted: float | None = None) -> CapacityReport:
    return perform(begun(folder), folder, made, wanted)


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_fits_and_says_the_limit_and_what_gave_out(tmp_path: Path, width: int) -> None:
    text = capacity_text(report(tmp_path, MadeUp(137)), width)
    assert " ✓ FOUND   steady by rate against http://127.0.0.1:8000" in text
    assert re.search(r"it held 134 messages/s; its limit is between 13\d and 1[45]\d \(90% sure\)", text)
    assert "gave out: the target" in text
    assert re.search(r"^ +160 +✗✗ +100 ms +never +▇{8} ", text, re.MULTILINE)
    assert re.search(r"^ +134 +✓✓✓✓ +100 ms +300 ms +▇ ", text, re.MULTILINE)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (MadeUp(1e9, rig=137, twice=137), "this is only a lower bound: what gave out is not the target"),
        (MadeUp(1e9), "this is only a lower bound: nothing gave out, so try a higher --to"),
        (MadeUp(10), "it did not hold 20 messages/s"),
        (MadeUp(10, machine=0.95), "no load was shown to hold"),  # whoever gave out
        (MadeUp(1e9, rig=137, twice=500), "with 2 processes, the load held: search again with --processes 2"),
        (MadeUp(137, undecided=True), "because 20 messages/s was undecided twice"),
    ],
)
def test_what_is_not_known_is_said(tmp_path: Path, made: MadeUp, expected: str) -> None:
    found = report(tmp_path, made)
    assert expected in " ".join(capacity_text(found, 80).split())
    assert "FOUND  " not in capacity_text(found, 80).replace("NOTHING FOUND", "")


def test_the_answer_to_at_least_comes_first(tmp_path: Path) -> None:
    shown = capacity_text(report(tmp_path, MadeUp(137), 100), 80)
    assert " ✓ SHOWN " in shown
    assert "at least 100 messages/s: it holds that" in shown
    refuted = capacity_text(report(tmp_path, MadeUp(137), 600), 80)
    assert " ✗ REFUTED " in refuted
    assert "at least 600 messages/s: it does not hold that" in refuted
    assert " ? CANNOT TELL " in capacity_text(report(tmp_path, MadeUp(137), 138), 80)


def test_the_plan_tells_the_time_and_what_is_kept(tmp_path: Path) -> None:
    output = StringIO()
    found = begun(tmp_path)
    print_plan(Console(file=output, width=80), found)
    assert f"20 to 1,280 messages/s against http://127.0.0.1:8000: at most {about(found.told)}" in (output.getvalue())
    assert "each probe is kept in" in output.getvalue()
    perform(found, tmp_path, MadeUp(137, stops_at=3))
    print_plan(Console(file=output, width=80), found)
    assert "goes on after 2 probes of before" in output.getvalue()


def test_a_probe_on_a_line(tmp_path: Path) -> None:
    probes = report(tmp_path, MadeUp(137, backlog=0.2)).probes
    assert probe_words(ASKED, probes[0]) == "✓     20 messages/s for 15 s: p99 300 ms, backlog +0.20 s/s"
    assert probe_words(ASKED, probes[3]) == (
        "✗    160 messages/s for 15 s: p99 never, backlog +0.20 s/s, not visible.p99 <= 2s"
    )
    assert probe_words(ASKED, probes[-1]).startswith("✓    175 messages/s for 15 s, against the null chat: ")
    probes[0].p99, probes[0].deliveries = None, 0
    assert p99_of(probes[0]) is None  # not measured, which is not the same as lost


def test_the_page_has_the_curve_every_probe_and_the_same_figures(tmp_path: Path) -> None:
    found = report(tmp_path, MadeUp(137))
    page = unescape(capacity_page(found).partition("</style>")[2])
    assert page.count("<figure") == 2
    for probe in found.probes:
        assert f"<code>{probe.folder}</code>" in page
    assert found.result is not None
    for text in found.result.evidence:
        assert text in page
    assert "✓ FOUND" in page
    assert "nan" not in page
    assert "inf" not in page


def test_a_page_without_any_probe(tmp_path: Path) -> None:
    page = capacity_page(report(tmp_path, MadeUp(137, stops_at=1)))
    assert "NOTHING FOUND" in page
    assert "interrupted" in page


@pytest.mark.parametrize("text", NASTY)
def test_nasty_texts_change_no_markup_and_control_no_terminal(tmp_path: Path, text: str) -> None:
    asked = msgspec.structs.replace(ASKED, scenario=text, target=text)
    found = perform(CapacityReport(asked, 100.0, folder=text), tmp_path, MadeUp(137, stops_at=2))
    found.probes[0].why = [text]
    page = capacity_page(found)
    assert "<script" not in page.lower()
    shown = capacity_text(found, 120)
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize(
    ("level", "text"), [(20, "20"), (34.65, "34.6"), (134.5, "134"), (1234.5, "1,234"), (0.5, "0.5")]
)
def test_loads_are_short(level: float, text: str) -> None:
    assert load(level) == text
