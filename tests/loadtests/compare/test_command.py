"""`chatswarm compare`: its output, exit codes and files, and every refusal in a line."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chatswarm.loadtests import cli
from chatswarm.loadtests.run.run import CannotRunError, Run
from chatswarm.loadtests.system.children import free_port
from tests.loadtests.nasty import NASTY

from .runs import played, played_pairs

FEW = [0.0, 0.01, 0.02]
ON = ("--on", "notified.p50,lost")


def compare(*words: str | Path) -> Any:
    return CliRunner().invoke(cli.app, ["compare", *map(str, words)])


def refusal(*words: str | Path) -> list[str]:
    result = compare(*words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines: list[str] = result.output.splitlines()
    return lines


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `base-1` … and `new-1` … that are alike, `slow-…` whose frames are 0.3 s later, and `mixed-…`."""
    root = tmp_path_factory.mktemp("runs")
    played_pairs(root, FEW, FEW)
    for name, later in {"slow": [0.3 + more for more in FEW], "mixed": FEW[::-1]}.items():
        for number, folder in enumerate(played_pairs(root / name, FEW, later)[1], 1):
            shutil.move(folder, root / f"{name}-{number}")
    return root


def test_a_shells_globs_are_the_sides(recorded: Path) -> None:
    """As typed: the shell makes several words of each glob, and options may stand anywhere."""
    script = (
        f"{sys.executable} -m chatswarm.loadtests.entry compare base-* --against slow-* --on lost,notified.p50 --json"
    )
    done = subprocess.run(script, shell=True, cwd=recorded, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert [run["folder"] for run in result["base"]["runs"]] == ["base-1", "base-2", "base-3"]
    assert [run["folder"] for run in result["new"]["runs"]] == ["slow-1", "slow-2", "slow-3"]
    assert {metric["metric"]: metric["outcome"] for metric in result["metrics"]} == {
        "lost": "same", "notified.p50": "worse",
    }  # fmt: skip
    assert "judging" not in done.stderr


@pytest.mark.parametrize(
    ("base", "new", "options", "code", "word"),
    [
        ("base", "new", (), 0, "SAME"),
        ("base", "slow", (), 1, "WORSE"),
        ("slow", "base", (), 0, "BETTER"),
        ("base", "slow", ("--confidence", "99.9%"), 3, "CANNOT TELL"),
        ("base", "mixed", (), 3, "CANNOT TELL"),
    ],
)
def test_outcomes_and_exit_codes(
    base: str, new: str, options: tuple[str, ...], code: int, word: str, recorded: Path
) -> None:  # fmt: skip
    sides = [[recorded / f"{side}-{number}" for number in (1, 2, 3)] for side in (base, new)]
    result = compare(*sides[0], "--against", *sides[1], *ON, *options)
    assert result.exit_code == code, result.output
    assert f" {word} " in result.output
    if code == 3:
        assert re.search(r"About \d+ more pairs? would tell", " ".join(result.output.split()))


def test_runs_in_blocks_cannot_tell_unless_asked_for(tmp_path: Path) -> None:
    folders = [played(tmp_path / str(number), number, 0.3 if number >= 3 else 0.01 * number) for number in range(6)]
    sides: list[str | Path] = [*folders[:3], "--against", *folders[3:]]
    blocks = compare(*sides, *ON)
    assert blocks.exit_code == 3
    assert "runs did not take turns" in " ".join(blocks.output.split())
    assert compare(*sides, *ON, "--assume-no-drift").exit_code == 1


def test_all_reports(recorded: Path, tmp_path: Path) -> None:
    sides = [[recorded / f"{side}-{number}" for number in (1, 2, 3)] for side in ("base", "slow")]
    files = {name: tmp_path / name for name in ("c.html", "c.xml", "c.md")}
    options = ("--html", files["c.html"], "--junit", files["c.xml"], "--markdown", files["c.md"])
    result = compare(*sides[0], "--against", *sides[1], *ON, *options, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["comparison.html", "comparison.json"]
    html = files["c.html"].read_text(encoding="utf-8")
    assert html == (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "<script" not in html
    for part in (
        "The metrics",
        "How much the new side differs",
        "notified.p50, pair by pair",
        "notified by percentile",
    ):
        assert part in html
    suites = ElementTree.parse(files["c.xml"]).getroot()
    assert suites.attrib["failures"] == "1"
    cases = {case.attrib["name"]: [each.tag for each in case] for case in suites.iter("testcase")}
    assert cases["notified.p50"] == ["failure", "system-out"]
    assert cases["lost, runs"] == ["system-out"]
    markdown = files["c.md"].read_text(encoding="utf-8")
    assert markdown.startswith("## ❌ WORSE: ")
    assert "| ✅ | lost" in markdown


def test_every_problem_of_the_options_is_told_at_once() -> None:
    lines = refusal("a", "--against", "b", "--on", "visble.p99", "--margin", "wide", "--repeat", "4")
    assert [line.partition(":")[0] for line in lines] == ["--on", "--margin", "--repeat"]
    assert lines[0].endswith("got 'visble.p99' (did you mean visible.p99?)")


class TestRefusedFolders:
    def test_without_a_side(self, recorded: Path) -> None:
        expected = "expected BASE... --against NEW...: folders of runs, or the URLs of two chats"
        assert refusal() == [expected]
        assert refusal(recorded / "base-1", recorded / "new-1") == [expected]

    def test_fewer_than_three_pairs(self, recorded: Path) -> None:
        sides = [[recorded / f"{side}-{number}" for number in (1, 2)] for side in ("base", "new")]
        assert refusal(*sides[0], "--against", *sides[1]) == ["expected at least 3 runs of each side, got 2"]

    def test_a_folder_that_is_no_run(self, recorded: Path) -> None:
        sides = [[recorded / f"{side}-{number}" for number in (1, 2, 3)] for side in ("base", "new")]
        (line,) = refusal(*sides[0], "--against", *sides[1][:2], recorded)
        assert line == f"{recorded}: expected the folder of a run, got no manifest.json in it"

    def test_another_scenario(self, recorded: Path, tmp_path: Path) -> None:
        other = played(tmp_path / "other", 9, rate=4.0)
        lines = refusal(
            recorded / "base-1", recorded / "base-2", recorded / "base-3", "--against",
            recorded / "new-1", recorded / "new-2", other,
        )  # fmt: skip
        assert lines == [
            f"{other}: expected the same scenario (swarm.rate = 2.0, got 4.0) as {recorded / 'base-1'}"
        ]  # fmt: skip

    @pytest.mark.parametrize("name", [name for name in NASTY.values() if not re.search("[\0\ud800-\udbff]", name)])
    def test_a_folders_name_is_only_text(self, name: str) -> None:
        for line in refusal(f"./{name}", "b", "c", "--against", "d", "e", "f"):
            assert not re.search(r"[\x00-\x1f\x80-\x9f\u202e]", line)


class TestRefusedChats:
    def test_no_scenario(self) -> None:
        assert refusal("http://a", "--against", "http://b") == [
            "--scenario: expected the scenario to run against both chats, got none"
        ]

    def test_an_unknown_scenario(self) -> None:
        assert "(did you mean steady?)" in refusal("http://a", "--against", "http://b", "--scenario", "stedy")[0]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--repeat", "2"), "--repeat: expected at least 3 pairs, got 2"),
            (("--repeat", "0"), "--repeat: expected at least 3 pairs, got 0"),
            (("--max-time", "1m"), "--max-time: expected at least 84s, the time that 3 pairs take, got 60s"),
            (("--repeat", "4", "--until-decided"), "--repeat: expected no --until-decided"),
            (("--protocol", "pigeon"), "--protocol: expected one of"),
            (("--origin", "a/b"), "--origin: expected an origin"),
        ],
    )
    def test_options(self, words: tuple[str, ...], told: str) -> None:
        (line,) = refusal("http://a", "--against", "http://b", "--scenario", "smoke", *words)
        assert line.startswith(told)

    def test_a_folder_against_a_chat(self, recorded: Path) -> None:
        (line,) = refusal(recorded / "base-1", "--against", "http://b", "--scenario", "smoke")
        assert line.startswith("BASE: expected a URL such as ")

    def test_a_chat_that_does_not_answer_leaves_no_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        dead = f"http://127.0.0.1:{free_port()}"
        (line,) = refusal(dead, "--against", f"{dead}/other/", "--scenario", "smoke")[:1]
        assert line.startswith(f"expected an HTTP answer from {dead}")
        assert list(tmp_path.iterdir()) == []

    def test_wrong_flags_of_the_reference_chat_leave_no_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        def perform(_: Run) -> None:
            raise CannotRunError(["the reference backend does not know --wrokers"])

        monkeypatch.setattr(Run, "perform", perform)
        monkeypatch.chdir(tmp_path)
        flags = ("--base-backend", "", "--new-backend", "--wrokers 2", "--scenario", "smoke")
        assert refusal(*flags)[-1] == "the reference backend does not know --wrokers"
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_empty(self, tmp_path: Path) -> None:
        (tmp_path / "notes").touch()
        lines = refusal("--base-backend", "", "--new-backend", "", "--scenario", "smoke", "--out", tmp_path)
        assert lines[-1].startswith("--out: expected a new or an empty folder to write to, got: ")
        assert [path.name for path in tmp_path.iterdir()] == ["notes"]
