"""What pytest loads: options, fixtures, and how a run is reported.

A test that failed has the terminal's verdict in its report. One whose run was undecided is an error: pytest counts
what is raised in a test's body as a failure, and that would blame the target.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from .result import NoVerdictError

if TYPE_CHECKING:
    from .fixture import Swarm
    from .result import MeasuredVerdict

_PROPERTY = "chatswarm"
_ITEM = pytest.StashKey["pytest.Item"]()
_USED = pytest.StashKey[bool]()
_RAN = pytest.StashKey["list[MeasuredVerdict]"]()
_OPTIONS = {
    "target": ("URL", "the chat under test (default: a reference chat, started for each run)"),
    "protocol": ("NAME", "its kind"),
    "pid": ("PID", "its process, for faults that strike it"),
    "restart_command": ("CMD", "the shell command that starts it again"),
    "out": ("DIR", "where to leave the runs (default: in pytest's temporary folder)"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chatswarm", "load and resilience testing of chats")
    for name, (metavar, text) in _OPTIONS.items():
        group.addoption(f"--chatswarm-{name.replace('_', '-')}", metavar=metavar, help=text)
        parser.addini(f"chatswarm_{name}", text)


def pytest_configure(config: pytest.Config) -> None:
    """Refuses wrong options, all at once."""
    given = {name: value for name in _OPTIONS if (value := _option(config, name)) is not None}
    problems = []
    if (target := given.get("target")) is not None and (problem := _no_address(target)):
        problems.append(f"--chatswarm-target: {problem}")
    if (pid := given.get("pid")) is not None and not (pid.isascii() and pid.isdecimal() and int(pid) > 0):
        problems.append(f"--chatswarm-pid: expected the number of a process, got {pid!r}")
    if (protocol := given.get("protocol")) is not None:
        from chatswarm.loadtests.protocols import PROTOCOLS

        if protocol not in PROTOCOLS:
            problems.append(f"--chatswarm-protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if problems:
        raise pytest.UsageError("\n".join(problems))


def _no_address(url: str) -> str | None:
    """Why this is no address of a chat; None if it is one."""
    from chatswarm.loadtests.net.address import parse_address

    try:
        parse_address(url)
    except ValueError as error:
        return str(error)
    return None


def _option(config: pytest.Config, name: str) -> str | None:
    """From the command line, or else from the ini file; None if it is in neither.

    An empty target is none, and wrong: `--chatswarm-target "$URL"` must not test the reference chat where URL is unset.
    """
    value: str | None = config.getoption(f"chatswarm_{name}")
    if name == "target" and value is not None:
        return value
    return value or config.getini(f"chatswarm_{name}") or None


@pytest.fixture(scope="session")
def chatswarm_target(pytestconfig: pytest.Config) -> str | None:
    """The URL of the chat under test. Override it, with scope "session", to start your own chat and yield its URL.

    None, if --chatswarm-target is not given: each run starts a reference chat of its own, and stops it.
    """
    return _option(pytestconfig, "target")


@pytest.fixture(scope="session")
def chatswarm(
    pytestconfig: pytest.Config, chatswarm_target: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Swarm:
    """Runs a scenario and returns its verdict: `chatswarm.run("smoke", dashboards=20).latency.visible.p99 < 2.0`."""
    from .fixture import Swarm

    if chatswarm_target is not None and (problem := _no_address(str(chatswarm_target))):
        # A fixture's URL. Where it came from is clear without a traceback.
        pytest.fail(f"chatswarm_target: {problem}", pytrace=False)
    pytestconfig.stash[_USED] = True
    out, pid = _option(pytestconfig, "out"), _option(pytestconfig, "pid")
    temporary = tmp_path_factory.getbasetemp()
    # Workers of xdist have a folder each in a common one; they would take each other's CPU.
    shared = temporary.parent / "chatswarm.lock" if hasattr(pytestconfig, "workerinput") else None
    return Swarm(
        chatswarm_target,
        pytestconfig.invocation_params.dir / out if out else temporary / "chatswarm",
        _option(pytestconfig, "protocol"),
        int(pid) if pid else None,
        _option(pytestconfig, "restart_command"),
        shared,
        _say if pytestconfig.getoption("capture") == "no" else None,
        lambda: pytestconfig.stash[_ITEM].name,
        lambda verdict: _ran(pytestconfig.stash[_ITEM], verdict),
    )


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _ran(item: pytest.Item, verdict: MeasuredVerdict) -> None:
    from chatswarm.loadtests.system.text import one_line

    item.stash.setdefault(_RAN, []).append(verdict)
    # Goes with the reports, from xdist's workers as well, and into JUnit XML.
    line = one_line(f"{verdict.verdict}: {verdict.scenario} against {verdict.target}, {verdict.folder}")
    item.user_properties.append((_PROPERTY, line))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Which test is running: a run belongs to it, whatever the scope of the fixture that asked for it."""
    item.config.stash[_ITEM] = item
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """An error where there was no verdict; the verdict beside what failed."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, NoVerdictError):
        # Also where a failure was expected (xfail). For pytest, xdist, JUnit XML and all other plugins, an error is
        # what failed outside the test's own phase.
        report.outcome = "failed"
        if hasattr(report, "wasxfail"):
            del report.wasxfail
        if report.when == "call":
            report.when = "setup"
    if report.failed and _USED in item.config.stash:
        _show(item, report, error.verdict if isinstance(error, NoVerdictError) else None)
    return report


def _show(item: pytest.Item, report: pytest.TestReport, other: MeasuredVerdict | None) -> None:
    """Adds the verdicts of a test: those that it ran, those that its fixtures hold, and the error's own."""
    from _pytest._code.code import ExceptionRepr

    from chatswarm.loadtests.system.text import one_line

    from .result import MeasuredVerdict

    held = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, MeasuredVerdict)]
    verdicts = [*item.stash.get(_RAN, []), *held, *([other] if other is not None else [])]
    width = max(80, min(item.config.get_terminal_writer().fullwidth, 120))
    for verdict in {id(verdict): verdict for verdict in verdicts}.values():
        title, text = one_line(f"chatswarm: {verdict.scenario}"), verdict.text(width)
        # In the representation of the failure it also gets into JUnit XML.
        if isinstance(report.longrepr, ExceptionRepr):
            report.longrepr.addsection(title, text)
        else:
            report.sections.append((title, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was run, and where it is."""
    if terminalreporter.verbosity < 0:
        return
    reports = [report for found in terminalreporter.stats.values() for report in found]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", [])]
    lines = dict.fromkeys(str(value) for name, value in properties if name == _PROPERTY)
    if lines:
        terminalreporter.section("chatswarm")
        for line in lines:
            terminalreporter.line(line)


__all__ = ["chatswarm", "chatswarm_target"]
