"""The command line: its examples work when pasted; completion, progress, and errors for bad input."""

import itertools
import os
import pty
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import msgspec
import pytest
from typer.testing import CliRunner

from chatswarm.backend.settings import read_settings
from chatswarm.loadtests import cli
from chatswarm.loadtests.compare import request
from chatswarm.loadtests.judge.judge import judge, write_verdict
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.protocols.catalogue import find_protocol
from chatswarm.loadtests.protocols.catalogue import shipped as shipped_protocols
from chatswarm.loadtests.run.run import InterruptedRunError, Run
from chatswarm.loadtests.scenario.scenario import load, shipped
from chatswarm.loadtests.system import children
from chatswarm.loadtests.system.version import installed_version
from tests.loadtests.compare import runs as compare_runs
from tests.loadtests.compare.verdicts_of_runs import days
from tests.loadtests.judge.play import Play

CLI = [sys.executable, "-m", "chatswarm.loadtests.entry"]
COMMANDS = sorted(
    str(command.name or getattr(command.callback, "__name__", "")) for command in cli.app.registered_commands
)


def chatswarm(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *args], capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80", **(env or {})}
    )


def played(folder: Path) -> Path:
    """A folder with a recorded run that was never judged."""
    folder.mkdir(parents=True)
    Play(folder).perform().write()
    return folder


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_example_works_when_pasted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As shown in a narrow terminal. Slow steps are replaced by quick ones."""
    help_page = chatswarm(*([command] if command else []), "--help").stdout
    examples = [line.strip(" │") for line in help_page.splitlines() if line.strip(" │").startswith("chatswarm ")]
    assert examples, help_page
    monkeypatch.chdir(tmp_path)

    runs = itertools.count()

    def perform(run: Run) -> Verdict:
        verdict = judge(compare_runs.played(run.folder, next(runs), seed=run.seed))
        write_verdict(run.folder, verdict)
        return verdict

    def execute(_: str, args: list[str]) -> NoReturn:
        read_settings(args[3:], {})
        raise SystemExit(0)

    monkeypatch.setattr(Run, "perform", perform)
    monkeypatch.setattr(os, "execv", execute)
    monkeypatch.setattr(request, "http_problem", lambda _: None)
    for example in examples:
        program, *words = shlex.split(example, comments=True)
        # As a shell does.
        args = [found for word in words for found in (sorted(map(str, Path().glob(word))) or [word])]
        assert program == "chatswarm"
        result = CliRunner().invoke(cli.app, args)
        # `check` exits with 1 if there is no chat, `trend` with 3 for so few runs; 2 would be wrong usage.
        allowed = {"check": (0, 1), "trend": (3,)}.get(args[0], (0,))
        assert result.exit_code in allowed, f"{example}: {result.output}"


BASH = """
PATH={bin}:$PATH
eval "$(chatswarm --show-completion bash; true)"
COMP_WORDS=({words}); COMP_CWORD={place}
_chatswarm_completion chatswarm
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("chatswarm run sm", {"smoke"}),
        ("chatswarm run smoke --protocol ref", {"reference"}),
        ("chatswarm ju", {"judge"}),
        ("chatswarm compare --on notified.p9", {"notified.p95", "notified.p99", "notified.p999"}),
    ],
)
def test_bash_completes(words: str, expected: set[str]) -> None:
    script = BASH.format(bin=Path(sys.executable).parent, words=words, place=len(words.split()) - 1)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.parametrize(
    ("shell", "variables"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "chatswarm run s"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "chatswarm run s", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_other_shells_complete(shell: str, variables: dict[str, str]) -> None:
    program = str(Path(sys.executable).with_name("chatswarm"))
    done = subprocess.run(
        [program], capture_output=True, text=True, check=False,
        env={**os.environ, **variables, "_CHATSWARM_COMPLETE": f"complete_{shell}"},
    )  # fmt: skip
    offered = set(re.findall(r"[\w-]+", done.stdout))
    assert {name for name in shipped() if name.startswith("s")} <= offered, done.stderr
    assert "kill" not in offered


def test_all_protocols_are_listed_with_what_they_are() -> None:
    lines = chatswarm("protocols").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(shipped_protocols())
    assert all(len(line.split()) > 5 for line in lines)


@pytest.mark.parametrize("name", shipped_protocols())
def test_a_protocol_that_is_shown_is_a_file_to_start_from(name: str, tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(chatswarm("protocols", "show", name).stdout, encoding="utf-8")
    assert find_protocol(str(file)).name == name


def test_an_unknown_protocol_is_not_shown() -> None:
    done = chatswarm("protocols", "show", "carrier-pigeon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("NAME: expected one of action-cable, ")


class TestProgressOfJudging:
    def shown(self, tmp_path: Path, *args: str, env: dict[str, str] | None = None) -> tuple[str, str]:
        """What a terminal shows on standard error, and what goes to standard output, which is not a terminal."""
        controller, terminal = pty.openpty()
        command = subprocess.Popen(
            [*CLI, "judge", str(played(tmp_path / "run")), *args], stdout=subprocess.PIPE, stderr=terminal,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **(env or {})},
        )  # fmt: skip
        os.close(terminal)
        chunks = []
        try:
            while chunk := os.read(controller, 65536):
                chunks.append(chunk)
        except OSError:
            pass  # the other end is closed
        os.close(controller)
        out, _ = command.communicate()
        assert command.returncode == 0
        return b"".join(chunks).decode(), out.decode()

    def test_a_terminal_shows_each_step_and_the_progress(self, tmp_path: Path) -> None:
        shown, out = self.shown(tmp_path)
        assert "reading the history of" in shown
        assert "looking for lost" in shown
        assert re.search(r"judging.*\d+ / \d+", shown)
        assert "PASS" in shown
        assert out == ""

    def test_no_colour_with_no_color(self, tmp_path: Path) -> None:
        shown, _ = self.shown(tmp_path, env={"NO_COLOR": "1"})
        assert "looking for lost" in shown
        assert not re.search(r"\x1b\[[\d;]*\b(3[0-7]|38|9[0-7])\b[\d;]*m", shown)

    def test_quiet_with_json(self, tmp_path: Path) -> None:
        shown, out = self.shown(tmp_path, "--json")
        assert "judging" not in shown
        assert out == (tmp_path / "run" / "verdict.json").read_text(encoding="utf-8")

    def test_quiet_without_a_terminal(self, tmp_path: Path) -> None:
        done = chatswarm("judge", str(played(tmp_path / "run")))
        assert "judging" not in done.stderr
        assert "looking" not in done.stderr
        assert "\x1b" not in done.stderr
        assert done.stdout == ""


def test_judge_writes_a_report_only_if_asked_and_the_verdict_stands_without_it(tmp_path: Path) -> None:
    folder = played(tmp_path / "run")
    assert chatswarm("judge", str(folder)).returncode == 0
    page = folder / "report.html"
    assert not page.exists()
    strict = chatswarm("judge", str(folder), "--report", "--slo", "visible.p99 <= 0.001ms")
    assert strict.returncode == 1, strict.stderr
    assert "visible.p99 &lt;= 0.001ms" in page.read_text(encoding="utf-8")
    page.unlink()
    page.mkdir()
    without = chatswarm("judge", str(folder), "--report")
    assert without.returncode == 0
    assert "report.html" in without.stderr.splitlines()[0]


def one_line(result: Any, *, code: int = 2) -> str:
    """The output, which must be one plain line."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    lines: list[str] = [line for line in result.output.splitlines() if "messages in" not in line]
    assert len(lines) == 1, result.output
    return lines[0]


class TestBadInput:
    """One plain line, exit code 2, and no half-written file."""

    def test_a_folder_without_a_run(self, tmp_path: Path) -> None:
        line = one_line(CliRunner().invoke(cli.app, ["judge", str(tmp_path)]))
        assert line == f"{tmp_path}: expected the folder of a run, got no manifest.json in it"
        assert list(tmp_path.iterdir()) == []

    def test_a_file_instead_of_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        line = one_line(CliRunner().invoke(cli.app, ["judge", str(tmp_path / "file")]))
        assert "file: expected the folder of a run, got no manifest.json in it" in line

    def test_an_invalid_manifest(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_text("[]", encoding="utf-8")
        line = one_line(CliRunner().invoke(cli.app, ["judge", str(tmp_path)]))
        assert "manifest.json: expected a readable file, got: " in line
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]

    def test_a_verdict_that_cannot_be_written(self, tmp_path: Path) -> None:
        folder = played(tmp_path / "run")
        (folder / "verdict.json").mkdir()
        line = one_line(CliRunner().invoke(cli.app, ["judge", str(folder)]))
        assert f"{folder}: expected a folder to write verdict.json to, got: " in line
        assert not (folder / "verdict.json.new").exists()

    @pytest.mark.parametrize("out", ["file", "file/below"])
    def test_an_output_folder_that_cannot_be_created(self, tmp_path: Path, out: str) -> None:
        (tmp_path / "file").touch()
        line = one_line(CliRunner().invoke(cli.app, ["run", "smoke", "--out", str(tmp_path / out)]))
        assert "--out: expected a folder to write to, got: " in line
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_no_free_port(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Taken(socket.socket):
            def bind(self, _: object) -> None:
                raise OSError(98, "Address already in use")

        names = SimpleNamespace(socket=Taken, AF_INET=socket.AF_INET, AF_INET6=socket.AF_INET6)
        monkeypatch.setattr(children, "socket", names)
        args = ["run", "smoke", "--processes", "2", "--out", str(tmp_path / "new" / "out")]
        line = one_line(CliRunner().invoke(cli.app, args))
        assert line == "expected a free port on 127.0.0.1, got: [Errno 98] Address already in use"
        assert list(tmp_path.iterdir()) == []

    def test_an_unreachable_target_leaves_no_folder(self, tmp_path: Path) -> None:
        target = f"http://127.0.0.1:{children.free_port()}"
        args = ["run", "smoke", "--target", target, "--out"]
        (tmp_path / "empty").mkdir()
        for out in ("new", "empty"):
            line = one_line(CliRunner().invoke(cli.app, [*args, str(tmp_path / out)]))
            assert line.startswith("--target: expected an HTTP answer from ")
        assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


SECRET = "http://user:5ecret@127.0.0.1:9"


class TestAddresses:
    """Every option that takes a URL refuses the same ones, before anything is created, and repeats no password."""

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:99999", "http://127.0.0.1:abc", "http://[::1", "http://a b/", "http://.example", SECRET,
            "localhost:8000", "ftp://a", "http://a/?b=c", "http://a/#b", " http://a", "http://", "", "http://a\n",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "command",
        [
            "run smoke --target",
            "run cut --target http://127.0.0.1:9 --toxiproxy",
            "run smoke --origin",
            "check --target",
            "check --origin",
            "check --browser --pages",
        ],
    )
    def test_a_wrong_url_is_refused(
        self, url: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        line = one_line(CliRunner().invoke(cli.app, [*command.split(), url]))
        flag = command.rsplit(maxsplit=1)[-1]
        assert line.startswith(f"{flag}: expected {'an origin' if flag == '--origin' else 'a URL'} such as ")
        assert "5ecret" not in line
        assert list(tmp_path.iterdir()) == []

    def test_all_problems_are_reported_at_once(self) -> None:
        args = ["run", "nonsense", "--target", "a", "--toxiproxy", "b", "--origin", "c"]
        result = CliRunner().invoke(cli.app, args, env={"CHATSWARM_TOKEN": "5 ecret"})
        assert result.exit_code == 2
        flags = [line.split(":")[0] for line in result.output.splitlines()]
        assert flags == ["--target", "--toxiproxy", "--origin", "CHATSWARM_TOKEN", "scenario"]
        assert "ecret" not in result.output

    def test_the_url_is_normalised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        runs: list[Run] = []

        def perform(run: Run) -> NoReturn:
            runs.append(run)
            raise SystemExit(0)

        monkeypatch.setattr(Run, "perform", perform)
        args = ["run", "smoke", "--target", "HTTP://Chat.Example:80/a%20b/", "--origin", "https://SHOP.example:443/"]
        result = CliRunner().invoke(cli.app, args)
        assert "against http://chat.example/a%20b" in result.output
        assert runs[0].options.base_url == "http://chat.example/a%20b"
        assert runs[0].options.origin == "https://shop.example"
        assert runs[0].options.flags[-2:] == ["--origin", "https://shop.example"]

    @pytest.mark.parametrize("given", [[], ["--traceparent"]])
    def test_a_run_is_traced_if_asked_for_and_repeated_so(
        self, given: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs: list[Run] = []

        def perform(run: Run) -> NoReturn:
            runs.append(run)
            raise SystemExit(0)

        monkeypatch.setattr(Run, "perform", perform)
        CliRunner().invoke(cli.app, ["run", "smoke", *given])
        assert runs[0].options.traceparent == bool(given)
        assert runs[0].options.flags == ["--protocol", "reference", *given]
        assert [word for word in runs[0]._command() if word == "--traceparent"] == given

    @pytest.mark.parametrize(
        ("args", "protocol"),
        [
            (["smoke"], "reference"),
            (["push"], "push"),
            (["push", "--protocol", "push"], "push"),
            (["smoke", "--protocol", "push"], "push"),
            (["smoke", "--target", "http://127.0.0.1:1"], "reference"),
            (["push", "--target", "http://127.0.0.1:1", "--protocol", "push"], "push"),
            (["smoke", "--target", "http://127.0.0.1:1", "--protocol", "push"], "push"),
        ],
    )
    def test_without_a_target_the_scenario_says_which_protocol_is_spoken(
        self, args: list[str], protocol: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs: list[Run] = []

        def perform(run: Run) -> NoReturn:
            runs.append(run)
            raise SystemExit(0)

        monkeypatch.setattr(Run, "perform", perform)
        CliRunner().invoke(cli.app, ["run", *args])
        assert [run.options.protocol for run in runs] == [protocol]

    def test_another_protocol_than_that_of_the_started_chat_is_refused(self) -> None:
        assert one_line(CliRunner().invoke(cli.app, ["run", "push", "--protocol", "reference"])) == (
            "--protocol: expected push, which the chat that is started for push speaks ([backend] push decides), or "
            "--target as well, got reference"
        )

    def test_rooms_are_overridden_and_announced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def perform(_: Run) -> NoReturn:
            raise SystemExit(0)

        monkeypatch.setattr(Run, "perform", perform)
        for flags, shown in (
            (["--rooms", "30", "--members", "7"], "300 dashboards, 60 widgets, 30 rooms of 7, about 2000 messages"),
            (["--rooms", "1"], "1 room of 20,"),
        ):
            assert shown in " ".join(CliRunner().invoke(cli.app, ["run", "push", *flags]).output.split())
        refused = CliRunner().invoke(cli.app, ["run", "push", "--members", "301"])
        assert one_line(refused) == "--members: expected at most 300, the number of dashboards, got 301"

    @pytest.mark.parametrize("command", [["run", "smoke"], ["check"]])
    def test_an_origin_has_no_path(self, command: list[str]) -> None:
        line = one_line(CliRunner().invoke(cli.app, [*command, "--origin", "http://a/b"]))
        assert line == (
            "--origin: expected an origin such as https://shop.example.com, got 'http://a/b' (it has a path)"
        )

    @pytest.mark.parametrize("origin", ["null", "file://", "capacitor://localhost", "chrome-extension://abcdef"])
    def test_the_origin_of_an_app_or_an_extension_is_accepted(
        self, origin: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs: list[Run] = []

        def perform(run: Run) -> NoReturn:
            runs.append(run)
            raise SystemExit(0)

        monkeypatch.setattr(Run, "perform", perform)
        CliRunner().invoke(cli.app, ["run", "smoke", "--origin", origin])
        assert [run.options.origin for run in runs] == [origin]


class TestForeignText:
    """Names and URLs are data: they never become markup or control sequences."""

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("[/]", "[/]"),
            ("[bold red]x", "[bold red]x"),
            (r"a\nb", r"a\nb"),
            (r"\u001b[2J", r"\x1b[2J"),
            (r"a\u202eb", r"a\u202eb"),
            ("x" * 300, "x" * 300),
        ],
    )
    def test_a_scenarios_name(self, name: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        target = f"http://127.0.0.1:{children.free_port()}"
        (tmp_path / "m.toml").write_text(f'name = "{name}"\n[swarm]\ndashboards = 2\n', encoding="utf-8")
        result = CliRunner().invoke(cli.app, ["run", "m.toml", "--target", target])
        assert result.exit_code == 2, result.output
        assert result.output.splitlines()[0].startswith(f"{shown}: 2 dashboards, ")
        assert [path.name for path in tmp_path.iterdir()] == ["m.toml"]

    def test_an_address_in_brackets(self) -> None:
        result = CliRunner().invoke(cli.app, ["run", "smoke", "--target", "http://[fd00::5]:9", "--dashboards", "2"])
        assert result.output.splitlines()[0].endswith("against http://[fd00::5]:9")


class TestFiles:
    def test_a_scenario_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        file = tmp_path / "windows.toml"
        file.write_bytes(b"\xef\xbb\xbf[swarm]\r\ndashboards = 2\r\n")
        assert load(str(file)).dashboards == 2
        file.write_bytes("[swarm]\ndashboards = 2\n".encode("utf-16"))
        line = one_line(CliRunner().invoke(cli.app, ["run", str(file)]))
        assert line == f"{file}: expected TOML in UTF-8, got a file in another encoding (UTF-16?)"

    def test_more_sockets_than_the_limit_of_open_files(self, tmp_path: Path) -> None:
        limited = f"ulimit -n 200; exec {shlex.join([*CLI, 'run', 'smoke', '--dashboards', '500', '--out', 'out'])}"
        done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 2
        assert "open files: expected a limit of at least 1050 " in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_two_runs_with_the_same_folder(self, tmp_path: Path) -> None:
        """The second one is refused, and leaves the files of the first alone."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "scenario.toml").write_text("theirs", encoding="utf-8")
        line = one_line(CliRunner().invoke(cli.app, ["run", "smoke", "--out", str(tmp_path / "out")]))
        assert line == f"--out: expected a new or an empty folder, got {tmp_path / 'out'}, which is neither"
        assert (tmp_path / "out" / "scenario.toml").read_text(encoding="utf-8") == "theirs"

    def test_a_folder_name_that_is_not_utf8(self, tmp_path: Path) -> None:
        out = os.fsdecode(os.fsencode(tmp_path) + b"/r\xe9sultats")
        line = one_line(CliRunner().invoke(cli.app, ["run", "smoke", "--out", out]))
        assert line == rf"--out: expected a folder whose whole path is UTF-8, got {tmp_path}/r\xe9sultats"
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (BrokenPipeError(), 70, "internal error: please report it"),
        (OSError(28, "No space left on device"), 70, "internal error: please report it"),
        (KeyboardInterrupt(), 3, "interrupted"),
        (EOFError(), 70, "internal error"),
        (InterruptedRunError("interrupted before there was anything to judge"), 3, "interrupted before there was"),
    ],
)
def test_no_error_has_the_exit_code_of_a_failed_target(
    error: BaseException, code: int, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    def perform(_: Run) -> Verdict:
        raise error

    monkeypatch.setattr(Run, "perform", perform)
    monkeypatch.setattr(sys, "argv", ["chatswarm", "run", "smoke", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert message in capsys.readouterr().err


def test_a_verdict_that_cannot_be_shown_keeps_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from chatswarm.loadtests.report import terminal

    def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(terminal, "print_verdict", broken)
    monkeypatch.setattr(sys, "argv", ["chatswarm", "judge", str(played(tmp_path / "run"))])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert "the verdict could not be shown; it is pass" in capsys.readouterr().err


def test_an_unexpected_error_does_not_blame_the_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def perform(_: Run) -> Verdict:
        raise ZeroDivisionError

    monkeypatch.setattr(Run, "perform", perform)
    monkeypatch.setattr(sys, "argv", ["chatswarm", "run", "smoke", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 70
    assert "internal error: please report it" in capsys.readouterr().err


def test_the_version_and_the_list_of_scenarios() -> None:
    version = chatswarm("--version")
    assert (version.returncode, version.stdout.strip()) == (0, f"chatswarm {installed_version()}")
    listed = chatswarm("scenarios")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(shipped())
    assert "Does it work under a light load?" in listed.stdout


class TestTrend:
    def kept(self, folder: Path, verdicts: list[Verdict]) -> list[str]:
        folder.mkdir(exist_ok=True)
        for number, verdict in enumerate(verdicts):
            (folder / f"{number}.json").write_bytes(verdict.json())
        return [str(path) for path in folder.iterdir()]

    def test_its_exit_codes_and_what_it_writes(self, tmp_path: Path) -> None:
        slower = [*days(12), *days(3, 0.4, begin=12)]
        paths = self.kept(tmp_path / "kept", slower)
        page, summary, appended = tmp_path / "a.html", tmp_path / "a.md", tmp_path / "steps.md"
        done = chatswarm(
            "trend", *paths, "--json", "--html", str(page), "--markdown", str(summary),
            env={"GITHUB_STEP_SUMMARY": str(appended)},
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert msgspec.json.decode(done.stdout)["outcome"] == "worse"
        assert "WORSE" in done.stderr
        assert "WORSE" in page.read_text(encoding="utf-8")
        assert summary.read_text(encoding="utf-8").strip() == appended.read_text(encoding="utf-8").strip()
        done = chatswarm("trend", *paths, "--on", "lost")
        assert (done.returncode, done.stdout) == (0, "")
        assert chatswarm("trend", *paths[:9]).returncode == 3

    def test_bad_input(self, tmp_path: Path) -> None:
        paths = self.kept(tmp_path / "kept", days(10))
        done = chatswarm("trend", *paths, "--on", "visible.p98")
        assert (done.returncode, done.stdout) == (2, "")
        assert "did you mean visible.p9" in done.stderr
        done = chatswarm("trend", *paths, str(tmp_path), str(tmp_path / "no"))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
        assert chatswarm("trend", *paths, "--html", str(tmp_path / "no" / "a.html")).returncode == 2
        assert chatswarm("trend").returncode == 2
