"""Reads Locust's options, or its page's form, into the options of a run, or all reasons why no run can begin."""

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatswarm.loadtests.history.folders import claim_folder, claim_next, not_there
from chatswarm.loadtests.history.manifest import MANIFEST
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.net.origin import parse_origin
from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.protocols.catalogue import FoundProtocol, ProtocolError, find_protocol
from chatswarm.loadtests.protocols.users_file import ROOMS, read_users
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.scenario import Scenario, ScenarioError
from chatswarm.loadtests.system.flags import read_flag
from chatswarm.loadtests.testbed.messages import SetUpTestbed, TestbedOptions

FIXED = (
    "users_file", "pid", "restart_command", "toxiproxy", "proxy_host", "metrics_port", "metrics_host", "traceparent",
)  # fmt: skip
"""Our options that only the command line sets: nobody may end a process, or run a command, by a web page."""
PAGE_FIELDS = ("scenario", "protocol", "seed", "out", "origin")
"""The options of ours that the form of Locust's page shows."""


class RefusedOptionsError(Exception):
    """No run can begin with these options. `problems`: a line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run that can begin."""

    scenario: Scenario
    testbed: TestbedOptions
    seed: int
    out: str
    proxy_host: str  # by which workers reach this host; empty: by the name that they know for the master

    @property
    def needs_testbed(self) -> bool:
        """Whether anything has to be set up around the swarm."""
        testbed = self.testbed
        given = (testbed.pid, testbed.restart_command, testbed.toxiproxy)
        return bool(self.scenario.faults) or testbed.base_url is None or any(option is not None for option in given)

    def order(self, folder: str, listen: str = "") -> SetUpTestbed:
        """What its testbed has to set up. `folder`: the run's, with its whole path; `listen`: where proxies listen."""
        scenario = self.scenario
        return SetUpTestbed(folder, scenario.name, dict(scenario.table), self.seed, self.testbed, listen)


def read(
    options: Namespace, host: str | None, users: int | None, spawn_rate: float, overrides: Mapping[str, object],
    *, driven: bool,
) -> RunOptions:  # fmt: skip
    """The run that these options ask for; `users` None: as many as in the scenario. Raises RefusedOptionsError.

    `driven`: by `chatswarm run`, which calls the host its target, and may want the reference chat.
    """
    problems: list[str] = []
    chosen: Scenario | None = None
    try:
        chosen = scenario.load(options.scenario, overrides)
        if users is not None and users >= 2:
            dashboards, widgets = split_users(users, chosen.dashboards, chosen.widgets)
            if (dashboards, widgets) != (chosen.dashboards, chosen.widgets):
                shared = {**overrides, "dashboards": dashboards, "widgets": widgets}
                chosen = scenario.load(options.scenario, shared)
    except ScenarioError as error:
        problems += error.problems
    protocol = _protocol(options.protocol, host, problems)
    if users is not None and users < 2:
        problems.append(f"-u: expected at least 2 users, a dashboard and a widget, got {users}")
    if not (math.isfinite(spawn_rate) and spawn_rate > 0):
        problems.append(f"-r: expected a number of users per second above 0, got {spawn_rate:g}")
    flag = "--target" if driven else "--host"
    base_url = None if driven and not host else _base_url(flag, host, problems)
    if options.toxiproxy:
        read_flag("--toxiproxy", parse_address, options.toxiproxy, problems)
    origin = read_flag("--origin", parse_origin, options.origin, problems) if options.origin else None
    seed = _seed(options.seed, problems)
    users_file = options.users_file or (protocol.users_file if protocol is not None else None)
    if chosen is not None and users_file:
        planned = chosen
        chosen = read_flag("--users-file", lambda path: with_users(planned, Path(path)), users_file, problems) or chosen
    if chosen is not None and protocol is not None:
        chosen = _with_members(chosen, protocol, users_file, problems)
        problems += _unfit(chosen, protocol, host)
    if base_url and not problems and (why := http_problem(base_url)):
        problems.append(f"{flag}: {why}")
    if problems or chosen is None:
        raise RefusedOptionsError(problems)
    testbed = TestbedOptions(
        base_url=base_url,
        protocol=options.protocol,
        pid=options.pid,
        restart_command=options.restart_command or None,
        toxiproxy=options.toxiproxy or None,
        origin=origin,
        users_file=str(Path(users_file).absolute()) if users_file else None,
        traceparent=options.traceparent,
    )
    return RunOptions(chosen, testbed, seed, options.out, options.proxy_host)


def claim(asked: RunOptions, *, given: bool = False) -> tuple[Path, list[Path]]:
    """Creates the run's folder. Returns it, and the paths that `give_back` may remove. Raises RefusedOptionsError.

    `given`: the parent process has created it for this run, and removes it if there is none.
    """
    folder = Path(asked.out or "runs")
    try:
        # The swarm's processes tell each other the whole path.
        str(folder.absolute()).encode()
        if given:
            return folder, []
        made = not_there(folder)
        claimed = claim_next(folder) if asked.out else claim_folder(asked.scenario.name)
    except (OSError, ValueError) as error:
        raise RefusedOptionsError(
            [f"--out: expected a folder that can be made, got {asked.out or 'runs'!r}: {error}"]
        ) from None
    above = [path for path in made if path in (folder, *folder.parents)]
    return claimed, [claimed / MANIFEST, *not_there(claimed), *([] if claimed == folder else [claimed]), *above]


def locust_problems(shape: object, kinds: Sequence[str]) -> list[str]:
    """What in Locust's shape and user classes rules out a scenario; empty if nothing does."""
    problems = []
    if shape is not None:
        problems.append(
            f"expected a locustfile without a LoadTestShape, got {type(shape).__name__}: a shape and a scenario "
            "cannot both say who is there (use the scenario's stages)"
        )
    if missing := {"DashboardUser", "WidgetUser"} - set(kinds):
        problems.append(f"expected both kinds of users, got no {', '.join(sorted(missing))}")
    return problems


def with_form(options: Namespace, form: Mapping[str, str]) -> Namespace:
    """A copy of the options with the values of the page's form, as Locust will set them."""
    return Namespace(**{**vars(options), **{name: form[name] for name in PAGE_FIELDS if name in form}})


def said_of_shipped() -> dict[str, str]:
    """By the name of each shipped scenario: its faults, and the question that it answers."""
    plans = [scenario.load(name) for name in scenario.shipped()]
    return {plan.name: f"{_said_of_faults(plan)}. {plan.question}" for plan in plans}


def _said_of_faults(plan: Scenario) -> str:
    if not plan.faults:
        return "Without faults"
    return f"Faults: {', '.join(dict.fromkeys(f'{fault.kind} on {fault.on}' for fault in plan.faults))}"


def split_users(users: int, dashboards: int, widgets: int) -> tuple[int, int]:
    """Splits `users` into dashboards and widgets in the scenario's proportion, with at least one of each."""
    if users == dashboards + widgets:
        return dashboards, widgets
    rounded = math.floor(users * dashboards / (dashboards + widgets) + 0.5)
    chosen = min(max(1, rounded), users - 1)
    return chosen, users - chosen


def _protocol(named: str, host: str | None, problems: list[str]) -> FoundProtocol | None:
    """The protocol that can be made with this process's secrets; None if none can, which is added to `problems`."""
    try:
        protocol = find_protocol(named)
    except ProtocolError as error:
        problems += [f"--protocol: {problem}" for problem in error.problems]
        return None
    try:
        protocol.make(target=host or "")
    except ProtocolError as error:
        problems += error.problems
        return None
    except ValueError:
        return protocol  # the host is wrong, which is reported elsewhere
    return protocol


def _with_members(chosen: Scenario, protocol: FoundProtocol, users_file: str | None, problems: list[str]) -> Scenario:
    """The scenario with the rooms of the protocol's members' file, if it has one."""
    path = protocol.members_file
    if path is None:
        return chosen
    from chatswarm.loadtests.protocols.described import MembersFileError, read_members

    try:
        names = [row["name"] for row in read_users(Path(users_file), 0)] if users_file else []
        return _with_rooms(chosen, read_members(path), names[: chosen.dashboards])
    except MembersFileError as error:
        problems.append(f"--protocol: {error}")
    except ValueError as error:
        problems += [f"--protocol: {path}: {line}" for line in str(error).split("\n")]
    return chosen


def _with_rooms(chosen: Scenario, members: Mapping[str, Sequence[str]], users: Sequence[str]) -> Scenario:
    """The scenario with these rooms, by the names of their members. `users`: those of dashboards. Raises ValueError."""
    from chatswarm.loadtests.scenario.rooms import members_by_name

    lists = members_by_name(members, users)
    senders = "widgets" if chosen.rooms is None else chosen.rooms.senders
    rooms = {"fixed": dict(zip(members, lists, strict=True)), "senders": senders}
    return scenario.parse({**chosen.table, "rooms": rooms}, chosen.name, chosen.name)


def _unfit(chosen: Scenario, protocol: FoundProtocol, host: str | None) -> list[str]:
    try:
        return chosen.unfit_for(protocol.make(target=host or ""))
    except ValueError:
        return []  # reported elsewhere


def _base_url(flag: str, given: str | None, problems: list[str]) -> str | None:
    if not given:
        problems.append(f"{flag}: expected the target's base URL, such as http://127.0.0.1:8000, got none")
        return None
    address = read_flag(flag, parse_address, given, problems)
    return None if address is None else address.url


def with_users(chosen: Scenario, path: Path) -> Scenario:
    """The scenario with the rooms that the users' file names, if it has a column `rooms`.

    Raises ValueError if the file is no users' file, or has too few users for the scenario.
    """
    rows = read_users(path, chosen.dashboards + chosen.widget_users)
    members: dict[str, list[str]] = {}
    for row in rows[: chosen.dashboards]:
        for room in row.get(ROOMS, "").split():
            members.setdefault(room, []).append(row["name"])
    if not members:
        return chosen
    return _with_rooms(chosen, members, [row["name"] for row in rows[: chosen.dashboards]])


def _seed(given: Any, problems: list[str]) -> int:  # noqa: ANN401
    try:
        return int(given)
    except ValueError:
        problems.append(f"--seed: expected a whole number, got {given!r}")
        return 0
