"""The ways to start a run. Whichever it was, the run leaves its folder and an exit code, and only those count."""

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.history.folders import REPORT, VERDICT
from chatswarm.loadtests.scenario.scenario import load
from chatswarm.loadtests.system.children import free_port
from tests.e2e.command import CHATSWARM, LOCUST, Command, running, until
from tests.e2e.locust_page import Page

from .judged import Ended, Start
from .place import HERE, Place

_PATIENCE = 300  # seconds that one run may take
_EXIT = 60  # seconds to exit after a run
_OUT = "run"


@dataclass(frozen=True)
class Asked:
    """What is to be run. Its output goes to `folder`, and its results to a folder in it."""

    scenario: Path
    folder: Path
    target: str | None = None
    """None: the reference chat, which only `chatswarm run` starts."""
    options: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    place: Place = HERE


def perform(start: Start, asked: Asked) -> Ended:
    """Starts a run in this way, and waits for its end."""
    with ExitStack() as opened:
        code, said = _WAYS[start](asked, opened)
    folder = asked.folder / _OUT
    verdict = folder / VERDICT
    return Ended(
        code=code,
        verdict=json.loads(verdict.read_text(encoding="utf-8")) if verdict.exists() else {},
        has_report=(folder / REPORT).exists(),
        said=said,
    )


def _chatswarm_run(asked: Asked, opened: ExitStack) -> tuple[int, str]:
    target = [] if asked.target is None else ["--target", asked.target]
    command = [*CHATSWARM, "run", str(asked.scenario), "--out", _OUT, *target, *asked.options]
    return _ended(opened.enter_context(running(command, asked.folder, asked.env)))


def _headless(asked: Asked, opened: ExitStack) -> tuple[int, str]:
    return _ended(_locust(asked, opened, "--headless"))


def _processes(asked: Asked, opened: ExitStack) -> tuple[int, str]:
    port = str(free_port())
    flags = ["--processes", "2", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    return _ended(_locust(asked, opened, "--headless", *flags))


def _namespaces(asked: Asked, opened: ExitStack) -> tuple[int, str]:
    master = _locust(asked, opened, "--headless", "--master", "--expect-workers", "2", before=asked.place.first)
    command = [*asked.place.second, *LOCUST, "--worker", "--master-host", asked.place.address]
    workers = [opened.enter_context(running(command, asked.folder / f"worker-{number}")) for number in (1, 2)]
    code, said = _ended(master)
    codes = [worker.process.wait(_EXIT) for worker in workers]
    assert codes == [0, 0], f"expected workers that exit with 0, got {codes}; their master, {code}: {said[-500:]}"
    return code, said


def _page(asked: Asked, opened: ExitStack) -> tuple[int, str]:
    page = Page(str(asked.target))
    locust = _locust(asked, opened, *page.args)
    until(page.there)
    scenario = load(str(asked.scenario))
    users = scenario.dashboards + scenario.widgets
    refusal = page.start(user_count=users, spawn_rate=users / scenario.ramp)
    if refusal is None:
        until(lambda: page.stats()["state"] == "stopped", _PATIENCE, "the run does not end")
    # Locust serves its page until somebody ends it.
    locust.process.send_signal(signal.SIGTERM)
    code, said = _ended(locust, _EXIT)
    return code, refusal or said


def _locust(asked: Asked, opened: ExitStack, *flags: str, before: Sequence[str] = ()) -> Command:
    """Locust's only process, or its master. `before`: words before its command."""
    assert asked.target is not None, "Locust starts no chat"
    shared = ["--host", asked.target, "--scenario", str(asked.scenario), "--out", _OUT, *asked.options]
    return opened.enter_context(running([*before, *LOCUST, *flags, *shared], asked.folder, asked.env, group=True))


def _ended(command: Command, timeout: float = _PATIENCE) -> tuple[int, str]:
    """The exit code, and what it said."""
    result = command.result(timeout)
    return result.code, result.err


_WAYS: dict[Start, Callable[[Asked, ExitStack], tuple[int, str]]] = {
    "run": _chatswarm_run,
    "headless": _headless,
    "processes": _processes,
    "namespaces": _namespaces,
    "page": _page,
}
