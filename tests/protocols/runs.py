"""Performs one row of the catalogue, against its server."""

import time
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from chatswarm.loadtests.protocols.catalogue import shipped
from tests.resilience.judged import Ended
from tests.resilience.starts import Asked, perform
from tests.servers.server import Running, UnavailableError

from .catalogue import HERE, Chat, Row
from .judged import Outcome, problems_of


def run(row: Row, folder: Path) -> Outcome:
    """Runs a scenario up to its verdict. Leaves the run in `folder`/run, and the server's log beside it."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(row, folder=str(folder))
    began = time.monotonic()
    try:
        outcome.version = row.chat.server.version()
        with row.chat.server.running(folder / "server", row.defect) as running:
            ended = _perform(row, running, folder)
        outcome.verdict = ended.verdict
        outcome.problems += problems_of(row, ended)
    except UnavailableError as error:
        outcome.skipped = str(error)
    except Exception as error:  # noqa: BLE001 - the other runs must go on
        outcome.problems.append(f"{type(error).__name__}: {error}")
    outcome.seconds = time.monotonic() - began
    return outcome


def _perform(row: Row, running: Running, folder: Path) -> Ended:
    scenario = Path(row.scenario)
    if not row.shipped:
        scenario = folder / f"{row.scenario}.toml"
        scenario.write_text(tomli_w.dumps(scenario_of(row)), encoding="utf-8")
    return perform_against(row.chat, running, scenario, folder, row.protocol, kills=row.scenario == "kill")


def perform_against(
    chat: Chat, running: Running, scenario: Path, folder: Path, protocol: str = "", *, kills: bool = False
) -> Ended:
    """Runs a scenario against a server that is up. `protocol`: in place of the chat's; `kills`: the scenario does."""
    options = ["--protocol", _protocol_for(chat, protocol, folder)]
    if kills:
        options += ["--pid", str(running.pid), "--restart-command", running.restart_command]
    if running.users_file is not None:
        options += ["--users-file", str(running.users_file)]
    return perform("run", Asked(scenario, folder, running.base_url, options, running.environment))


def scenario_of(row: Row) -> dict[str, Any]:
    """The scenario in this folder, as this row wants it."""
    content = tomllib.loads((HERE / f"{row.scenario}.toml").read_text(encoding="utf-8"))
    if row.chat.rooms:
        content["rooms"] = dict(row.chat.rooms)
    content["swarm"] |= row.swarm
    if row.expected == "fail":
        # What fails is said by the row, and the scenario's SLOs ask for a chat without a defect.
        content["slo"] = []
    content["slo"] += [{"expect": slo} for slo in row.expectations]
    return content


def _protocol_for(chat: Chat, instead: str, folder: Path) -> str:
    """What to give to `--protocol`."""
    if instead or chat.protocol.endswith(".toml"):
        return str(HERE / (instead or chat.protocol))
    if not chat.slower:
        return chat.protocol
    copy = folder / f"{chat.protocol}.toml"
    copy.write_text(with_short_heartbeats(chat), encoding="utf-8")
    return str(copy)


def with_short_heartbeats(chat: Chat) -> str:
    """The shipped file with other durations, and otherwise as it is."""
    text = shipped()[chat.protocol].read_text(encoding="utf-8")
    for long, short in chat.slower.items():
        assert text.count(long) == 1, f"{chat.protocol}: expected {long} once, got it {text.count(long)} times"
        text = text.replace(long, short)
    return text
