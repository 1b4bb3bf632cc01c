"""`chatswarm check --browser` from outside: real pages, a real Chromium."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatswarm.loadtests.checklist import Step, console
from chatswarm.loadtests.checklist.browser import (
    BrowserReport,
    CannotBrowseError,
    check_pages,
    check_pages_in,
    find_chromium,
)
from chatswarm.loadtests.checklist.diagnosis import TITLES, GuideProblem
from chatswarm.loadtests.checklist.symptoms import PageStep
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.system.children import free_port
from tests.loadtests.checklist.broken_chat import BrokenChat, Defects, broken_chat

from .browser import CHROMIUM, Chromium
from .sites import Site, site_at

browsing = pytest.mark.skipif(CHROMIUM is None, reason="expected Debian's chromium, got none")


def check(*flags: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chatswarm.loadtests.entry", "check", "--browser", "--json", *flags],
        capture_output=True,
        check=False,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def target(site: Site) -> str:
    return f"http://127.0.0.1:{site.backend.port}"


Browsed = Callable[[str, str], BrowserReport]


@pytest.fixture
def browsed(chromium: Chromium, tmp_path: Path) -> Browsed:
    """Runs the browser check of a target in the shared browser, with shorter timeouts than the command's."""

    def browsed(pages: str, target: str) -> BrowserReport:
        browser = chromium.browser()
        folder = tmp_path / "left"
        return check_pages_in(
            browser, Reference(), target, pages, folder, update_target=0.1, on_step=list[Step]().append
        )

    return browsed


def failed_at(report: BrowserReport, step: PageStep) -> GuideProblem:
    """The problem of a check that failed at exactly this step."""
    at = list(PageStep).index(step)
    marks = [True] * at + [False] + [None] * (len(PageStep) - at - 1)
    assert [each.ok for each in report.steps] == marks, report
    assert report.problem is not None
    assert report.exit_code == 1
    assert report.problem.causes
    return report.problem


@browsing
def test_the_guide_on_the_real_pages(quiet: Site, tmp_path: Path) -> None:
    done = check("--pages", quiet.pages, "--target", target(quiet), "--out", str(tmp_path / "left"))
    # Whether it is in time depends on the machine's load.
    report = json.loads(done.stdout)
    steps = report["steps"]
    assert [step["name"] for step in steps] == list(PageStep)
    assert all(step["ok"] for step in steps[:-1]), done.stderr
    assert report["update_latency"] > 0
    assert report["ok"] == (report["update_latency"] <= 2)
    assert done.returncode == (0 if report["ok"] else 1)
    assert done.stderr.count("✓") >= len(PageStep) - 1
    assert steps[-2]["seen"] == '"Hello from customer", count 0 → 1'
    for name in ("inbox", "widget"):
        assert (tmp_path / "left" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert report["screenshots"] == [str(tmp_path / "left" / name) for name in ("inbox.png", "widget.png")]
    assert "✅ Subscribed to: chat_updates\n" in (tmp_path / "left" / "inbox-console.txt").read_text()
    assert "✅ Message sent successfully\n" in (tmp_path / "left" / "widget-console.txt").read_text()


@browsing
def test_pages_that_are_not_there(tmp_path: Path) -> None:
    pages = f"http://localhost:{free_port()}"
    done = check("--pages", pages, "--out", str(tmp_path))
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert [step["ok"] for step in report["steps"]] == [False] + [None] * 8
    assert f"{pages}/inbox: ERR_CONNECTION_REFUSED" in report["problem"]["seen"]
    assert "✗ inbox opened" in done.stderr
    assert "`chatswarm serve` is not running" in done.stderr


def test_another_application_at_the_address_of_the_pages(quiet: Site, browsed: Browsed) -> None:
    problem = failed_at(browsed(target(quiet), target(quiet)), PageStep.INBOX)
    assert "expected HTTP 200, got 404" in problem.seen


def test_pages_of_another_backend(quiet: Site, browsed: Browsed) -> None:
    other = f"http://127.0.0.1:{free_port()}"
    problem = failed_at(browsed(quiet.pages, other), PageStep.INBOX)
    assert f"--target {other}" in problem.seen
    assert f"localhost:{quiet.backend.port}" in problem.seen


def test_pages_of_a_dead_backend(tmp_path: Path, browsed: Browsed) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with site_at(tmp_path, "--backend-url", dead) as site:
        problem = failed_at(browsed(site.pages, dead), PageStep.CONNECTED)
    assert problem.title.startswith("Problem 1")
    assert "✅ WebSocket connected" in problem.seen


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrokenChat, str]]:
    """A chat to inject defects into, and the address of its pages."""
    with broken_chat() as chat, site_at(tmp_path_factory.mktemp("broken"), "--backend-url", chat.url) as site:
        yield chat, site.pages


@pytest.mark.parametrize(
    ("defects", "step", "problem", "seen"),
    [
        (Defects(create_status=500), PageStep.CHAT, 2, "no chat was created"),
        (Defects(send_status=500), PageStep.SENT, 2, "✅ Message sent successfully"),
        (Defects(announces=False), PageStep.NOTIFIED, 2, "🔵 Raw WebSocket message received"),
        (Defects(never_listed="text"), PageStep.SHOWN, 3, "its count was 0"),
        (Defects(list_takes=0.2), PageStep.IN_TIME, 3, "the target is 0.1 s"),
    ],
    ids=lambda value: value if isinstance(value, PageStep) else "",
)
def test_backend_with_a_defect(
    defects: Defects, step: PageStep, problem: int, seen: str, broken: tuple[BrokenChat, str], browsed: Browsed
) -> None:
    chat, pages = broken
    chat.defects = defects
    found = failed_at(browsed(pages, chat.url), step)
    assert found.title == TITLES[problem]
    assert seen in found.seen


def test_without_a_chromium(tmp_path: Path) -> None:
    done = check("--out", str(tmp_path), PATH=str(tmp_path), CHATSWARM_CHROMIUM="")
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt-get install chromium" in done.stderr


@pytest.mark.parametrize("flags", [(), ("--out", "left")])
def test_without_a_chromium_nothing_is_left(flags: tuple[str, ...], tmp_path: Path) -> None:
    done = check(*flags, cwd=tmp_path, PATH="", CHATSWARM_CHROMIUM="")
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_chromium_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATSWARM_CHROMIUM", "no-such-browser")
    with pytest.raises(CannotBrowseError, match="expected the command of a Chromium, got 'no-such-browser'"):
        find_chromium()


def test_without_playwright(tmp_path: Path) -> None:
    code = "import sys; sys.modules['playwright'] = None; from chatswarm.loadtests.entry import main; main()"
    command = [sys.executable, "-c", code, "check", "--browser", "--json", "--out", str(tmp_path / "left")]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'chatswarm[browser]'" in done.stderr
    assert "apt-get install chromium" in done.stderr


def test_contradictory_flags(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--pages: expected a URL"):
        check_pages(Reference(), "http://127.0.0.1:8000", "localhost:3000", tmp_path, on_step=list[Step]().append)
    command = [sys.executable, "-m", "chatswarm.loadtests.entry", "check", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "expected --browser as well" in done.stderr


def test_lines_must_come_in_order_with_others_allowed_in_between() -> None:
    awaited = console.ExpectedLines(console.connecting("ws://localhost:8000/ws/dashboard"))
    first, second = "🔌 Attempting to connect to WebSocket: ws://localhost:8000/ws/dashboard", "✅ WebSocket connected"
    last = "✅ WebSocket connection confirmed: 8942b9df"
    assert not awaited.read([last, second, first, "another"])
    assert awaited.missing == second
    assert not awaited.read([last, second, first, "another", second])
    assert awaited.read([last, second, first, "another", second, last])
    assert awaited.positions == [2, 4, 5]


def test_lines_must_match_word_for_word() -> None:
    awaited = console.ExpectedLines(console.SUBSCRIBING)
    assert not awaited.read(["📝 Subscribing to chat_updates", "📝 Subscribing to chat_updates...!"])
    assert awaited.positions == []
