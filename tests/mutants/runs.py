"""Runs `chatswarm run` against one chat each, and compares the verdict."""

import json
import subprocess
import time
import tomllib
from pathlib import Path

from tests.e2e.command import CHATSWARM, running, scenario
from tests.plants.chat import Chat
from tests.plants.wire import Server, serving

from . import push_catalogue
from .catalogue import UNMEASURED, CleanRun, Delay, Planting, Variant, shape
from .judged import Outcome, medians_of, problems_of
from .push_catalogue import CleanPushRun, PushPlanting

_PATIENCE = 180  # seconds until a run times out
_PASS = 0


def run_planted(planting: Planting, variant: Variant, folder: Path) -> Outcome:
    """A chat with a defect: the counts found must be exactly those planted."""
    dashboards = tomllib.loads(planting.scenario)["swarm"]["dashboards"]
    plant = planting.plant(**shape(variant), audience=dashboards)
    outcome = _run(planting.label, plant, planting.scenario, folder, slo=planting.slo)
    outcome.finding, outcome.variant = plant.finding, variant
    if outcome.verdict:
        try:
            truth = plant.truth()
        except AssertionError as error:
            outcome.problems.append(f"the plant's own count failed: {error}")
        else:
            outcome.problems += problems_of(plant.finding, truth, outcome.verdict, planting.exit_code, UNMEASURED)
            outcome.problems += [] if truth or plant.broken else ["the plant broke nothing"]
    return outcome


def run_planted_push(planting: PushPlanting, folder: Path) -> Outcome:
    """A push chat with a defect: the counts found must be exactly those planted."""
    plant = planting.chat()
    outcome = _run(planting.label, plant, planting.scenario, folder, slo=planting.slo, protocol=planting.protocol)
    outcome.finding, outcome.variant = plant.finding, planting.protocol
    if outcome.verdict:
        unmeasured = push_catalogue.UNMEASURED
        outcome.problems += problems_of(plant.finding, plant.truth(), outcome.verdict, planting.exit_code, unmeasured)
    return outcome


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
    label: str, chat: Server, text: str, folder: Path, *, slo: str = "", seed: int = 1, protocol: str = "reference"
) -> Outcome:
    """Runs `chatswarm run` up to its verdict. Leaves the run in `folder`/run, and the command's output beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(label, folder=str(folder))
    began = time.monotonic()
    try:
        with serving(chat) as url:
            file = scenario(folder, text, (slo,) if slo else ())
            options = ["--target", url, "--protocol", protocol, "--out", "run", "--seed", str(seed), "--json"]
            with running([*CHATSWARM, "run", file, *options], folder) as command:
                result = command.result(_PATIENCE)
        if not result.out.startswith("{"):
            outcome.problems.append(f"no verdict, exit code {result.code}: {result.err[-500:]}")
        else:
            outcome.verdict = json.loads(result.out)
            if result.code != outcome.verdict["exit_code"]:
                outcome.problems.append(
                    f"exit code {outcome.verdict['exit_code']} in the verdict, {result.code} outside"
                )
    except AssertionError as error:
        # An error in the chat itself: it broke something else than it declares.
        outcome.problems.append(f"the plant itself: {error}")
    except subprocess.TimeoutExpired as error:
        outcome.problems.append(f"the command did not end: {error}")
    outcome.seconds = time.monotonic() - began
    return outcome
