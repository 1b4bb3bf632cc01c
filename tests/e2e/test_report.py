"""`chatswarm report` on real runs: one that passes, one that fails under a fault, one with a cut history."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.judge.verdict import Verdict
from tests.loadtests.report.reader import Reader
from tests.loadtests.report.test_html import check_figures
from tests.loadtests.report.xsd import JUNIT, Schema
from tests.plants import Chat, LosesEveryTenth, serving

from .command import QUICK, Result, chatswarm, scenario
from .given import fault

# The rig may lag by a tenth of the limit: enough for two swarms at once beside other tests.
SLOS = ("visible.p99 <= 20s", "notified == expected")
HICCUP = fault("command", "500ms", "500ms", name="hiccup", start="echo '<b>begun</b>'", stop="true")


def run(folder: Path, chat: Chat, text: str, summary: Path) -> Result:
    folder.mkdir()
    env = {"GITHUB_STEP_SUMMARY": str(summary)}
    with serving(chat) as url:
        file = scenario(folder, text, SLOS)
        return chatswarm("run", file, "--target", url, "--out", "out", "--seed", "3", folder=folder, env=env)


def verdict_of(folder: Path) -> Verdict:
    return msgspec.json.decode((folder / "verdict.json").read_bytes(), type=Verdict)


def page_of(file: Path) -> Reader:
    return Reader(file.read_text(encoding="utf-8"))


def test_a_report_of_each_outcome(tmp_path: Path) -> None:
    good, bad, cut = tmp_path / "good", tmp_path / "bad", tmp_path / "cut"
    summary = tmp_path / "summary.md"
    with ThreadPoolExecutor(2) as pool:
        passed = pool.submit(run, good, Chat(), QUICK, summary)
        failed = pool.submit(run, bad, LosesEveryTenth(), QUICK + HICCUP, tmp_path / "other.md")
    assert passed.result().code == 0, passed.result().err
    assert failed.result().code == 1, failed.result().err

    # Written by `run` by default.
    for folder in (good / "out", bad / "out"):
        check_figures(page_of(folder / "report.html"), verdict_of(folder))
        assert (
            f"chatswarm run out/scenario.toml --target {verdict_of(folder).target}"
            in page_of(folder / "report.html").text
        )
    assert summary.read_text(encoding="utf-8").startswith("## ✅ PASS: quick")

    # Written again, from the history.
    flags = ("--html", "page.html", "--junit", "junit.xml", "--markdown", "summary.md")
    result = chatswarm("report", "out", *flags, folder=bad)
    assert (result.code, result.out) == (1, ""), result.err
    assert "✗ FAIL" in result.err
    check_figures(page_of(bad / "page.html"), verdict_of(bad / "out"))
    assert "<b>begun</b>" in page_of(bad / "page.html").text
    document = (bad / "junit.xml").read_bytes()
    assert Schema(JUNIT).problems(document) == []
    assert int(ElementTree.fromstring(document).attrib["failures"]) > 0
    assert (bad / "summary.md").read_text(encoding="utf-8").startswith("## ❌ FAIL: quick")

    # With a history that is cut afterwards, `verdict.json` no longer holds.
    shutil.copytree(good / "out", cut)
    (name, *_) = json.loads((cut / "manifest.json").read_text(encoding="utf-8"))["processes"]
    data = history_file(cut, name).read_bytes()
    history_file(cut, name).write_bytes(data[: len(data) * 2 // 3])
    result = chatswarm("report", str(cut), "--junit", "cut.xml", "--html", "cut.html", folder=tmp_path / "cwd")
    assert result.code == 3, result.err
    assert "verdict.json says pass, but its history now gives undecided" in result.err
    document = (tmp_path / "cwd" / "cut.xml").read_bytes()
    assert Schema(JUNIT).problems(document) == []
    assert ElementTree.fromstring(document).attrib["failures"] == "0"
    assert int(ElementTree.fromstring(document).attrib["errors"]) > 0
    assert "is not whole" in page_of(tmp_path / "cwd" / "cut.html").text


class TestRefusedBeforeAnythingIsWritten:
    """Exit code 2, and a one-line error."""

    def test_a_folder_that_is_no_run(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for folder in ("nowhere", "empty"):
            result = chatswarm("report", folder, "--html", "page.html", folder=tmp_path)
            assert result.code == 2
            assert result.err == f"{folder}: expected the folder of a run, got no manifest.json in it\n"
        assert not (tmp_path / "page.html").exists()

    def test_a_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        from tests.loadtests.report.runs import passing, write

        write(passing(tmp_path / "run"))
        result = chatswarm("report", "run", "--html", "page.html", "--junit", "no/junit.xml", folder=tmp_path)
        assert result.code == 2
        assert result.err == "no/junit.xml: expected a file that can be written, got: No such file or directory\n"
        assert not (tmp_path / "page.html").exists()
