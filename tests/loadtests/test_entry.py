"""The installed command keeps the verdict's exit code, even as daemons, pods and CI runners start it."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from chatswarm.loadtests.entry import put_pythonpath_last, unset_foreign
from tests.loadtests.judge.play import Play

CHATSWARM = str(Path(sys.executable).with_name("chatswarm"))
POISON = "raise SystemExit(9)"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a recorded run that passes."""
    folder = tmp_path / "run"
    folder.mkdir()
    Play(folder).perform().write()
    return folder


def shell(
    command: str, folder: Path, env: dict[str, str] | None = None, pipe: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash with our `chatswarm`. `pipe`: the exit code is that of the first command of the pipe."""
    line = command.replace("chatswarm", shlex.quote(CHATSWARM))
    code = "exit ${PIPESTATUS[0]}" if pipe else "exit $?"
    return subprocess.run(
        ["bash", "-c", f"{line}\n{code}"], capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, **(env or {})}, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"CHATSWARM_TOKEN": "", "SSL_CERT_FILE": "", "TMPDIR": "", "FORCE_COLOR": ""}, {}),
        ({"CHATSWARM_TOKEN": "abc", "SSL_CERT_FILE": "a.pem", "THEIRS": ""},) * 2,
        ({"CHATSWARM_METRICS_PORT": "tcp://10.0.0.1:9646", "CHATSWARM_PORT": "tcp://10.0.0.1:8000"}, {}),
        ({"CHATSWARM_METRICS_PORT": "9646"},) * 2,
        ({"CHATSWARM_METRICS_PORT": "abc"},) * 2,
        ({"CHATSWARM_BUS": "redis://127.0.0.1:6379", "MY_PORT": "tcp://10.0.0.1:1"},) * 2,
        ({"TERMINAL_WIDTH": "abc"}, {}),
        ({"TERMINAL_WIDTH": "100"},) * 2,
    ],
)
def test_empty_and_foreign_variables_are_unset(before: dict[str, str], after: dict[str, str]) -> None:
    environment = dict(before)
    unset_foreign(environment)
    assert environment == after


def test_the_folders_of_pythonpath_move_to_the_end_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = ["/bin", "/theirs", str(tmp_path), "/lib/python", "/lib/python/site-packages"]
    put_pythonpath_last(path, {"PYTHONPATH": "/theirs:"})
    assert path == ["/bin", "/lib/python", "/lib/python/site-packages", "/theirs", str(tmp_path)]
    put_pythonpath_last(path, {})
    assert path[:2] == ["/bin", "/lib/python"]


@pytest.mark.parametrize("redirected", ["2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("chatswarm judge run --json", 0),
        ("chatswarm judge run --json --slo 'visible.p99 <= 0.001ms'", 1),
        ("chatswarm run --help", 0),
        ("chatswarm judge nowhere", 2),
        ("chatswarm nonsense", 2),
    ],
)
def test_closed_or_full_standard_streams_change_no_exit_code(
    run: Path, command: str, code: int, redirected: str
) -> None:
    done = shell(f"{command} {redirected}", run.parent)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if "judge run" in command:
        assert json.loads((run / "verdict.json").read_bytes())["exit_code"] == code


@pytest.mark.parametrize("pipe", ["| true", "2>&1 | head -1 >/dev/null"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("chatswarm judge run --json", 0),
        ("chatswarm report run", 0),
        ("chatswarm report run --html /dev/stdout", 0),
        ("chatswarm run --help", 0),
        ("chatswarm run nonsense", 2),
        ("chatswarm check --target nonsense", 2),
    ],
)
def test_a_closed_pipe_changes_no_exit_code(run: Path, command: str, code: int, pipe: str) -> None:
    done = shell(f"{command} {pipe}", run.parent, pipe=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_result_that_cannot_be_written_is_reported(run: Path) -> None:
    done = shell("chatswarm judge run --json >/dev/full", run.parent)
    assert done.stderr.splitlines()[-1].startswith("standard output: expected to write the result, got: [Errno 28]")


def test_the_environment_changes_nothing(run: Path) -> None:
    """Variables for Python, terminals and CI, and foreign modules, all at once."""
    theirs = run.parent / "theirs"
    for name in ("json", "traceback", "select", "msgspec", "numpy", "typer/__init__", "rich/__init__"):
        (theirs / name).parent.mkdir(parents=True, exist_ok=True)
        (theirs / f"{name}.py").write_text(POISON, encoding="utf-8")
    clean = shell("chatswarm judge ../run --json", theirs)
    surroundings = {
        "PYTHONPATH": ":",
        "PYTHONWARNINGS": "error",
        "PYTHONDEVMODE": "1",
        "PYTHONINSPECT": "1",
        "PYTHONIOENCODING": "ascii",
        "FORCE_COLOR": "1",
        "TTY_COMPATIBLE": "1",
        "TERM": "xterm-256color",
        "COLUMNS": "0",
        "TERMINAL_WIDTH": "wide",
    }
    done = shell("chatswarm judge ../run --json", theirs, surroundings)
    assert done.returncode == clean.returncode == 0, done.stderr
    assert done.stdout == clean.stdout


def test_forced_colours_add_only_colours(run: Path) -> None:
    forced = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TERM": "xterm-256color", "NO_COLOR": ""}
    done = shell("chatswarm judge run", run.parent, forced)
    assert "\x1b[" in done.stderr
    assert not [part for part in done.stderr.split("\x1b[")[1:] if not part.split("m")[0].replace(";", "").isdigit()]
    assert "PASS" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"])
def test_help_without_a_terminal_has_no_escape_codes_in_flags(tmp_path: Path, name: str) -> None:
    assert "--target" in shell("chatswarm run --help", tmp_path, {name: "1"}).stdout


def test_pythoninspect_keeps_the_exit_code(tmp_path: Path) -> None:
    done = shell("chatswarm judge nowhere </dev/null", tmp_path, {"PYTHONINSPECT": "1"})
    assert done.returncode == 2
    assert "expected the folder of a run" in done.stderr


@pytest.mark.parametrize("module", ["typer", "msgspec", "rich.console", "chatswarm.loadtests.cli"])
def test_a_failed_import_does_not_blame_the_target(tmp_path: Path, module: str) -> None:
    # Python runs sitecustomize when it starts: this one makes the import of a module fail.
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{module!r}] = None", encoding="utf-8")
    done = shell("chatswarm judge run", tmp_path, {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 70, done.stderr
    assert "internal error" in done.stderr
