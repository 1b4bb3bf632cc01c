"""The pytest plugin as a team uses it: against a healthy chat, a broken one, and with a starved rig.

pytest runs inside pytest. Whatever ends it in the middle of a run, nothing is left behind.
"""

import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.system.children import free_port
from tests.e2e.command import scenario, until
from tests.plants import Chat, serving

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(240)
ARGS = ("-p", "no:cacheprovider", "-p", "no:valkey")
UNDECIDED = """
import pytest
from chatswarm.loadtests.plugin import UndecidedError

def test_undecided():
    raise UndecidedError("the rig was starved")

@pytest.mark.xfail
def test_expected_to_fail():
    raise UndecidedError("the rig was starved")

def test_passes():
    pass

def test_fails():
    assert 1 == 2
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A team's project, with a short scenario."""
    # This session itself may be an xdist worker, and have options.
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "CHATSWARM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "200")
    scenario(pytester.path)
    return pytester


def counts(result: pytest.RunResult, junit: Path) -> tuple[dict[str, int], dict[str, int]]:
    """The outcomes in the terminal, and those in JUnit XML."""
    suite = ElementTree.parse(junit).getroot()[0]
    return result.parseoutcomes(), {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors")}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_undecided_is_an_error_neither_a_failure_nor_a_pass(session: pytest.Pytester, workers: tuple[str, ...]) -> None:
    session.makepyfile(test_team=UNDECIDED)
    result = session.runpytest_subprocess(*ARGS, *workers, "--junitxml=j.xml")
    terminal, junit = counts(result, session.path / "j.xml")
    assert terminal == {"passed": 1, "failed": 1, "errors": 2}
    assert junit == {"tests": 4, "failures": 1, "errors": 2}
    assert result.ret == 1
    result.stdout.fnmatch_lines_random(["ERROR *test_undecided - *UndecidedError: the rig was starved"])


def test_a_healthy_chat(session: pytest.Pytester) -> None:
    """One run on the reference chat, shared by several tests, in an xdist worker."""
    session.makeconftest("""
import sys

def pytest_sessionfinish():
    assert not {"locust", "gevent"} & set(sys.modules)
""")
    session.makepyfile(
        test_team="""
import pytest

@pytest.fixture(scope="module")
def verdict(chatswarm):
    return chatswarm.run("quick.toml", seed=7)

def test_holds(verdict):
    assert verdict.passed
    assert verdict.latency.visible.p99 < 5.0
    assert verdict.deliveries.lost == 0
    assert verdict.seed == 7

def test_more_than_it_can_do(verdict):
    assert verdict.latency.visible.p99 < 1e-6

def test_never_measured(verdict):
    assert verdict.latency.recovery.p99 < 5.0
"""
    )
    result = session.runpytest_subprocess(
        *ARGS, "-n", "1", "--junitxml=j.xml", "--chatswarm-out", "runs", timeout=150
    )  # fmt: skip
    terminal, junit = counts(result, session.path / "j.xml")
    assert terminal == {"passed": 1, "failed": 1, "errors": 1}, result.stdout.str()
    assert junit == {"tests": 3, "failures": 1, "errors": 1}
    result.stdout.fnmatch_lines([
        "*UndecidedError: latency.recovery.p99 was not measured*",
        "*assert * < 1e-06",
        "*chatswarm: quick*",
        "*visible *",
        "pass: quick against http://127.0.0.1:*runs/test_holds-quick",
    ])  # fmt: skip
    assert (session.path / "runs" / "test_holds-quick" / "verdict.json").exists()
    assert "pass: quick" in (session.path / "j.xml").read_text(encoding="utf-8")


def test_a_chat_that_loses_messages(session: pytest.Pytester) -> None:
    """A team's own chat, started by a fixture that overrides the plugin's."""
    session.makeconftest("""
import pytest
from tests.plants import LosesEveryTenth, serving

@pytest.fixture(scope="session")
def chatswarm_target():
    with serving(LosesEveryTenth()) as url:
        yield url
""")
    session.makepyfile(
        test_team="""
def test_fast(chatswarm):
    verdict = chatswarm.run("quick.toml")
    assert verdict.verdict == "fail"
    assert verdict.deliveries.lost > 0
    assert verdict.latency.visible.p99 < 5.0
"""
    )
    result = session.runpytest_subprocess(*ARGS, timeout=150)
    assert result.parseoutcomes() == {"failed": 1}, result.stdout.str()
    result.stdout.fnmatch_lines([
        "E *assert inf (it falls among the lost) < 5.0",
        "*chatswarm: quick*",
        "*FAIL *quick against http://localhost:*",
        "*lost *accepted, but not visible on a dashboard*",
        "*message *dashboard *intended at *",
        "fail: quick against *",
    ])  # fmt: skip


def is_locust(process: psutil.Process) -> bool:
    try:
        return "locust" in " ".join(process.cmdline())
    except psutil.Error:
        return False


class TeamSession:
    """The team's pytest while it runs, and all its child processes."""

    def __init__(self, session: pytest.Pytester, *args: str) -> None:
        self.log = session.path / "pytest.log"
        self.temporary = session.mkdir("temporary")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *ARGS, *args],
                cwd=session.path, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                # This session may ignore Ctrl-C, as background jobs of a shell do.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        self.started: list[psutil.Process] = []
        try:
            until(lambda: self.locust() and "measuring" in self.output_of_the_run(), 90, "it never measured")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.started = psutil.Process(self.process.pid).children(recursive=True)

    def locust(self) -> list[psutil.Process]:
        return [process for process in psutil.Process(self.process.pid).children(recursive=True) if is_locust(process)]

    def output_of_the_run(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in self.temporary.rglob("test_holds-quick.log"))

    def wait(self) -> str:
        """Waits for its end. Returns its output; asserts that no process and no file of the reference chat is left."""
        try:
            self.process.wait(120)
        finally:
            self.process.kill()
            self.process.wait()
        _, left = psutil.wait_procs(self.started, 20)
        assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
        assert not list(self.temporary.glob("chatswarm-*"))
        return self.log.read_text(encoding="utf-8")


HOLDS = """
def test_holds(chatswarm):
    assert chatswarm.run("quick.toml").passed

def test_another():
    pass
"""


def test_a_starved_rig(session: pytest.Pytester) -> None:
    session.makepyfile(test_team=HOLDS)
    with serving(Chat()) as url:
        session.makeini(f"[pytest]\nchatswarm_target = {url}\n")
        team = TeamSession(session, "--junitxml=j.xml")
        for _ in range(5):
            for process in team.locust():
                process.suspend()
            time.sleep(0.8)
            for process in team.locust():
                process.resume()
            time.sleep(0.1)
        output = team.wait()
    assert "1 passed, 1 error" in output, output
    assert "UndecidedError: quick against http://localhost:" in output, output
    assert re.search(r"^E +because swarm-0: its loop woke", output, re.MULTILINE), output
    assert "rig: not sound" in output
    suite = ElementTree.parse(session.path / "j.xml").getroot()[0]
    assert (suite.attrib["errors"], suite.attrib["failures"]) == ("1", "0")


def test_ctrl_c_ends_the_run_and_its_children(session: pytest.Pytester) -> None:
    session.makepyfile(test_team=HOLDS)
    team = TeamSession(session)
    team.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in team.wait()
    assert team.process.returncode == pytest.ExitCode.INTERRUPTED


def test_a_timeout_ends_the_run_and_its_children(session: pytest.Pytester) -> None:
    session.makepyfile(test_team=HOLDS.replace('"quick.toml"', '"quick.toml", duration="60s"'))
    team = TeamSession(session, "-x", "--timeout", "200", "--timeout-method", "signal")
    team.process.send_signal(signal.SIGALRM)  # as pytest-timeout does when the time is up
    output = team.wait()
    assert "Timeout" in output
    assert "1 failed" in output


def test_a_killed_worker_leaves_nothing_behind(session: pytest.Pytester) -> None:
    session.makepyfile(test_team=HOLDS)
    team = TeamSession(session, "-n", "1")
    worker = team.locust()[0].parents()[1]
    assert "chatswarm" not in " ".join(worker.cmdline())
    worker.kill()
    output = team.wait()
    assert "crashed" in output


def test_an_unreachable_target_is_an_error(session: pytest.Pytester) -> None:
    session.makepyfile(test_team=HOLDS)
    result = session.runpytest_subprocess(*ARGS, "--chatswarm-target", f"http://127.0.0.1:{free_port()}", timeout=60)
    assert result.parseoutcomes() == {"passed": 1, "errors": 1}
    result.stdout.fnmatch_lines(["E *NotRunError: nothing was sent:", "E *--target: expected an HTTP answer from *"])


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://me:secret@h", "http://h?x"])
def test_a_wrong_url_from_a_fixture_is_reported_in_one_line(session: pytest.Pytester, url: str) -> None:
    session.makeconftest(f"""
        import pytest

        @pytest.fixture(scope="session")
        def chatswarm_target():
            return {url!r}
    """)
    session.makepyfile(test_team=HOLDS)
    result = session.runpytest_subprocess(*ARGS, timeout=60)
    assert result.parseoutcomes() == {"passed": 1, "errors": 1}
    reported = [line for line in result.outlines if "expected a URL" in line]
    assert any(line.startswith("chatswarm_target: expected a URL such as http://127.0.0.1:8000") for line in reported)
    assert not [line for line in result.outlines if "Traceback" in line or "parse_address" in line]
    assert "secret" not in result.stdout.str()


def test_a_wrong_target_is_refused_before_any_test(session: pytest.Pytester) -> None:
    session.makepyfile(test_team=HOLDS)
    result = session.runpytest_subprocess(*ARGS, "--chatswarm-target", "http://me:secret@h:8000")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--chatswarm-target: expected a URL such as *, got 'http://…@h:8000' (it has a user *"]
    )
    assert "secret" not in result.stderr.str()


def test_an_empty_target_does_not_mean_the_reference_chat(session: pytest.Pytester) -> None:
    """As in `--chatswarm-target "$URL"` if URL is not set."""
    session.makepyfile(test_team=HOLDS)
    result = session.runpytest_subprocess(*ARGS, "--chatswarm-target", "")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--chatswarm-target: expected a URL such as *, got ''*"])


def test_wrong_options_are_refused_all_at_once(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess(*ARGS, "--chatswarm-pid", "many", "--chatswarm-protocol", "carrier-pigeon")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([
        "*--chatswarm-pid: expected the number of a process, got 'many'",
        "*--chatswarm-protocol: expected one of action-cable, *, or module:Class, got 'carrier-pigeon'",
    ])  # fmt: skip


COMPARED = """
import pytest
from chatswarm.loadtests.plugin import UndecidedError
from tests.loadtests.compare.runs import played_pairs

FEW = [0.0, 0.01, 0.02]


def folders(tmp_path, later):
    base, new = played_pairs(tmp_path, FEW, later)
    return {"base": base, "new": new, "on": ["notified.p50", "lost"]}


def test_holds(chatswarm, tmp_path):
    found = chatswarm.compare(**folders(tmp_path, FEW))
    assert found.passed and found.outcome == "same" and found.pairs == 3
    assert found["notified.p50"].ratio.high < 1.2
    assert (found.folder / "comparison.html").exists()
    with pytest.raises(UndecidedError, match="lost has no ratio"):
        found["lost"].ratio.estimate


def test_worse(chatswarm, tmp_path):
    found = chatswarm.compare(**folders(tmp_path, [0.3 + more for more in FEW]))
    assert found["notified.p50"].outcome == "worse"
    assert found["notified.p50"].ratio.estimate > 5
    assert found.passed


def test_cannot_tell(chatswarm, tmp_path):
    chatswarm.compare(**folders(tmp_path, FEW[::-1]))


def test_refused(chatswarm, tmp_path):
    chatswarm.compare([tmp_path], [tmp_path])
"""


def test_a_comparison(session: pytest.Pytester) -> None:
    session.makepyfile(COMPARED)
    result = session.runpytest_subprocess(*ARGS, "--junitxml=junit.xml")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1, errors=2)
    text = result.stdout.str()
    assert re.search(r"chatswarm: play -+\n ✗ WORSE +play: ", text)
    assert "UndecidedError: cannot tell: play, " in text
    assert re.search(r"NotRunError: nothing was compared:\nE +expected at least 3 runs", text)
    assert re.search(r"^same: play, .*/new-\* against .*/base-\*, ", text, re.MULTILINE)
