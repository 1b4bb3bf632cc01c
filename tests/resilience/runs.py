"""Runs the scenario of one row of the catalogue, each time against a fresh target."""

import shlex
import threading
import time
import tomllib
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import tomli_w

from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.scenario.scenario import shipped

from .catalogue import Row
from .judged import Ended, Kind, Outcome, Start, problems_of, problems_of_end
from .place import HERE, two_hosts
from .started import REFERENCE, broker, started
from .starts import Asked, perform

_TOKEN = "of-our-dashboards"


def run(row: Row, kind: Kind, folder: Path, start: Start = "run") -> Outcome:
    """Runs a scenario up to its verdict. Leaves the run in `folder`/run, and logs beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(Path(row.scenario).stem, kind, _label(row, kind), start, folder=str(folder))
    began = time.monotonic()
    try:
        content = table_of(row.scenario)
        if row.in_rooms:
            content = in_rooms(content)
        outcome.fault = ", ".join(fault.get("kind", "?") for fault in content.get("fault", []))
        ended = _perform(row, kind, content, folder, start)
        outcome.verdict = ended.verdict
        outcome.problems += problems_of_end(ended)
        if ended.verdict:
            outcome.problems += problems_of(kind, row.shows, ended.verdict)
    except Exception as error:  # noqa: BLE001 - the other runs must go on
        outcome.problems.append(f"{type(error).__name__}: {error}")
    outcome.seconds = time.monotonic() - began
    return outcome


def table_of(scenario: str) -> dict[str, Any]:
    """Reads a scenario's file. Raises OSError."""
    path = shipped().get(scenario) or Path(scenario)
    return tomllib.loads(path.read_text(encoding="utf-8"))


def unharmed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same scenario without its faults, and without the SLOs that mention them."""
    faults = {fault.get("name") for fault in content.get("fault", [])}
    slos = [slo for slo in content.get("slo", []) if not faults & set(slo["expect"].split())]
    return {key: value for key, value in content.items() if key not in ("fault", "slo")} | {"slo": slos}


def in_rooms(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same scenario against a push chat, with a room of 12 dashboards for each widget."""
    rooms = {"count": content["swarm"]["widgets"], "members": 12}
    return {**content, "rooms": rooms, "backend": {**content.get("backend", {}), "push": True}}


def _label(row: Row, kind: Kind) -> str:
    match kind:
        case "reference":
            return "reference, push" if row.in_rooms else "reference"
        case "clean":
            return row.clean
        case "without":
            return row.counterpart
        case "unharmed":
            return f"{row.counterpart}, no fault"


def _perform(row: Row, kind: Kind, content: dict[str, Any], folder: Path, start: Start) -> Ended:
    broken = kind in ("without", "unharmed")
    target: str | None = None
    options: list[str] = []
    env: dict[str, str] = {}
    with ExitStack() as opened:
        place = opened.enter_context(two_hosts() if start == "namespaces" else nullcontext(HERE))
        name = row.clean if kind == "clean" else row.chat if broken else ""
        if start != "run":
            name = name or REFERENCE  # Locust starts none
        if name:
            values: dict[str, str] = {}
            if row.broker:
                bus = opened.enter_context(broker(folder))
                values = {"broker_url": bus.url, "broker_kill": bus.kill_command, "broker_start": bus.start_command}
            flags = [part.format_map(values) for part in row.flags] if broken else []
            if row.needs_token:
                flags += ["--token", _TOKEN]
                env[TOKEN] = _TOKEN
            token = _TOKEN if row.needs_token else ""
            chat = opened.enter_context(started(name, folder, *flags, token=token, place=place))
            # Reaps the process when a fault kills it: until then it would be a zombie.
            threading.Thread(target=chat.child.process.wait, daemon=True).start()
            values |= {
                "pid": str(chat.child.process.pid), "restart": shlex.join(chat.command), "database": str(chat.database)
            }  # fmt: skip
            content = {**content, "fault": [adapted(fault, row, values) for fault in content.get("fault", [])]}
            target, options = chat.url, [part.format_map(values) for part in row.options]
        if broken:
            content = {**content, "swarm": {**content["swarm"], **row.swarm}}
        if kind == "unharmed":
            content = unharmed(content)
        file = folder / f"{Path(row.scenario).stem}.toml"
        file.write_text(tomli_w.dumps(content), encoding="utf-8")
        return perform(start, Asked(file, folder, target, options, env, place))


def adapted(fault: Mapping[str, Any], row: Row, values: Mapping[str, str]) -> dict[str, Any]:
    """The fault, with the keys that it needs for a chat that chatswarm did not start."""
    keys = {key: value.format_map(values) for key, value in row.faults.get(fault["name"], {}).items()}
    if "kind" in keys:
        fault = {key: fault[key] for key in ("name", "at", "for", "every") if key in fault}
    return {**fault, **keys}
