"""The result of a comparison, as `--json` prints it and every report shows it."""

import math
from typing import Literal, overload

import msgspec

from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import to_json

from .verdicts import Difference

COMPARISON, COMPARISON_PAGE = "comparison.json", "comparison.html"
CompareNumber = float | Literal["infinite"]
"""JSON has no infinite numbers."""
EXIT_CODES: dict[Difference, ExitCode] = {
    "better": ExitCode.PASS,
    "same": ExitCode.PASS,
    "worse": ExitCode.FAIL,
    "cannot tell": ExitCode.UNDECIDED,
}


@overload
def to_number(value: float) -> CompareNumber: ...


@overload
def to_number(value: float | None) -> CompareNumber | None: ...


def to_number(value: float | None) -> CompareNumber | None:
    """A figure as it is written; None if it was not measured."""
    return "infinite" if value is not None and math.isinf(value) else value


def from_number(value: CompareNumber) -> float:
    """A figure that was written."""
    return math.inf if isinstance(value, str) else value


class ComparedRatio(msgspec.Struct):
    """new ÷ base, with its interval."""

    estimate: CompareNumber
    low: CompareNumber
    high: CompareNumber


class ComparedMetric(msgspec.Struct):
    """What can be said about one metric."""

    metric: str
    outcome: Difference
    decides: bool
    """False: it hides the chat, so only "worse" would count."""
    ratio: ComparedRatio | None
    """None: too few pairs, or a count that not every run has."""
    p_value: float | None
    """How likely such a difference is between sides that are the same, for all metrics together."""
    pairs: int
    """Of which both runs were decided."""
    runs_with: tuple[int, int] | None
    """Of a count: how many base and new runs have it."""
    doubt: str
    """Why the runs cannot tell; empty if they can."""
    more_pairs: int | None
    """About how many more pairs would tell; None: it was told, or no number would."""
    floor_share: float | None
    """How much of the figure is waiting for the refetch interval, from 0 to 1; None: nothing of it."""
    base: list[CompareNumber | None]
    """Each run's figure, in the order of the pairs: seconds, or a count. None: not counted."""
    new: list[CompareNumber | None]

    @property
    def is_latency(self) -> bool:
        """Whether its figures are seconds."""
        return "." in self.metric


class ComparedRun(msgspec.Struct):
    """One run, and why it does not count, if so."""

    folder: str
    seed: int
    verdict: Outcome
    reasons: list[str]


class ComparedSide(msgspec.Struct):
    """One side: its name for people, and its runs. The i-th runs of both sides are a pair."""

    name: str
    runs: list[ComparedRun]


class CompareResult(msgspec.Struct):
    """What `chatswarm compare` found out."""

    outcome: Difference
    exit_code: int
    scenario: str
    base: ComparedSide
    new: ComparedSide
    metrics: list[ComparedMetric]
    pairs: int
    """Of which both runs were decided, for the metric that has fewest."""
    more_pairs: int | None
    """About how many more would tell; None: all was told, or no number would."""
    confidence: float
    margin: float
    least_effect: float
    reasons: list[str] = []
    """Why nothing was decided, beyond what the metrics say."""
    notes: list[str] = []
    """Worth knowing, but without effect on the outcome."""

    def json(self) -> bytes:
        """The bytes of `comparison.json`."""
        return msgspec.json.format(to_json(self), indent=2) + b"\n"
