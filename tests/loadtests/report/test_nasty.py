"""Nasty texts in every field that comes from outside, in every output: all of them stay plain text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import msgspec
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from chatswarm.loadtests.judge.judge import judged
from chatswarm.loadtests.judge.verdict import Example, FaultSummary, Finding, Recovery, SloResult, Verdict
from chatswarm.loadtests.report import wording
from chatswarm.loadtests.report.figures import ReportFigures, figures_of
from chatswarm.loadtests.report.html import page
from chatswarm.loadtests.report.junit import junit
from chatswarm.loadtests.report.markdown import data, markdown
from chatswarm.loadtests.report.terminal import LiveLine, print_verdict
from chatswarm.loadtests.system.progress import RunProgress
from chatswarm.loadtests.system.text import encodable, one_line
from tests.loadtests.nasty import NASTY, wrong_in

from .runs import failing, write


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ReportFigures:
    return figures_of(judged(write(failing(tmp_path_factory.mktemp("failing")))))


def filled(plain: ReportFigures, text: str) -> ReportFigures:
    """The run with this text in every field that comes from a user, a file or the target."""
    verdict = msgspec.convert(msgspec.to_builtins(plain.verdict), Verdict)
    verdict.scenario = verdict.target = verdict.folder = text
    verdict.reasons = [text, f"because {text}"]
    verdict.rig.reasons = [text]
    verdict.notes = [text]
    verdict.slos.append(SloResult(f"lost during '{text}' == 0", 1.0, "fail") if "'" not in text else verdict.slos[0])
    for finding in verdict.findings:
        for example in finding.examples:
            example.uid, example.chat, example.fault, example.detail = text, text, text, text
    verdict.findings.append(Finding(text, "fail", 1))
    verdict.faults = [FaultSummary(text, text, 1.0, 2.0, {text: text, "n": 3.0})]
    verdict.recoveries = [Recovery(text, 1.0, 2.0, reason=text)]
    worst = (Example(text, text, 1, fault=text, detail=text), Example(detail=text))
    cases = tuple(replace(case, name=text, why=(text,), examples=worst) for case in plain.cases)
    return ReportFigures(
        verdict=verdict,
        cases=cases,
        repeat=text,
        target=plain.target,
        lag_limit=plain.lag_limit,
        notes=(text,),
        spans=plain.spans,
        lags=plain.lags,
    )


def terminal_of(verdict: Verdict) -> str:
    output = StringIO()
    print_verdict(Console(file=output, width=200, no_color=True, force_terminal=False), verdict)
    return output.getvalue()


texts = pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)


@texts
def test_the_terminal(plain: ReportFigures, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "actual", lambda _: "1")
    monkeypatch.setattr("chatswarm.loadtests.report.terminal.actual", lambda _: "1")
    monkeypatch.setattr("chatswarm.loadtests.report.terminal.margin", lambda _: "")
    shown = terminal_of(filled(plain, text).verdict)
    assert wrong_in(shown) == []
    head = next(line for line in shown.splitlines() if "FAIL" in line)
    assert head.strip() == f"✗ FAIL   {one_line(text)} against {one_line(text)}".strip()
    assert f"because {one_line(text)}" in re.sub(r"\s+", " ", shown) or "  " in text or len(text) > 60


@texts
@pytest.mark.parametrize("live", [False, True])
def test_the_live_line(text: str, live: bool) -> None:
    file = StringIO()
    console = Console(file=file, width=200, no_color=True, force_terminal=live, legacy_windows=False)
    with LiveLine(console, live) as line:
        line.say(text)
        counts = dict.fromkeys((name for name in RunProgress.__struct_fields__ if name not in ("phase", "p99")), 1)
        line.show(RunProgress(phase=text, p99=None, **counts))
        line.step(text, 1, 2)
    shown = file.getvalue()
    # Remove Rich's own escape sequences: colours, cursor movements, redrawn lines.
    own = re.sub(r"\x1b\[[?\d;]*[A-Za-z]|\r", "", shown) if live else shown
    assert wrong_in(own) == []
    assert "\x1b[2J" not in shown
    assert "\x1b]8" not in shown
    assert one_line(text) in own


@texts
def test_markdown(plain: ReportFigures, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "actual", lambda _: "1")
    monkeypatch.setattr(wording, "margin", lambda _: "")
    before, made = markdown(filled(plain, "plain")), markdown(filled(plain, text))
    assert wrong_in(made) == []
    made.encode()
    assert shape_of(made) == shape_of(before)


def shape_of(made: str) -> list[str]:
    """The elements that GitHub Markdown renders, without their texts."""
    parser = MarkdownIt("gfm-like", {"linkify": False}).enable(["table", "strikethrough"])
    shape = []
    for token in parser.parse(made):
        shape.append(token.type + token.tag)
        shape += [
            child.type + child.tag for child in token.children or [] if child.type not in ("text", "text_special")
        ]
    return shape


@texts
def test_data_in_markdown_reads_back_unchanged(text: str) -> None:
    line = " ".join(text.split())
    for before in ("", "## ", "- ", "> ", "a "):
        (*_, inline) = [
            token for token in MarkdownIt("commonmark").parse(before + data(text)) if token.type == "inline"
        ]
        shown = "".join(child.content for child in inline.children or [])
        # Markdown drops spaces at the end of a line.
        assert (shown.removeprefix("a ") if before == "a " else shown) == one_line(line).rstrip()


@texts
def test_html(plain: ReportFigures, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "actual", lambda _: "1")
    monkeypatch.setattr(wording, "share_of_limit", lambda _: None)
    before, made = page(filled(plain, "plain")), page(filled(plain, text))
    assert wrong_in(made) == []
    made.encode()
    assert tags_of(made)[0] == tags_of(before)[0]
    assert one_line(text).strip() in tags_of(made)[1]


def tags_of(made: str) -> tuple[list[str], str]:
    tags: list[str] = []
    texts: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(f"{tag} {sorted(name for name, _ in attrs)}")

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(made)
    return tags, "".join(texts)


@texts
def test_junit(plain: ReportFigures, text: str) -> None:
    figures = filled(plain, text)
    made = junit(figures)
    root = ElementTree.fromstring(made)
    assert wrong_in(made.decode()) == []
    assert root.attrib["name"] == f"chatswarm {one_line(text)}"
    assert {found.attrib["value"] for found in root.iter("property") if found.attrib["name"] == "target"} == {
        one_line(text)
    }


@texts
def test_verdict_json_is_raw_and_accepts_any_text(plain: ReportFigures, text: str) -> None:
    verdict = filled(plain, text).verdict
    found = json.loads(verdict.json())
    assert found["scenario"] == found["faults"][0]["evidence"][encodable(text)] == encodable(text)
    if encodable(text) == text:
        assert msgspec.json.decode(verdict.json(), type=Verdict) == verdict


@texts
def test_words_are_one_line(plain: ReportFigures, text: str) -> None:
    verdict = filled(plain, text).verdict
    example = verdict.findings[0].examples[0]
    verdict.verdict, verdict.exit_code = "undecided", 3
    for line in (wording.example(example), wording.headline(verdict), wording.evidence(text)):
        assert wrong_in(line, ours="") == []
        assert one_line(text) in line
