"""Runs both sides of a comparison in turns, A B, B A, …, and decides: the runs, their order and when to stop."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.judge.judge import Judged, Step
from chatswarm.loadtests.run.run import CannotRunError, InterruptedRunError, RigError, Run
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.interrupts import Interrupts
from chatswarm.loadtests.system.progress import RunProgress
from chatswarm.loadtests.testbed.messages import TestbedOptions

from .decide import CompareSettings, RunPair, decide
from .measured import MeasuredRun, figures_of_run, measured_run
from .metrics import DEFAULT, latency_of
from .result import CompareResult
from .schedule import LOOKS, PAIRS, PairSide, PlannedPair, may_stop, most_runs, next_pair
from .verdicts import FEWEST

AROUND = 4.0
"""Seconds of a run before its ramp and after its drain: the start, the final read, the verdict."""


@dataclass(frozen=True)
class LiveSide:
    """A chat under test: what to run against it, and its name for people."""

    name: str
    scenario: Scenario
    options: TestbedOptions


@dataclass(frozen=True)
class ComparePlan:
    """What a live comparison runs. Raises ValueError for a number of pairs or a time that decides nothing."""

    base: LiveSide
    new: LiveSide
    repeat: int = PAIRS
    until_decided: bool = False
    """Instead of `repeat` pairs: looks after some numbers of pairs (`schedule.LOOKS`) whether all is decided."""
    max_time: float | None = None
    """Seconds after which no pair is running any more."""
    seed: int = 1
    processes: int = 1

    def __post_init__(self) -> None:
        if self.repeat < FEWEST:
            raise ValueError(f"--repeat: expected at least {FEWEST} pairs, got {self.repeat}")
        least = FEWEST * self.seconds_of_pair
        if self.max_time is not None and self.max_time < least:
            raise ValueError(
                f"--max-time: expected at least {least:.0f}s, the time that {FEWEST} pairs take, got {self.max_time:g}s"
            )

    @property
    def pairs(self) -> int:
        """How many decided pairs are wanted, at most."""
        return LOOKS[-1] if self.until_decided else self.repeat

    @property
    def seconds_of_pair(self) -> float:
        """How long two runs take, about."""
        scenario = self.base.scenario
        return 2 * (scenario.ramp + scenario.duration + scenario.drain + AROUND)

    @property
    def seconds(self) -> tuple[float, float]:
        """How long the whole takes, about: if no pair has to be repeated, and at most."""
        first = LOOKS[0] if self.until_decided else self.repeat
        least, most = first * self.seconds_of_pair, most_runs(self.pairs) / 2 * self.seconds_of_pair
        limit = self.max_time or most
        return min(least, limit), min(most, limit)

    def side(self, name: PairSide) -> LiveSide:
        """One of both."""
        return self.base if name == "base" else self.new


@dataclass(frozen=True)
class CompareProgress:
    """What is run now, and what remains: figures for watching."""

    pair: int
    """From 1."""
    pairs: int
    """How many are wanted, at most."""
    side: PairSide
    name: str
    seed: int
    first: bool
    """Whether this is the first run of its pair."""
    again: bool
    """The pair is repeated, because one of its runs was undecided."""
    remaining: float
    """Seconds that are left, about, if nothing is repeated."""


@dataclass
class LiveComparison:
    """A comparison that makes its own runs, each in a folder below `folder`, which exists."""

    plan: ComparePlan
    settings: CompareSettings
    folder: Path
    begins: Callable[[CompareProgress], None] = lambda _: None
    """Called before each run."""
    ended: Callable[[Sequence[RunPair]], None] = lambda _: None
    """Called after each pair, with all pairs."""
    show: Callable[[RunProgress], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    step: Step = lambda *_: None
    report: Callable[[Judged, Path], str | None] = lambda *_: None
    interrupts: Interrupts = field(default_factory=Interrupts)
    pairs: list[RunPair] = field(default_factory=list)
    """The pairs of which both runs were made, in their order."""

    def perform(self) -> CompareResult:
        """Makes the runs, and decides. What was measured is kept, whatever stops them.

        A Ctrl-C ends the run that is going on, and the comparison: without all pairs, nothing is decided. Raises
        CannotRunError if nothing was measured; RigError and InterruptedRunError if no pair was.
        """
        reasons: list[str] = []
        notes: list[str] = []
        began, longest = time.monotonic(), self.plan.seconds_of_pair
        with self.interrupts:
            while (pair := next_pair(self.plan.pairs, self._decided, self.plan.seed)) is not None:
                spent = time.monotonic() - began
                if self.plan.max_time is not None and spent + longest > self.plan.max_time:
                    notes.append(f"--max-time ended it after {sum(self._decided)} of {self.plan.pairs} pairs")
                    break
                started = time.monotonic()
                if (stopped := self._run_pair(pair, longest)) is not None:
                    reasons.append(f"{stopped}, after {sum(self._decided)} of {self.plan.pairs} pairs")
                    break
                longest = (
                    time.monotonic() - started if len(self.pairs) == 1 else max(longest, time.monotonic() - started)
                )
                self.ended(self.pairs)
                if self.plan.until_decided and may_stop(sum(self._decided)) and self._told():
                    break
        if pair is None and sum(self._decided) < self.plan.pairs:
            notes.append(
                f"only {sum(self._decided)} of {self.plan.pairs} pairs were decided, and no repetition remained"
            )
        result = self._decide(reasons)
        result.notes += notes
        return result

    @property
    def _decided(self) -> list[bool]:
        """Of each pair that was made: whether both runs count."""
        latencies = any(latency_of(metric) is not None for metric in self.settings.on or DEFAULT)
        return [all(run.outcome != "undecided" and (run.sound or not latencies) for run in pair) for pair in self.pairs]

    def _told(self) -> bool:
        return self._decide([]).outcome != "cannot tell"

    def _decide(self, reasons: Sequence[str]) -> CompareResult:
        names = (self.plan.base.name, self.plan.new.name)
        return decide(self.pairs, self.settings, names, reasons=reasons)

    def _run_pair(self, pair: PlannedPair, seconds: float) -> str | None:
        """Makes both runs of a pair. Returns why the comparison stops, if it does.

        Raises the run's own error if there is no pair to keep.
        """
        runs: dict[PairSide, MeasuredRun] = {}
        for place, side in enumerate(pair.order):
            left = self.plan.pairs - sum(self._decided) - place / 2
            self.begins(self._progress(pair, side, left * seconds, place == 0))
            try:
                runs[side] = self._run(pair, side)
            except (CannotRunError, RigError, InterruptedRunError) as error:
                if not self.pairs:
                    raise
                return f"{self.plan.side(side).name}: {error}"
            if runs[side].exit_code == ExitCode.INTERNAL:
                return "; ".join(runs[side].reasons)
            if self.interrupts.count:
                if not self.pairs:
                    raise InterruptedRunError(f"interrupted before a pair was measured; its runs are in {self.folder}")
                return "interrupted"
        self.pairs.append((runs["base"], runs["new"]))
        return None

    def _progress(self, pair: PlannedPair, side: PairSide, remaining: float, first: bool) -> CompareProgress:
        again = bool(self._decided) and not self._decided[-1]
        name = self.plan.side(side).name
        return CompareProgress(pair.number + 1, self.plan.pairs, side, name, pair.seed, first, again, remaining)

    def _run(self, pair: PlannedPair, side: PairSide) -> MeasuredRun:
        judged: list[Judged] = []

        def report(run: Judged, folder: Path) -> str | None:
            judged.append(run)
            return self.report(run, folder)

        run = Run(
            scenario=self.plan.side(side).scenario,
            folder=self.folder / f"{side}-{pair.number + 1:02}",
            options=self.plan.side(side).options,
            seed=pair.seed,
            processes=self.plan.processes,
            show=self.show,
            say=self.say,
            step=self.step,
            report=report,
            numbered=True,
            interrupts=self.interrupts,
        )
        run.perform()
        return figures_of_run(run.folder, judged[0]) if judged else measured_run(run.folder)
