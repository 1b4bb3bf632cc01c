"""What a search is asked, from a command's options: checked before any load."""

import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from chatswarm.loadtests.compare.capacity import CapacitySearch, LoadProbe
from chatswarm.loadtests.net.address import is_loopback, parse_address
from chatswarm.loadtests.protocols.catalogue import ProtocolError, find_protocol
from chatswarm.loadtests.scenario import scenario as scenarios
from chatswarm.loadtests.system.flags import read_flag
from chatswarm.loadtests.system.open_files import needed_files, raise_open_files
from chatswarm.loadtests.system.units import seconds, share
from chatswarm.loadtests.system.version import installed_version

from .null_chat import PROTOCOL
from .record import AskedCapacity, CapacityBy

SHORTEST = 5.0
"""The shortest probe, in seconds: a shorter one cannot show whether a backlog grows."""


@dataclass(frozen=True, kw_only=True)
class CapacityOptions:
    """The options of `chatswarm capacity`, as they were written."""

    by: str
    start: float
    to: float
    precision: str
    probe: str
    at_least: float | None
    processes: int
    seed: int
    protocol: str
    target: str | None
    rig: bool
    allowed: bool  # --yes-this-may-break-it
    origin: str | None
    users_file: str | None
    pid: int | None


def asked_of(scenario: scenarios.Scenario, options: CapacityOptions) -> tuple[AskedCapacity | None, list[str]]:
    """What is asked, or what is wrong with it."""
    problems = [*_unfit(scenario), *_unfit_target(options)]
    precision = read_flag("--precision", share, options.precision, problems)
    probe = read_flag("--probe", seconds, options.probe, problems)
    if probe is not None and probe < SHORTEST:
        problems.append(f"--probe: expected {SHORTEST:g}s or more, to tell a growing backlog, got {options.probe}")
    if options.by not in ("rate", "dashboards"):
        problems.append(f"--by: expected rate or dashboards, got {options.by!r}")
    if options.at_least is not None and not options.start <= options.at_least <= options.to:
        expected = f"a load from {options.start:g} to {options.to:g}, which are --from and --to"
        problems.append(f"--at-least: expected {expected}, got {options.at_least:g}")
    if problems or precision is None or probe is None:
        return None, problems
    by: CapacityBy = "dashboards" if options.by == "dashboards" else "rate"
    try:
        CapacitySearch(options.start, options.to, precision, by == "dashboards", probe)
    except ValueError as error:
        return None, [f"--from, --to, --precision: {error}"]
    here = options.rig or options.target is None or on_this_machine(parse_address(options.target).host)
    asked = AskedCapacity(
        version=installed_version(),
        scenario=scenario.name,
        toml=scenario.toml(),
        by=by,
        start=options.start,
        to=options.to,
        precision=precision,
        probe=probe,
        ramp=scenario.ramp,
        drain=scenario.drain,
        update_target=scenario.update_target,
        processes=options.processes,
        seed=options.seed,
        protocol=options.protocol,
        target=options.target,
        rig=options.rig,
        target_here=here,
        target_cores=_cores_of(scenario, options),
        null_chat=options.protocol == PROTOCOL,
        origin=options.origin,
        users_file=options.users_file,
        pid=options.pid,
    )
    return asked, _unfit_loads(asked)


def scenario_at(asked: AskedCapacity, load: LoadProbe) -> scenarios.Scenario:
    """The scenario of a probe. Raises ScenarioError for a load that cannot be run."""
    level: Mapping[str, object] = {asked.by: int(load.level) if asked.by == "dashboards" else load.level}
    flags = {**level, "duration": f"{load.seconds:g}s"}
    return scenarios.parse(tomllib.loads(asked.toml), asked.scenario, asked.scenario, flags)


def on_this_machine(host: str) -> bool:
    """Whether a host is this machine: its address is a loopback address, or belongs to a network interface here."""
    if is_loopback(host):
        return True
    own = {address.address.partition("%")[0] for each in psutil.net_if_addrs().values() for address in each}
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and found <= own


def _unfit(scenario: scenarios.Scenario) -> list[str]:
    problems = []
    if "stage" in scenario.table:
        problems.append(f"{scenario.name}: expected a scenario without stages: the search sets the load and the length")
    if scenario.faults:
        names = ", ".join(plan.name for plan in scenario.faults)
        problems.append(f"{scenario.name}: expected a scenario without faults, got one with {names}")
    return problems


def _unfit_target(options: CapacityOptions) -> list[str]:
    if options.rig:
        problems = []
        if options.target is not None:
            problems.append("--rig: expected no --target: the null chat stands in its place")
        if options.at_least is not None:
            problems.append("--at-least: expected no --rig: it asks for the limit of a target")
        if options.protocol != PROTOCOL:
            problems.append(
                f"--rig: expected the protocol {PROTOCOL}, which the null chat speaks, got {options.protocol}"
            )
        return problems
    if options.target is None or options.allowed or on_this_machine(parse_address(options.target).host):
        return []
    expected = "a chat on this machine, or --yes-this-may-break-it: the load rises until something gives out"
    return [f"--target: expected {expected}, got {options.target}"]


def _unfit_loads(asked: AskedCapacity) -> list[str]:
    """Why the lowest or the highest load could not be run."""
    flags: dict[str, list[str]] = {}
    for flag, level in (("--from", asked.start), ("--to", asked.to)):
        for problem in _unfit_load(asked, level):
            flags.setdefault(problem, []).append(flag)
    return [f"{', '.join(found)}: {problem}" for problem, found in flags.items()]


def _unfit_load(asked: AskedCapacity, level: float) -> list[str]:
    try:
        planned = scenario_at(asked, LoadProbe(level, asked.probe))
        protocol = find_protocol(asked.protocol).make(target=asked.target or "")
    except (scenarios.ScenarioError, ProtocolError) as error:
        return error.problems
    few_files = raise_open_files(needed_files(planned.dashboards, planned.widgets, asked.processes))
    return [*planned.unfit_for(protocol), *([few_files] if few_files else [])]


def _cores_of(scenario: scenarios.Scenario, options: CapacityOptions) -> int | None:
    """The cores that the target can use: known only of a chat that is started here, one for each of its workers."""
    if options.rig:
        return 1
    if options.target is not None:
        return None
    return min(int(scenario.backend.get("workers", 1)), psutil.cpu_count() or 1)
