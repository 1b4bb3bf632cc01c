"""The result of a comparison to assert on, with the names of `comparison.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chatswarm.loadtests.compare.result import COMPARISON, ComparedMetric, CompareResult, from_number
from chatswarm.loadtests.system.text import one_line

from .result import UndecidedError, text_of


class MeasuredRatio:
    """new ÷ base of one metric: 1.2 is 20 % more. Infinite if only the new side lost messages."""

    def __init__(self, metric: ComparedMetric) -> None:
        """Raises UndecidedError if there is none."""
        if metric.ratio is None:
            raise UndecidedError(f"{metric.metric} has no ratio: {metric.doubt or 'not every run has any'}")
        ratio = metric.ratio
        self.estimate, self.low, self.high = map(from_number, (ratio.estimate, ratio.low, ratio.high))

    def __repr__(self) -> str:
        return f"ratio({self.estimate:.3g}, from {self.low:.3g} to {self.high:.3g})"


class MeasuredMetric:
    """One metric of a comparison."""

    def __init__(self, of: ComparedMetric) -> None:
        self.raw = of
        self.metric = of.metric
        self.outcome = of.outcome
        self.decides = of.decides
        self.pairs = of.pairs
        self.runs_with = of.runs_with
        self.floor_share = of.floor_share

    @property
    def ratio(self) -> MeasuredRatio:
        """Raises UndecidedError if there are too few pairs, and for a count that not every run has."""
        return MeasuredRatio(self.raw)

    def __repr__(self) -> str:
        shown = "" if self.raw.ratio is None else f", {self.ratio!r}"
        return f"{self.metric}({self.outcome}{shown})"


class MeasuredComparison:
    """What a comparison found out: better, same or worse. `raw` has everything as in `comparison.json`."""

    def __init__(self, of: CompareResult, folder: Path) -> None:
        """`folder`: where its runs and its page are."""
        self.raw = of
        self.folder = folder
        self.outcome = of.outcome
        self.exit_code = of.exit_code
        self.scenario = of.scenario
        self.pairs = of.pairs
        self.reasons = of.reasons
        self.notes = of.notes
        self.metrics = {metric.metric: MeasuredMetric(metric) for metric in of.metrics}

    @property
    def passed(self) -> bool:
        """Whether the new side is better or the same."""
        return self.outcome in ("better", "same")

    @property
    def line(self) -> str:
        """It, in a line of pytest's summary."""
        run = f"{self.raw.new.name} against {self.raw.base.name}"
        return one_line(f"{self.outcome}: {self.scenario}, {run}, {self.folder}")

    @property
    def headline(self) -> str:
        """The outcome in a sentence, with what it rests on."""
        from chatswarm.loadtests.report.compare_wording import headline

        return headline(self.raw)

    def __getitem__(self, metric: str) -> MeasuredMetric:
        """One of the metrics that were compared. Raises KeyError for any other."""
        return self.metrics[metric]

    def text(self, width: int = 100) -> str:
        """The result as `chatswarm compare` prints it."""
        from chatswarm.loadtests.report.compare_text import print_comparison

        return text_of(lambda console: print_comparison(console, self.raw), width)

    def __repr__(self) -> str:
        return f"<{self.line}>"


def read_comparison(folder: Path) -> MeasuredComparison:
    """The result in a comparison's folder. Raises OSError and msgspec.MsgspecError."""
    return MeasuredComparison(msgspec.json.decode((folder / COMPARISON).read_bytes(), type=CompareResult), folder)
