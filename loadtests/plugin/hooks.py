"""The pytest plugin itself: its options, fixtures, and how runs appear in pytest's report.

The report of a failed test contains the verdict, as in the terminal. A test whose run was undecided is an error: pytest
counts an exception in a test's body as a failure, and that would blame the target.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from .result import NoVerdictError

if TYPE_CHECKING:
    from .comparison import MeasuredComparison
    from .fixture import Swarm
    from .result import MeasuredVerdict

_PROPERTY = "chatswarm"
_ITEM = pytest.StashKey["pytest.Item"]()
_USED = pytest.StashKey[bool]()
_RAN = pytest.StashKey["list[MeasuredVerdict | MeasuredComparison]"]()
_OPTIONS = {
    "target": ("URL", "URL of the chat under test (default: a reference chat, started for each run)"),
    "protocol": ("NAME", "protocol that the chat speaks"),
    "pid": ("PID", "process ID of the target, for faults on its process"),
    "restart_command": ("CMD", "shell command that starts the target again"),
    "out": ("DIR", "folder for the results of all runs (default: in pytest's temporary folder)"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chatswarm", "load and resilience testing of chats")
    for name, (metavar, text) in _OPTIONS.items():
        group.addoption(f"--chatswarm-{name.replace('_', '-')}", metavar=metavar, help=text)
        parser.addini(f"chatswarm_{name}", text)


def pytest_configure(config: pytest.Config) -> None:
    """Refuses wrong options, all at once."""
    options = {name: value for name in _OPTIONS if (value := _option(config, name)) is not None}
    problems = []
    if (target := options.get("target")) is not None and (problem := _wrong_url(target)):
        problems.append(f"--chatswarm-target: {problem}")
    if (pid := options.get("pid")) is not None and not (pid.isascii() and pid.isdecimal() and int(pid) > 0):
        problems.append(f"--chatswarm-pid: expected the number of a process, got {pid!r}")
    if (protocol := options.get("protocol")) is not None:
        from chatswarm.loadtests.protocols.catalogue import ProtocolError, find_protocol

        try:
            find_protocol(protocol)
        except ProtocolError as error:
            problems += [f"--chatswarm-protocol: {problem}" for problem in error.problems]
    if problems:
        raise pytest.UsageError("\n".join(problems))


def _wrong_url(url: str) -> str | None:
    """What is wrong with the URL of a chat; None if nothing is."""
    from chatswarm.loadtests.net.address import parse_address

    try:
        parse_address(url)
    except ValueError as error:
        return str(error)
    return None


def _option(config: pytest.Config, name: str) -> str | None:
    """An option from the command line, or else from the ini file; None if it is in neither.

    An empty target is an error: `--chatswarm-target "$URL"` must not test the reference chat if URL is unset.
    """
    value: str | None = config.getoption(f"chatswarm_{name}")
    if name == "target" and value is not None:
        return value
    return value or config.getini(f"chatswarm_{name}") or None


@pytest.fixture(scope="session")
def chatswarm_target(pytestconfig: pytest.Config) -> str | None:
    """The URL of the chat under test. Override it with scope "session" to start your own chat and yield its URL.

    None if --chatswarm-target is not set: each run then starts and stops its own reference chat.
    """
    return _option(pytestconfig, "target")


@pytest.fixture(scope="session")
def chatswarm(
    pytestconfig: pytest.Config, chatswarm_target: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Swarm:
    """Runs a scenario and returns its verdict: `chatswarm.run("smoke", dashboards=20).latency.visible.p99 < 2.0`."""
    from .fixture import Swarm

    if chatswarm_target is not None and (problem := _wrong_url(str(chatswarm_target))):
        # The URL comes from a fixture, so a traceback would add nothing.
        pytest.fail(f"chatswarm_target: {problem}", pytrace=False)
    pytestconfig.stash[_USED] = True
    out, pid = _option(pytestconfig, "out"), _option(pytestconfig, "pid")
    temporary = tmp_path_factory.getbasetemp()
    # Runs in several xdist workers would compete for the CPU. The parent of their temporary folders is shared.
    lock = temporary.parent / "chatswarm.lock" if hasattr(pytestconfig, "workerinput") else None
    return Swarm(
        target=chatswarm_target,
        folders=pytestconfig.invocation_params.dir / out if out else temporary / "chatswarm",
        protocol=_option(pytestconfig, "protocol"),
        pid=int(pid) if pid else None,
        restart_command=_option(pytestconfig, "restart_command"),
        lock=lock,
        say=_say if pytestconfig.getoption("capture") == "no" else None,
        label=lambda: pytestconfig.stash[_ITEM].name,
        on_verdict=lambda verdict: _record(pytestconfig.stash[_ITEM], verdict),
    )


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _record(item: pytest.Item, verdict: MeasuredVerdict | MeasuredComparison) -> None:
    item.stash.setdefault(_RAN, []).append(verdict)
    # A user property reaches the terminal, also from xdist workers, and JUnit XML.
    item.user_properties.append((_PROPERTY, verdict.line))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remembers the running test. A run belongs to it, whatever the scope of the fixture that started the run."""
    item.config.stash[_ITEM] = item
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a missing verdict into an error, and adds the verdicts to the report of a failed test."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, NoVerdictError):
        # Even if a failure was expected (xfail). For pytest, xdist, JUnit XML and other plugins, an error is a failure
        # outside the phase `call`.
        report.outcome = "failed"
        if hasattr(report, "wasxfail"):
            del report.wasxfail
        if report.when == "call":
            report.when = "setup"
    if report.failed and _USED in item.config.stash:
        _add_verdicts(item, report, error.verdict if isinstance(error, NoVerdictError) else None)
    return report


def _add_verdicts(item: pytest.Item, report: pytest.TestReport, other: MeasuredVerdict | None) -> None:
    """Adds to a test's report the verdicts of its runs, those in its fixtures, and the one in its error."""
    from _pytest._code.code import ExceptionRepr

    from chatswarm.loadtests.system.text import one_line

    from .comparison import MeasuredComparison
    from .result import MeasuredVerdict

    shown = (MeasuredVerdict, MeasuredComparison)
    held = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, shown)]
    verdicts = [*item.stash.get(_RAN, []), *held, *([other] if other is not None else [])]
    width = max(80, min(item.config.get_terminal_writer().fullwidth, 120))
    for verdict in {id(verdict): verdict for verdict in verdicts}.values():
        title, text = one_line(f"chatswarm: {verdict.scenario}"), verdict.text(width)
        # As a section of the failure itself, it also reaches JUnit XML.
        if isinstance(report.longrepr, ExceptionRepr):
            report.longrepr.addsection(title, text)
        else:
            report.sections.append((title, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists the runs and their folders."""
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
