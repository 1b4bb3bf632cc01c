"""`make mutants`: runs all plants, all delays and many clean chats.

Exits with 0 if all findings are as planted, and the causes that `chatswarm why` names.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from .catalogue import BASELINES, CLEAN_RUNS, DELAYS, LATENESSES, PLANTINGS, CleanRun, Delay, variants
from .explained import Score, blamed_faults, claims, explained
from .judged import Outcome, shifts, without_delay, wrong_shifts
from .push_catalogue import (
    CLEAN_PUSH,
    CLEAN_PUSH_RUNS,
    PUSH_BASELINES,
    PUSH_DELAYS,
    PUSH_LATENESSES,
    PUSH_PLANTINGS,
    CleanPushRun,
)
from .report import causes, delays, diagonal
from .runs import run_clean, run_clean_push, run_delayed, run_late, run_planted, run_planted_push, run_stopped

Run = Callable[[Path], Outcome]
_WIDTH = 160


class Runs(NamedTuple):
    """What is run, in this order."""

    slow: tuple[Delay, ...]
    planted: list[Run]
    clean: list[Run]

    @property
    def all(self) -> list[Run]:
        return [*(partial(run_delayed, delay) for delay in self.slow), *self.planted, *self.clean]


def main() -> int:
    """Runs the selected plants, prints the tables, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="class names of plants to run (default: everything)")
    parser.add_argument("--push", action="store_true", help="only the push chat's, of all that there are")
    parser.add_argument("--at-once", type=int, default=5, help="number of parallel runs (default: 5)")
    asked = parser.parse_args()
    known = {planting.label for planting in PLANTINGS} | {row.label for row in PUSH_PLANTINGS}
    if unknown := set(asked.names) - known:
        parser.error(f"expected names of plants in the catalogues, got {', '.join(sorted(unknown))}")
    runs = selected(asked.names, push_only=asked.push)
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    began = time.monotonic()
    outcomes = perform(runs.all, folder, asked.at_once)
    slow, others = outcomes[: len(runs.slow)], outcomes[len(runs.slow) :]
    measured = measure(zip(runs.slow, slow, strict=True))
    console = Console(width=_WIDTH, highlight=False)
    console.print(diagonal(others[: len(runs.planted)]))
    if measured:
        console.print()
        console.print(delays(measured))
    clean: dict[str, list[Outcome]] = {}
    for outcome in others[len(runs.planted) :]:
        clean.setdefault(outcome.variant, []).append(outcome)
    for variant, group in clean.items():
        good = sum(not run.problems for run in group)
        console.print(f"\nclean chat ({variant}): {good} of {len(group)} runs without a finding", end="")
    score = scored(outcomes)
    console.print("\n")
    console.print(causes(score.explanations))
    for line in score.lines():
        console.print(line, markup=False)
    wrong = [outcome for outcome in outcomes if outcome.problems]
    console.print(f"\n{len(outcomes)} runs in {time.monotonic() - began:.0f} s, {len(wrong)} wrong")
    for outcome in wrong:
        console.print(f"\n{outcome.label} ({outcome.variant}): {outcome.folder}", style="bold red")
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False)
    if not wrong and score.met:
        shutil.rmtree(folder)
        return 0
    console.print(f"\nthe runs: {folder}", markup=False)
    return 1


def selected(names: Collection[str], *, push_only: bool) -> Runs:
    """The plants with these names; without names, everything."""
    planted: list[Run] = [
        partial(run_planted, planting, variant)
        for planting in (() if push_only else PLANTINGS)
        for variant in planting.variants
        if not names or planting.label in names
    ]
    planted += [partial(run_planted_push, row) for row in PUSH_PLANTINGS if not names or row.label in names]
    # Each again beside a fault that changes nothing, in one variant.
    planted += [
        partial(run_planted, planting, planting.variants[-1], under_fault=True)
        for planting in (() if push_only else PLANTINGS)
        if not names or planting.label in names
    ]
    planted += [
        partial(run_planted_push, row, under_fault=True) for row in PUSH_PLANTINGS if not names or row.label in names
    ]
    if names:
        return Runs((), planted, [])
    planted += [partial(run_late, lateness) for lateness in PUSH_LATENESSES]
    slow = (*PUSH_BASELINES, *PUSH_DELAYS)
    clean: list[Run] = [
        partial(run_clean_push, CleanPushRun(chat, number)) for number in range(CLEAN_PUSH_RUNS) for chat in CLEAN_PUSH
    ]
    if not push_only:
        planted += [*(partial(run_late, lateness) for lateness in LATENESSES), run_stopped]
        slow = (*BASELINES, *DELAYS, *slow)
        clean = [
            partial(run_clean, CleanRun(variant, number)) for number in range(CLEAN_RUNS) for variant in variants()
        ] + clean
    return Runs(slow, planted, clean)


def scored(outcomes: Iterable[Outcome]) -> Score:
    """What `chatswarm why` said of all runs, compared."""
    score = Score()
    for outcome in outcomes:
        if not outcome.verdict:
            continue  # that is a problem already
        score.explanations += explained(
            outcome.label, outcome.variant, outcome.expected, outcome.why, outcome.not_explained
        )
        where = f"{outcome.label} ({outcome.variant})"
        if outcome.not_explained:
            score.unanswered.append(where)
            continue
        score.answered += 1
        if not outcome.finding:
            score.claimed += [f"{where}: {claim}" for claim in claims(outcome.why)]
        if outcome.under_fault:
            score.blamed += [f"{where}: {blame}" for blame in blamed_faults(outcome.why)]
    return score


def perform(runs: list[Run], folder: Path, at_once: int) -> list[Outcome]:
    """Runs `at_once` at a time, each chat in a separate process, and prints progress. Keeps their order."""
    outcomes: dict[int, Outcome] = {}
    # Spawned, not forked, because a chat is served from a thread.
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run, folder / str(number)): number for number, run in enumerate(runs)}
        for future in as_completed(futures):
            outcome = outcomes[futures[future]] = future.result()
            state = "as planted" if not outcome.problems else f"WRONG: {outcome.problems[0][:200]}"
            line = (
                f"{len(outcomes):3}/{len(runs)} {outcome.label} ({outcome.variant}), {outcome.seconds:.0f} s: {state}"
            )
            print(line, file=sys.stderr, flush=True)
    return [outcomes[number] for number in sorted(outcomes)]


def measure(timed: Iterable[tuple[Delay, Outcome]]) -> list[tuple[Delay, dict[str, float]]]:
    """How much each planted delay moved each median. Adds wrong shifts to the outcome's problems."""
    good = [(delay, outcome) for delay, outcome in timed if outcome.medians]
    measured = []
    for delay, outcome in good:
        same = [other.medians for base, other in good if base.scenario == delay.scenario and not base.seconds]
        if not delay.seconds:
            continue
        if not same:
            outcome.problems.append("expected a run without the delay to compare with, got none")
            continue
        moved = shifts(outcome.medians, without_delay(same))
        outcome.problems += wrong_shifts(delay.moves, moved)
        measured.append((delay, moved))
    return measured


if __name__ == "__main__":
    sys.exit(main())
