"""The command `chatswarm why`, on runs that were acted out on paper."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chatswarm.loadtests.cli import app
from chatswarm.loadtests.system.exit_code import ExitCode
from tests.loadtests.judge.play import Plant, Play

RUN = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which one message of widget 0 was lost on dashboard 1, and every other was shown."""
    return Play(tmp_path / "run", plants={(0, 2): Plant(stored=0)}).perform().write()


def why(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = RUN.invoke(app, ["why", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_an_explained_run(folder: Path) -> None:
    code, out, error = why(str(folder))
    assert (code, out) == (ExitCode.PASS, "")
    assert "2 lost: accepted, but never stored" in error
    assert f"chatswarm why {folder} testrun234.0.2" in error


def test_json_is_the_only_output(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chatswarm.loadtests.entry", "why", str(folder), "--json"],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == ExitCode.PASS, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "fail"
    lost = found["causes"][0]
    assert {key: lost[key] for key in ("id", "finding", "certainty", "deliveries", "coverage")} == {
        "id": "never_stored", "finding": "lost", "certainty": "proven", "deliveries": 2, "coverage": 1.0,
    }  # fmt: skip
    assert all(lost[key] for key in ("evidence", "sentence", "examples", "next"))
    assert found["unexplained"] == {"count": 0, "known": [], "ranking": [], "by_finding": {}, "examples": []}


def test_one_finding(folder: Path) -> None:
    code, out, _ = why(str(folder), "--finding", "store_lost", "--json")
    assert code == ExitCode.PASS
    assert {cause["finding"] for cause in json.loads(out)["causes"]} == {"store_lost"}


def test_an_unknown_finding_names_the_nearest(folder: Path) -> None:
    code, _, error = why(str(folder), "--finding", "losst")
    assert code == ExitCode.USAGE
    assert "--finding: expected a finding such as lost" in error


def test_what_is_unexplained_is_undecided(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=3, plants={(0, 1): Plant(unseen_by={1}), (1, 4): Plant(unseen_by={2})})
    code, _, error = why(str(play.perform().write()))
    assert code == ExitCode.UNDECIDED
    assert "unexplained: 2 lost" in error


def test_nothing_to_explain(tmp_path: Path) -> None:
    code, out, error = why(str(Play(tmp_path).perform().write()))
    assert (code, out) == (ExitCode.PASS, "")
    assert "nothing to explain" in error


def test_an_undecided_run_is_undecided(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.manifest.ended = False
    assert why(str(play.write()))[0] == ExitCode.UNDECIDED


def test_a_page(folder: Path, tmp_path: Path) -> None:
    code, _, error = why(str(folder), "--html", str(tmp_path / "why.html"))
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert code == ExitCode.PASS
    assert "written: " in error
    assert "2 lost: accepted, but never stored" in page
    assert "absent in the final read, and never shown to anybody" in page
    assert "<script" not in page


def test_a_page_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    code, _, error = why(str(folder), "--html", str(tmp_path / "no" / "why.html"))
    assert code == ExitCode.USAGE
    assert "why.html" in error


def test_one_message(folder: Path, tmp_path: Path) -> None:
    code, out, error = why(str(folder), "testrun234.0.2", "--json", "--html", str(tmp_path / "life.html"))
    assert code == ExitCode.PASS
    assert json.loads(out)["fates"] == {"lost": 2}
    assert "message testrun234.0.2" in error
    assert "testrun234.0.2" in (tmp_path / "life.html").read_text(encoding="utf-8")


def test_one_message_as_a_picture(folder: Path) -> None:
    code, out, _ = why(str(folder), "testrun234.0.1", "--dashboard", "1", "--svg")
    assert code == ExitCode.PASS
    assert out.startswith(("<svg", "<?xml"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["testrun234.0.99"], "testrun234"),
        (["hello"], "run.widget.n"),
        (["testrun234.0.1", "--dashboard", "77"], "dashboard"),
        (["--dashboard", "1"], "expected UID as well"),
        (["--svg"], "expected UID as well"),
        (["testrun234.0.1", "--finding", "lost"], "--finding: expected no UID"),
        (["testrun234.0.1", "--svg", "--json"], "--svg: expected no --json"),
    ],
)
def test_wrong_arguments_are_refused(folder: Path, arguments: list[str], expected: str) -> None:
    code, out, error = why(str(folder), *arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert expected in error


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    code, _, error = why(str(tmp_path))
    assert code == ExitCode.USAGE
    assert "expected the folder of a run" in error
