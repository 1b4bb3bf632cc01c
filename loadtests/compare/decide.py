"""From pairs of runs to the result of a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import median

from .floor import hides_the_chat
from .measured import SHARES, MeasuredRun
from .metrics import DEFAULT, MISHAPS, QUANTITIES, STAGES, latency_of
from .paired import Ratio
from .result import (
    EXIT_CODES,
    ComparedMetric,
    ComparedRatio,
    ComparedRun,
    ComparedSide,
    CompareResult,
    to_number,
)
from .verdicts import FIXED, ComparisonRules, Difference, MetricDifference, MetricPairs, compare, together

RunPair = tuple[MeasuredRun, MeasuredRun]
"""A base run and a new run."""
HIDDEN = "the refetch interval hides the chat"
NOT_MEASURED = "not measured in any run"


@dataclass(frozen=True)
class CompareSettings:
    """What is compared, and what a claim needs."""

    on: tuple[str, ...] = ()
    """Metrics; none: DEFAULT, as far as they were measured."""
    rules: ComparisonRules = FIXED
    assume_no_drift: bool = False
    """Decide although the runs did not take turns."""


@dataclass(frozen=True)
class SideCurves:
    """The percentile curves of a latency: at each of SHARES, the median of a side's runs, in seconds."""

    latency: str
    base: tuple[float, ...]
    new: tuple[float, ...]
    runs: tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]
    """The curves of the single runs of each side."""


def decide(
    pairs: Sequence[RunPair],
    settings: CompareSettings,
    names: tuple[str, str] | None = None,
    *,
    took_turns: bool = True,
    reasons: Sequence[str] = (),
) -> CompareResult:
    """Decides what can be said of the pairs, in the order in which they ran. There is at least one.

    `names`: of both sides, for people. `reasons`: why nothing may be decided, such as a target that stopped answering.
    A metric that is mostly waiting for the refetch interval does not decide, unless it is worse; the stages do.
    """
    shares = {metric: _waiting(pairs, metric) for metric in (settings.on or DEFAULT)}
    hidden = {metric for metric, share in shares.items() if hides_the_chat(share)}
    wanted = _wanted(pairs, settings.on, bool(hidden))
    found = compare(
        [_metric_pairs(pairs, metric) for metric in wanted], settings.rules, took_turns or settings.assume_no_drift
    )
    metrics = [_compared(pairs, each, shares.get(each.metric, []), each.metric in hidden) for each in found.metrics]
    deciding = [each for each in metrics if each.decides]
    outcome: Difference = together([each.outcome for each in deciding]) if deciding else "cannot tell"
    needed = [each.more_pairs for each in deciding if each.outcome == "cannot tell"]
    known = [each for each in needed if each is not None]
    base, new = ([pair[side] for pair in pairs] for side in (0, 1))
    titles = names or _names(base, new)
    result = CompareResult(
        outcome="cannot tell" if reasons else outcome,
        exit_code=0,
        scenario=base[0].scenario.name,
        base=_side(titles[0], base),
        new=_side(titles[1], new),
        metrics=metrics,
        pairs=min(each.pairs for each in metrics),
        more_pairs=max(known) if known and None not in needed else None,
        confidence=settings.rules.confidence,
        margin=settings.rules.margin,
        least_effect=settings.rules.least_effect,
        reasons=[*reasons, *([] if deciding else [f"every metric hides the chat: {HIDDEN}"])],
        notes=_notes(pairs, settings, took_turns=took_turns),
    )
    result.exit_code = EXIT_CODES[result.outcome]
    return result


def curves_of(pairs: Sequence[RunPair], metrics: Sequence[ComparedMetric]) -> list[SideCurves]:
    """Of each latency that was compared: the curves of both sides, over the runs that were decided."""
    found = []
    for latency in dict.fromkeys(name for each in metrics if (name := latency_of(each.metric)) is not None):
        runs = [
            tuple(pair[side].curves[latency] for pair in pairs if _counts(pair[side]) and latency in pair[side].curves)
            for side in (0, 1)
        ]
        if all(runs):
            base, new = (tuple(median(run[at] for run in side) for at in range(len(SHARES))) for side in runs)
            found.append(SideCurves(latency, base, new, (runs[0], runs[1])))
    return found


def _counts(run: MeasuredRun) -> bool:
    return run.outcome != "undecided" and run.sound


def _wanted(pairs: Sequence[RunPair], on: tuple[str, ...], hides: bool) -> list[str]:
    """The metrics to compare: what was asked for, and where that hides the chat, its stages."""
    wanted = list(on) or [metric for metric in DEFAULT if _measured(pairs, metric)] or list(DEFAULT)
    stages = [stage for stage in STAGES if hides and _measured(pairs, stage)]
    return list(dict.fromkeys([*wanted, *stages]))


def _measured(pairs: Sequence[RunPair], metric: str) -> bool:
    """Whether every run that was decided has this figure, and one was."""
    figures = [run.figures.get(metric) for pair in pairs for run in pair if _counts(run)]
    return bool(figures) and None not in figures


def _waiting(pairs: Sequence[RunPair], metric: str) -> list[float]:
    shares = [run.waiting_share(metric) for pair in pairs for run in pair]
    return [share for share in shares if share is not None]


def _metric_pairs(pairs: Sequence[RunPair], metric: str) -> MetricPairs:
    base, new = ([pair[side].figure(metric) for pair in pairs] for side in (0, 1))
    return MetricPairs(metric, base, new, is_count=metric in MISHAPS, more_is_better=metric in QUANTITIES)


def _compared(
    pairs: Sequence[RunPair], found: MetricDifference, shares: Sequence[float], hidden: bool
) -> ComparedMetric:  # fmt: skip
    figures = _metric_pairs(pairs, found.metric)
    if hidden and found.outcome == "same":
        found = replace(found, outcome="cannot tell")
    unmeasured = not any(found.metric in run.figures for pair in pairs for run in pair)
    doubt = NOT_MEASURED if unmeasured else HIDDEN if hidden else found.doubt or ""
    return ComparedMetric(
        metric=found.metric,
        outcome=found.outcome,
        decides=not hidden or found.outcome == "worse",
        ratio=None if found.ratio is None else _ratio(found.ratio),
        p_value=found.p_value,
        pairs=found.pairs,
        runs_with=found.runs_with,
        doubt=doubt if found.outcome == "cannot tell" else "",
        more_pairs=None if unmeasured or hidden else found.more_pairs,
        floor_share=median(shares) if shares else None,
        base=list(map(to_number, figures.base)),
        new=list(map(to_number, figures.new)),
    )


def _ratio(ratio: Ratio) -> ComparedRatio:
    estimate, low, high = map(to_number, (ratio.estimate, ratio.low, ratio.high))
    return ComparedRatio(estimate, low, high)


def _side(name: str, runs: Sequence[MeasuredRun]) -> ComparedSide:
    return ComparedSide(
        name, [ComparedRun(str(run.folder), run.seed, run.outcome, [*run.reasons]) for run in runs]
    )  # fmt: skip


def _names(base: Sequence[MeasuredRun], new: Sequence[MeasuredRun]) -> tuple[str, str]:
    """Each side's target, or else the beginning of its folders' names."""
    targets = [{run.target for run in side} for side in (base, new)]
    if all(len(one) == 1 for one in targets) and targets[0] != targets[1]:
        return targets[0].pop(), targets[1].pop()
    return _common(base), _common(new)


def _common(runs: Sequence[MeasuredRun]) -> str:
    """What the names of the folders begin with, as a shell would take it."""
    letters = zip(*(str(run.folder) for run in runs), strict=False)
    return "".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, letters)) + "*"


def _notes(pairs: Sequence[RunPair], settings: CompareSettings, *, took_turns: bool) -> list[str]:
    notes = []
    if not took_turns and settings.assume_no_drift:
        notes.append("the runs did not take turns; as asked, nothing is assumed to have drifted between them")
    elif not took_turns:
        notes.append(
            "the runs did not take turns (base, new, new, base, …): a machine that became slower would look like a "
            "difference. --assume-no-drift decides nevertheless"
        )
    other = sum(base.seed != new.seed for base, new in pairs)
    if other:
        notes.append(f"{other} of {len(pairs)} pairs have different seeds: their figures vary more")
    return notes
