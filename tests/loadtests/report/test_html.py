import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatswarm.loadtests.history.manifest import TARGET
from chatswarm.loadtests.judge.verdict import Quantiles, Verdict
from chatswarm.loadtests.report import wording
from chatswarm.loadtests.report.build import figures_again
from chatswarm.loadtests.report.figures import figures_of
from chatswarm.loadtests.report.html import page
from chatswarm.loadtests.scenario.metric_names import LATENCIES, QUANTILES
from chatswarm.loadtests.system.units import human
from tests.bench.generated import GeneratedRun
from tests.loadtests.judge.play import T0, Play

from .reader import Reader
from .runs import HOSTILE, failing, passing, undecided, write


def read(folder: Path) -> tuple[Reader, Verdict, str]:
    """The page of a run, and the verdict in its `verdict.json`."""
    document = page(figures_again(folder))
    verdict = msgspec.json.decode((folder / "verdict.json").read_bytes(), type=Verdict)
    return Reader(document), verdict, document


def check_figures(reader: Reader, verdict: Verdict) -> None:
    """Asserts that every figure of the verdict is on the page, unchanged."""
    latencies = reader.rows("Exact quantiles; a lost delivery counts as infinite")
    for name in LATENCIES:
        quantiles: Quantiles = getattr(verdict.latency, name)
        values = [getattr(quantiles, key) for key in QUANTILES]
        shown = ["lost" if value is None and quantiles.count else human(value) for value in values]
        assert latencies[name] == [*shown, f"{quantiles.count:,}"]
    slos = reader.rows("SLOs and their actual values") if verdict.slos else {}
    for result in verdict.slos:
        assert slos[result.expect][:2] == [
            f"{wording.MARKS[result.outcome]} {result.outcome}",
            wording.actual(result),
        ]
    findings = reader.rows("What the checks looked for, and how often they found it")
    for finding in verdict.findings:
        assert findings[finding.check][0].endswith(finding.outcome)
        assert findings[finding.check][1] in (f"{finding.count:,}", "not measured")
        for example in finding.examples:
            assert example.uid in reader.text
            assert example.detail in reader.text
    balance = reader.rows("Every message, delivery and frame accounted for")
    deliveries, messages, frames = verdict.deliveries, verdict.messages, verdict.frames
    unclear = f"{messages.unknown:,}"
    assert balance["messages sent"] == [
        f"{messages.sent:,}",
        f"{messages.accepted:,} accepted + {messages.rejected:,} rejected + {unclear} without a clear response",
    ]
    assert balance["deliveries expected"] == [
        f"{deliveries.expected:,}",
        " + ".join(f"{getattr(deliveries, name):,} {name}" for name in ("visible", "lost", "excused", "unproven")),
    ]
    assert balance["frames due"][0] == f"{frames.due:,}"
    assert balance["frames received"][0] == f"{frames.received:,}"
    rig = reader.rows("Health of the load-generating side")
    assert rig["loop lag, p99"][0] == human(verdict.rig.lag_p99)
    assert rig["late sends"][0] == f"{verdict.rig.late_sends:,}"
    machine = verdict.rig.machine
    if machine is not None and machine.cpu is not None:
        assert rig["CPU of the machine"] == [f"{machine.cpu:.2f}", f"of {machine.cores} cores, in its busiest second"]
        assert rig["pressure on CPU"][0] == ("–" if machine.cpu_pressure is None else f"{machine.cpu_pressure:.1%}")
    assert ("pressure on I/O" in rig) == (machine is not None)
    for process in verdict.target_processes:
        pid, cpu, memory = reader.rows("The target's processes")[process.name]
        assert pid == str(process.pid)
        assert cpu == ("–" if process.cpu is None else f"{process.cpu:.0%}")
        assert memory == f"{process.memory / 1e6:.0f} MB"
    for reason in [*verdict.reasons, *verdict.rig.reasons]:
        assert reason in reader.text
    if verdict.connections.codes:
        codes = reader.rows("Lost connections by close code")
        assert {code: row[0] for code, row in codes.items()} == {
            code: f"{times:,}" for code, times in verdict.connections.codes.items()
        }
    if verdict.recoveries:
        recoveries = reader.rows("Recovery from each fault")
        for recovery in verdict.recoveries:
            assert recoveries[recovery.name][1] == f"{recovery.start:.1f} s"
            whole = recoveries[recovery.name][7].removeprefix("≥ ")
            assert whole == human(recovery.whole_again if recovery.at_least is None else recovery.at_least)
    for fault in verdict.faults:
        proof = reader.rows("Evidence that each fault took place")[fault.name][1]
        said = ", ".join(f"{key} {wording.evidence(value)}" for key, value in fault.evidence.items())
        assert proof == (said or "left no evidence")
    assert f"{wording.MARKS[verdict.verdict]} {verdict.verdict.upper()}" in reader.text
    assert f"seed {verdict.seed}" in reader.text


@pytest.mark.parametrize("make", [passing, failing])
def test_every_figure_of_the_verdict_is_on_the_page(make: Any, tmp_path: Path) -> None:
    reader, verdict, _ = read(write(make(tmp_path)))
    assert verdict.verdict == ("pass" if make is passing else "fail")
    check_figures(reader, verdict)


def test_an_undecided_run_says_why(tmp_path: Path) -> None:
    figures = figures_again(undecided(tmp_path))
    assert figures.verdict.verdict == "undecided"
    assert "says pass" in figures.notes[0]
    reader = Reader(page(figures))
    check_figures(reader, figures.verdict)
    assert figures.notes[0] in reader.text


def test_a_run_that_did_not_begin(tmp_path: Path) -> None:
    play = passing(tmp_path).perform()
    play.manifest.start = play.manifest.end = None
    play.write()
    figures = figures_again(tmp_path)
    reader = Reader(page(figures))
    assert "not measured" in reader.text
    assert not [attributes for tag, attributes in reader.tags if tag == "figure"]
    assert {case.outcome for case in figures.cases} == {"undecided"}


def test_what_was_used_has_charts_and_tables(tmp_path: Path) -> None:
    reader, verdict, _ = read(write(passing(tmp_path)))
    assert {process.name: process.cpu for process in verdict.target_processes} == {"chat": 0.5, "worker": 0.125}
    cores = reader.rows("CPU of the target's processes and of the load generator's machine")
    assert cores["2.0 s"] == ["3.0 s", "0.62", "0.75"]
    assert cores["3.0 s"] == ["4.0 s", "0.38", "–"]
    assert reader.rows("Pressure on the load generator's machine")["5.0 s"] == ["6.0 s", "60.0%", "5.0%", "0.0%"]
    labels = [
        str(attributes["aria-label"]) for tag, attributes in reader.tags if tag == "svg" if "aria-label" in attributes
    ]
    assert sum(label.endswith("over time: target at most 0.62, machine at most 1.50.") for label in labels) == 2


def test_of_many_processes_of_the_target_the_busiest_are_shown(tmp_path: Path) -> None:
    play = passing(tmp_path)
    for pid in range(100, 120):
        play.row(TARGET, "process", T0 + 5, pid, f"p{pid}", pid / 100, 1)
    reader, _, _ = read(write(play))
    shown = reader.rows("The busiest of the target's 22 processes")
    assert list(shown) == [f"p{pid}" for pid in range(119, 113, -1)]


class TestThePageIsSelfContained:
    def test_it_loads_no_url(self, tmp_path: Path) -> None:
        reader, _, document = read(write(failing(tmp_path)))
        for tag, attributes in reader.tags:
            assert tag not in ("script", "link", "img", "iframe", "object", "base")
            for name, value in attributes.items():
                assert not name.startswith("on")
                assert name not in ("src", "style", "srcset", "xlink:href")
                assert name != "href" or (value or "").startswith("#")
        assert "url(" not in document
        assert "@import" not in document
        assert set(re.findall(r"https?://[^\s<\"']*", document)) == {"http://chat"}

    def test_the_policy_allows_only_its_own_style_sheet(self, tmp_path: Path) -> None:
        import base64
        import hashlib

        reader, _, document = read(write(passing(tmp_path)))
        (policy,) = [a["content"] for tag, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
        (style,) = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def hostile(folder: Path) -> Path:
    """A run with markup in every name that comes from outside."""
    play = failing(folder)
    play.manifest.target = f"http://chat/{HOSTILE}"[:-1]
    play.manifest.scenario = HOSTILE[:-1]
    play.manifest.processes.append(TARGET)
    play.rows[TARGET] = []
    play.row(TARGET, "process", T0 + 1, 7, "<b>" + HOSTILE[:-1], 0.5, 1)
    play.manifest.troubles = [f"trouble {HOSTILE}"[:-1]]
    play.fault("<img src=x onerror=alert(2)>", 4.0, 5.0, "down", {"<script>": "<script>alert(3)</script>"})
    return write(play)


def test_data_does_not_become_markup(tmp_path: Path) -> None:
    reader, _, document = read(hostile(tmp_path))
    assert not [tag for tag, _ in reader.tags if tag in ("script", "img")]
    assert "<script" not in document
    assert '<script>alert("1")</script> & `*|*' in reader.text
    assert "<img src=x onerror=alert(2)>" in reader.text
    assert "\x07" not in document


def test_markup_in_a_message_is_shown_as_text(tmp_path: Path) -> None:
    from chatswarm.loadtests.judge.judge import judged

    run = judged(write(failing(tmp_path)))
    for finding in run.verdict.findings:
        for example in finding.examples:
            example.uid, example.detail, example.fault = HOSTILE, HOSTILE, HOSTILE
    document = page(figures_of(run))
    document.encode()
    assert "<script" not in document
    assert '<script>alert("1")</script> & `*|*' in Reader(document).text


class TestAccessibility:
    @pytest.fixture
    def reader(self, tmp_path: Path) -> Reader:
        return read(write(failing(tmp_path)))[0]

    def test_every_chart_has_a_text_alternative(self, reader: Reader) -> None:
        charts = [a for tag, a in reader.tags if tag == "svg" and a.get("aria-hidden") != "true"]
        assert len(charts) > 10
        assert all(a["role"] == "img" and len(a["aria-label"] or "") > 20 for a in charts)
        assert sum(tag == "figure" for tag, _ in reader.tags) == sum(tag == "figcaption" for tag, _ in reader.tags)

    def test_every_table_has_a_caption_and_scrolls_by_keyboard(self, reader: Reader) -> None:
        kinds = [tag for tag, _ in reader.tags]
        assert kinds.count("table") == kinds.count("caption")
        around = [a for tag, a in reader.tags if a.get("class") == "scroll"]
        assert len(around) == kinds.count("table")
        assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in around)
        assert all(a.get("scope") in ("row", "col") for tag, a in reader.tags if tag == "th")

    def test_every_link_has_a_destination(self, reader: Reader) -> None:
        assert len(reader.ids) == len(set(reader.ids))
        links = [(a["href"] or "").removeprefix("#") for tag, a in reader.tags if tag == "a"]
        assert set(links) <= set(reader.ids)

    def test_headings_skip_no_level(self, reader: Reader) -> None:
        levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert dict(reader.tags)["html"]["lang"] == "en"


def test_the_page_of_a_million_deliveries_is_small(tmp_path: Path) -> None:
    GeneratedRun(dashboards=200, messages=5000, fault=True).write(tmp_path / "run")
    figures = figures_again(tmp_path / "run")
    assert figures.verdict.deliveries.expected == 1_000_000
    assert len(page(figures).encode()) < 500_000
    check_figures(Reader(page(figures)), figures.verdict)


def test_the_page_has_the_command_that_repeats_the_run(tmp_path: Path) -> None:
    play: Play = passing(tmp_path)
    play.manifest.command = ["chatswarm", "run", "a b/scenario.toml", "--seed", "7"]
    reader, _, _ = read(write(play))
    assert "chatswarm run 'a b/scenario.toml' --seed 7" in reader.text
    play.manifest.command = []
    reader, _, _ = read(write(play))
    assert f"chatswarm run {tmp_path}/scenario.toml --target http://chat --protocol reference --seed 7" in reader.text
