"""What a person sees while a comparison reads or makes its runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from chatswarm.loadtests.compare.comparable import check_folders, paired_runs, take_turns
from chatswarm.loadtests.compare.decide import CompareSettings, RunPair, SideCurves, curves_of, decide
from chatswarm.loadtests.compare.live import ComparePlan, CompareProgress, LiveComparison
from chatswarm.loadtests.compare.measured import MeasuredRun, measured_run
from chatswarm.loadtests.compare.result import CompareResult
from chatswarm.loadtests.history.folders import REPORT
from chatswarm.loadtests.judge.judge import Judged
from chatswarm.loadtests.system.interrupts import Interrupts
from chatswarm.loadtests.system.progress import RunProgress

from .compare_text import announcement, current, pair_line
from .figures import figures_of
from .files import NotWrittenError
from .html import page
from .terminal import LiveLine

_ENDING = "interrupted: the run that is going on is the last one (Ctrl-C again skips its drain)"


@dataclass(frozen=True)
class ComparedSession:
    """The result, and what its page needs besides."""

    result: CompareResult
    curves: list[SideCurves]


def compare_folders(
    console: Console, base: Sequence[Path], new: Sequence[Path], settings: CompareSettings, *, animated: bool
) -> ComparedSession:
    """Judges the runs in these folders and compares them. Raises NotComparableError and NoRunError."""
    check_folders(base, new)
    folders, runs = [*base, *new], list[MeasuredRun]()
    with LiveLine(console, animated) as line:
        for number, folder in enumerate(folders, 1):
            line.heading = f"run {number} of {len(folders)}: {folder}"
            runs.append(measured_run(folder, line.step))
    pairs = paired_runs(runs[: len(base)], runs[len(base) :])
    result = decide(pairs, settings, took_turns=take_turns(pairs))
    return ComparedSession(result, curves_of(pairs, result.metrics))


def compare_live(
    console: Console,
    plan: ComparePlan,
    settings: CompareSettings,
    folder: Path,
    interrupts: Interrupts,
    *,
    animated: bool,
) -> ComparedSession:
    """Makes the runs in `folder`, which exists, and compares them. Raises what LiveComparison.perform does.

    Without `animated` only the plan, and pairs that have to be repeated, are shown.
    """
    console.print(announcement(plan), soft_wrap=True, highlight=False)
    now: CompareProgress | None = None
    began = 0.0
    with LiveLine(console, animated) as line:

        def begins(progress: CompareProgress) -> None:
            nonlocal now, began
            now, began = progress, time.monotonic()
            line.heading = current(now)
            if progress.again and progress.first:
                line.say(f"pair {progress.pair} is run again, because one of its runs was undecided")

        def ended(pairs: Sequence[RunPair]) -> None:
            if animated:
                line.say(pair_line(decide(pairs, settings)))

        def show(progress: RunProgress) -> None:
            if animated and now is not None:
                line.heading = _ENDING if interrupts.count else current(now, time.monotonic() - began)
                line.show(progress)

        live = LiveComparison(
            plan,
            settings,
            folder,
            begins=begins,
            ended=ended,
            show=show,
            step=line.step,
            report=_write_page,
            interrupts=interrupts,
        )
        result = live.perform()
    return ComparedSession(result, curves_of(live.pairs, result.metrics))


def _write_page(run: Judged, folder: Path) -> str:
    """The run's own page. What goes wrong with it costs the comparison nothing."""
    try:
        (folder / REPORT).write_text(page(figures_of(run)), encoding="utf-8")
    except (OSError, NotWrittenError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - as for the page of a single run
        return f"no page was written for {folder}: {type(error).__name__}: {error}"
    return ""
