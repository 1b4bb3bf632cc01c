"""Runs of the real command, each against a chat of its own."""

import json
import time
import tomllib
from pathlib import Path
from typing import Any

from tests.e2e.command import chatswarm, scenario
from tests.plants.chat import Chat, serving

from .catalogue import ALONE, EVEN, Delay, Planting
from .judged import Outcome, medians_of, problems_of

_PATIENCE = 120  # seconds that one run may take
PASS, FAIL = 0, 1


def run_planted(planting: Planting, ids: bool, folder: Path) -> Outcome:
    """A chat with a defect: what is found must be what was planted, to the one."""
    dashboards = tomllib.loads(planting.scenario)["swarm"]["dashboards"]
    plant = planting.plant(ids=ids, audience=dashboards)
    outcome = _run(planting.label, plant, planting.scenario, planting.slo, folder)
    outcome.finding, outcome.ids = plant.finding, ids
    if outcome.verdict:
        try:
            truth = plant.truth()
        except AssertionError as error:
            outcome.problems.append(f"the plant does not know what it broke: {error}")
        else:
            outcome.problems += problems_of(plant.finding, truth, outcome.verdict, FAIL)
            outcome.problems += [] if truth or plant.broken else ["the plant broke nothing"]
    return outcome


def run_clean(ids: bool, folder: Path) -> Outcome:
    """The chat without a defect: nothing may be found."""
    outcome = _run("clean", Chat(ids=ids), EVEN, "", folder)
    outcome.ids = ids
    if outcome.verdict:
        outcome.problems += problems_of("", {}, outcome.verdict, PASS)
    return outcome


def run_delayed(delay: Delay | None, folder: Path, text: str = ALONE) -> Outcome:
    """A slow chat, or without `delay` the same chat that is not slow: no findings, but medians."""
    if delay is None:
        outcome = _run("no delay", Chat(), text, "", folder)
    else:
        outcome = _run(delay.label, delay.plant(delay=delay.seconds), delay.scenario, "", folder)
    if outcome.verdict:
        outcome.problems += problems_of("", {}, outcome.verdict, PASS)
        outcome.medians = medians_of(outcome.verdict)
    return outcome


def _run(label: str, chat: Chat, text: str, slo: str, folder: Path) -> Outcome:
    """`chatswarm run` to its verdict. Leaves the run in `folder`/run, and what the command said beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(label)
    began = time.monotonic()
    try:
        with serving(chat) as url:
            file = scenario(folder, text, (slo,) if slo else ())
            result = chatswarm(
                "run", file, "--target", url, "--out", "run", "--json", folder=folder, timeout=_PATIENCE
            )
        outcome.verdict = _verdict(result.out)
        if not outcome.verdict:
            outcome.problems.append(f"no verdict, exit code {result.code}: {result.err[-500:]}")
        elif result.code != outcome.verdict["exit_code"]:
            outcome.problems.append(f"exit code {outcome.verdict['exit_code']} in the verdict, {result.code} outside")
    except AssertionError as error:
        # The chat's own mistakes: it broke something else than it says.
        outcome.problems.append(f"the plant itself: {error}")
    outcome.seconds = time.monotonic() - began
    return outcome


def _verdict(text: str) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
    return verdict
