"""Runs `chatswarm run` against one chat each, and compares the verdict."""

import json
import os
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from tests.e2e.command import CHATSWARM, Command, chatswarm, measuring, running, scenario, until
from tests.plants.chat import Chat
from tests.plants.wire import Server, serving

from . import push_catalogue
from .catalogue import COINCIDENT, EVEN, UNMEASURED, CleanRun, Delay, Lateness, Planting, Variant, shape
from .judged import NULL, Outcome, found_in, medians_of, outside_faults, problems_of
from .push_catalogue import CleanPushRun, PushPlanting

_PATIENCE = 180  # seconds until a run times out
_PASS, _FAIL, _UNDECIDED = 0, 1, 3
_STOPPED_AFTER, _STOPPED_FOR = 2.0, 3.0  # seconds


def run_planted(planting: Planting, variant: Variant, folder: Path, *, under_fault: bool = False) -> Outcome:
    """A chat with a defect: the counts found must be exactly those planted.

    `under_fault`: with a fault beside it that changes nothing.
    """
    dashboards = tomllib.loads(planting.scenario)["swarm"]["dashboards"]
    plant = planting.plant(**shape(variant), audience=dashboards)
    text = planting.scenario + (COINCIDENT if under_fault else "")
    outcome = _run(planting.label, plant, text, folder, slo=planting.slo)
    outcome.finding, outcome.variant, outcome.expected = plant.finding, variant, planting.expected
    _mark(outcome, under_fault=under_fault)
    if outcome.verdict:
        try:
            truth = plant.truth()
        except AssertionError as error:
            outcome.problems.append(f"the plant's own count failed: {error}")
        else:
            expected = outside_faults(truth) if under_fault else truth
            outcome.problems += problems_of(plant.finding, expected, outcome.verdict, planting.exit_code, UNMEASURED)
            outcome.problems += [] if truth or plant.broken else ["the plant broke nothing"]
    return outcome


def run_planted_push(planting: PushPlanting, folder: Path, *, under_fault: bool = False) -> Outcome:
    """A push chat with a defect: the counts found must be exactly those planted."""
    plant = planting.chat()
    text = planting.scenario + (COINCIDENT if under_fault else "")
    outcome = _run(planting.label, plant, text, folder, slo=planting.slo, protocol=planting.protocol)
    outcome.finding, outcome.expected = plant.finding, planting.expected
    outcome.variant = planting.protocol.rpartition(":")[2]
    _mark(outcome, under_fault=under_fault)
    if outcome.verdict:
        truth = outside_faults(plant.truth()) if under_fault else plant.truth()
        outcome.problems += problems_of(plant.finding, truth, outcome.verdict, planting.exit_code, planting.unmeasured)
    return outcome


def run_late(lateness: Lateness, folder: Path) -> Outcome:
    """A chat with a delay above the update target: every delivery is late."""
    chat = lateness.plant(delay=lateness.seconds)
    outcome = _run(lateness.label, chat, lateness.scenario, folder, protocol=lateness.protocol)
    outcome.finding, outcome.expected = "late", {"late": lateness.cause}
    outcome.variant = "original" if lateness.protocol == "reference" else lateness.protocol
    if outcome.verdict:
        unmeasured = UNMEASURED if lateness.protocol == "reference" else push_catalogue.UNMEASURED
        truth = {"late": outcome.verdict["deliveries"]["expected"]}
        outcome.problems += problems_of("late", truth, outcome.verdict, _FAIL, unmeasured)
    return outcome


def run_stopped(folder: Path) -> Outcome:
    """The clean chat, and a rig that stands still for 3 s: what is late is not the chat's doing."""
    outcome = _run("the rig, stopped", Chat(), EVEN.replace('"6s"', '"8s"'), folder, meanwhile=_stop)
    outcome.finding, outcome.expected = "late", {"late": "rig"}
    if outcome.verdict:
        found = {name for name, count in found_in(outcome.verdict).items() if count != NULL}
        if found != {"late"}:
            outcome.problems.append(f"late: nothing else must be found, got {', '.join(sorted(found)) or 'nothing'}")
        if outcome.verdict["exit_code"] != _UNDECIDED:
            outcome.problems.append(f"expected exit code {_UNDECIDED}, got {outcome.verdict['exit_code']}")
    return outcome


def _stop(command: Command) -> None:
    """Stops the swarm's processes in the middle of the measured part."""
    until(lambda: measuring(command), _PATIENCE, "the measured part did not begin")
    time.sleep(_STOPPED_AFTER)
    swarm = command.swarm().pid
    os.kill(swarm, signal.SIGSTOP)
    try:
        time.sleep(_STOPPED_FOR)
    finally:
        os.kill(swarm, signal.SIGCONT)


def _mark(outcome: Outcome, *, under_fault: bool) -> None:
    outcome.under_fault = under_fault
    outcome.variant += " beside a fault" if under_fault else ""


def run_clean(run: CleanRun, folder: Path) -> Outcome:
    """The chat without a defect: nothing may be found, and the verdict is a pass."""
    outcome = _run(f"clean {run.number + 1}", Chat(**shape(run.variant)), run.scenario, folder, seed=run.seed)
    outcome.variant = run.variant
    if outcome.verdict:
        outcome.problems += problems_of("", {}, outcome.verdict, _PASS, UNMEASURED)
    return outcome


def run_clean_push(run: CleanPushRun, folder: Path) -> Outcome:
    """A push chat without a defect: nothing may be found, and the verdict is a pass."""
    clean = run.clean
    outcome = _run(
        f"clean {run.number + 1}", clean.chat(), run.scenario, folder, seed=run.seed, protocol=clean.protocol
    )
    outcome.variant = run.label
    if outcome.verdict:
        outcome.problems += problems_of("", {}, outcome.verdict, _PASS, push_catalogue.UNMEASURED)
    return outcome


def run_delayed(delay: Delay, folder: Path) -> Outcome:
    """A chat with a delay: no findings, and its medians."""
    outcome = _run(delay.label, delay.plant(delay=delay.seconds), delay.scenario, folder, protocol=delay.protocol)
    outcome.variant = "original" if delay.protocol == "reference" else delay.protocol
    unmeasured = UNMEASURED if delay.protocol == "reference" else push_catalogue.UNMEASURED
    if outcome.verdict:
        outcome.problems += problems_of("", {}, outcome.verdict, _PASS, unmeasured)
        outcome.medians = medians_of(outcome.verdict, delay.medians)
    return outcome


def _run(
    label: str, chat: Server, text: str, folder: Path, *, slo: str = "", seed: int = 1, protocol: str = "reference",
    meanwhile: Callable[[Command], object] = lambda _: None,
) -> Outcome:  # fmt: skip
    """Runs `chatswarm run` up to its verdict, and then `chatswarm why`. Leaves the run in `folder`/run, and the
    commands' output beside it. `meanwhile` is called with the command that runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(label, folder=str(folder))
    began = time.monotonic()
    try:
        with serving(chat) as url:
            file = scenario(folder, text, (slo,) if slo else ())
            options = ["--target", url, "--protocol", protocol, "--out", "run", "--seed", str(seed), "--json"]
            with running([*CHATSWARM, "run", file, *options], folder) as command:
                meanwhile(command)
                result = command.result(_PATIENCE)
        if not result.out.startswith("{"):
            outcome.problems.append(f"no verdict, exit code {result.code}: {result.err[-500:]}")
        else:
            outcome.verdict = json.loads(result.out)
            if result.code != outcome.verdict["exit_code"]:
                outcome.problems.append(
                    f"exit code {outcome.verdict['exit_code']} in the verdict, {result.code} outside"
                )
            _explain(outcome, folder)
    except AssertionError as error:
        # An error in the chat itself: it broke something else than it declares.
        outcome.problems.append(f"the plant itself: {error}")
    except subprocess.TimeoutExpired as error:
        outcome.problems.append(f"the command did not end: {error}")
    outcome.seconds = time.monotonic() - began
    return outcome


def _explain(outcome: Outcome, folder: Path) -> None:
    """Adds what `chatswarm why` says of the run."""
    result = chatswarm("why", str(folder / "run"), "--json", folder=folder / "why", timeout=_PATIENCE)
    if result.out.startswith("{"):
        outcome.why = json.loads(result.out)
    else:
        outcome.not_explained = f"no answer from `chatswarm why`, exit code {result.code}: {result.err.strip()[-80:]}"
