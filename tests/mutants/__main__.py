"""`make mutants`: runs all plants, all delays and many clean chats. Exits with 0 if all findings are as planted."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from .catalogue import BASELINES, CLEAN_RUNS, DELAYS, PLANTINGS, CleanRun, Delay, variants
from .judged import Outcome, shifts, without_delay, wrong_shifts
from .report import delays, diagonal
from .runs import run_clean, run_delayed, run_planted

Run = Callable[[Path], Outcome]
_WIDTH = 150


def main() -> int:
    """Runs the selected plants, prints the tables, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="class names of plants to run (default: everything)")
    parser.add_argument("--at-once", type=int, default=5, help="number of parallel runs (default: 5)")
    asked = parser.parse_args()
    if unknown := set(asked.names) - {planting.label for planting in PLANTINGS}:
        parser.error(f"expected names of plants in catalogue.py, got {', '.join(sorted(unknown))}")
    everything = not asked.names
    slow = (*BASELINES, *DELAYS) if everything else ()
    planted = [
        (planting, variant)
        for planting in PLANTINGS
        for variant in planting.variants
        if everything or planting.label in asked.names
    ]
    clean = [CleanRun(variant, number) for number in range(CLEAN_RUNS if everything else 0) for variant in variants()]
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    began = time.monotonic()
    outcomes = perform(
        [
            *(partial(run_delayed, delay) for delay in slow),
            *(partial(run_planted, planting, variant) for planting, variant in planted),
            *(partial(run_clean, run) for run in clean),
        ],
        folder,
        asked.at_once,
    )
    timed = list(zip(slow, outcomes, strict=False))
    measured = measure(timed)
    console = Console(width=_WIDTH, highlight=False)
    console.print(diagonal(outcomes[len(slow) : len(slow) + len(planted)]))
    if measured:
        console.print()
        console.print(delays(measured))
    for variant in variants() if clean else ():
        runs = [outcome for outcome in outcomes[-len(clean) :] if outcome.variant == variant]
        good = sum(not run.problems for run in runs)
        console.print(f"\nclean chat ({variant}): {good} of {len(runs)} runs without a finding", end="")
    wrong = [outcome for outcome in outcomes if outcome.problems]
    console.print(f"\n\n{len(outcomes)} runs in {time.monotonic() - began:.0f} s, {len(wrong)} wrong")
    for outcome in wrong:
        console.print(f"\n{outcome.label} ({outcome.variant}): {outcome.folder}", style="bold red")
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False)
    if not wrong:
        shutil.rmtree(folder)
    return 1 if wrong or not outcomes else 0


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
