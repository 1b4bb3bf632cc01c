"""How a search for a limit is worded and summed up by load, in the terminal and on the page."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from chatswarm.loadtests.capacity.record import AskedCapacity, CapacityProbe, CapacityReport, CapacityResult
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.units import human

from .wording import MARKS

GAVE_OUT = {
    "target": "the target",
    "rig": "the load generator, and not the target",
    "machine": "the machine that the target and the load generator share",
    "ceiling": "nothing",
    "unknown": "not known",
}

_FEWEST_LOADS = 3


def gave_out_words(asked: AskedCapacity, result: CapacityResult) -> str:
    """What gave out."""
    return "the load generator" if asked.rig and result.gave_out == "rig" else GAVE_OUT[result.gave_out]


@dataclass(frozen=True, slots=True)
class ProbedLoad:
    """All probes of the search at one load. Figures are medians over its probes; None: not measured."""

    level: float
    outcomes: tuple[Outcome, ...]
    p50: float | None  # infinite: among the lost
    p99: float | None
    backlog: float | None
    target_cpu: float | None
    rig_cpu: float | None
    machine_cpu: float | None
    why: str  # the first reason why it did not hold

    @property
    def marks(self) -> str:
        """A sign for each probe, in their order."""
        return "".join(MARKS[outcome] for outcome in self.outcomes)

    @property
    def held(self) -> bool:
        """Whether it held in the end: a failure counts only if it failed again."""
        return "pass" in self.outcomes and self.outcomes.count("fail") < 2


def outcome_of(probe: CapacityProbe) -> Outcome:
    """A probe's outcome, as that of a run."""
    if probe.held is None:
        return "undecided"
    return "pass" if probe.held else "fail"


def p99_of(probe: CapacityProbe) -> float | None:
    """A probe's update latency: infinite if it falls among the lost; None: not measured."""
    return math.inf if probe.p99 is None and probe.deliveries else probe.p99


def loads_of(report: CapacityReport) -> list[ProbedLoad]:
    """The loads that were probed, from the lowest."""
    probes = [probe for probe in report.probes if probe.purpose == "search"]
    return [_load(level, [p for p in probes if p.level == level]) for level in sorted({p.level for p in probes})]


def _load(level: float, probes: Sequence[CapacityProbe]) -> ProbedLoad:
    def middle(of: Callable[[CapacityProbe], float | None]) -> float | None:
        known = [value for probe in probes if (value := of(probe)) is not None]
        return median(known) if known else None

    return ProbedLoad(
        level,
        tuple(map(outcome_of, probes)),
        middle(lambda probe: math.inf if probe.p50 is None and probe.deliveries else probe.p50),
        middle(p99_of),
        middle(lambda probe: probe.backlog),
        middle(lambda probe: probe.target_cpu),
        middle(lambda probe: probe.rig_cpu),
        middle(lambda probe: probe.machine_cpu),
        next((reason for probe in probes for reason in probe.why), ""),
    )


def outcome_of_result(result: CapacityResult) -> Outcome:
    """The colour of a result, as that of a verdict."""
    outcomes: dict[int, Outcome] = {0: "pass", 1: "fail"}
    return outcomes.get(result.exit_code, "undecided")


def target_words(asked: AskedCapacity) -> str:
    """Who is under load."""
    if asked.rig:
        return "the null chat, which answers at once"
    return asked.target or "a fresh reference chat for each probe"


def title(result: CapacityResult) -> str:
    """What came of it, in a word or two."""
    if result.answer is not None:
        return {"shown": "SHOWN", "refuted": "REFUTED", "cannot tell": "CANNOT TELL"}[result.answer]
    if result.exit_code == 0:
        return "FOUND"
    if result.low is None:
        return "NOTHING FOUND"
    return "LOWER BOUND" if result.high is None else "NOT CONFIRMED"


def headline(asked: AskedCapacity, result: CapacityResult) -> str:
    """The limit, in a sentence."""
    who = "the rig" if asked.rig else "it"
    unit = asked.unit
    if result.low is None:
        blamed = result.gave_out == ("rig" if asked.rig else "target")
        return f"{who} did not hold {load(asked.start)} {unit}" if blamed else "no load was shown to hold"
    confirmed = "" if result.limit is None else f"{who} held {load(result.limit)} {unit}; "
    if result.high is None:
        return f"{confirmed}its limit is at least {load(result.low)} ({result.confidence:.0%} sure)"
    interval = f"between {load(result.low)} and {load(result.high)}"
    return f"{confirmed}its limit is {interval} ({result.confidence:.0%} sure)"


def interval_words(result: CapacityResult, to: str) -> str:
    """Where the limit lies: its bounds with `to` between them, or the only one."""
    if result.low is None:
        return "–"
    return f"≥ {load(result.low)}" if result.high is None else f"{load(result.low)}{to}{load(result.high)}"


def answer_words(asked: AskedCapacity, result: CapacityResult) -> str:
    """What the search says about --at-least; empty if nothing was asked for."""
    if result.answer is None or result.at_least is None:
        return ""
    wanted = f"at least {load(result.at_least)} {asked.unit}"
    return {
        "shown": f"{wanted}: it holds that",
        "refuted": f"{wanted}: it does not hold that",
        "cannot tell": f"{wanted}: this search cannot tell",
    }[result.answer]


def lower_bound_words(asked: AskedCapacity, result: CapacityResult) -> str:
    """Why there is no upper bound; empty if there is one, or if nothing held."""
    if result.high is not None or result.low is None:
        return ""
    if result.gave_out == "ceiling":
        return "this is only a lower bound: nothing gave out, so try a higher --to"
    if asked.rig:
        return "this is only a lower bound: nothing shows that it was the load generator that gave out"
    if result.gave_out in ("rig", "machine"):
        return "this is only a lower bound: what gave out is not the target"
    return "this is only a lower bound: nothing shows that it was the target that gave out"


def knee_words(asked: AskedCapacity, result: CapacityResult, loads: int) -> str:
    """From where on latency rises. `loads`: how many were probed."""
    if loads < _FEWEST_LOADS:
        return f"knee: not measured, because that takes at least {_FEWEST_LOADS} loads"
    if result.knee is None:
        return "no knee: the p99 did not rise by 25% for good at any load"
    return f"knee: from {load(result.knee)} {asked.unit} on, the p99 is 25% above that at low load"


def probe_words(asked: AskedCapacity, probe: CapacityProbe) -> str:
    """A probe that was made, on a line."""
    what = {"search": "", "twice": f", with {probe.processes} processes", "null": ", against the null chat"}
    measured = [f"p99 {human(p99_of(probe))}"]
    if probe.backlog is not None and probe.backlog > 0.005:
        measured.append("never ends" if math.isinf(probe.backlog) else f"backlog +{probe.backlog:.2f} s/s")
    if probe.why:
        measured.append(probe.why[0])
    first = f"{MARKS[outcome_of(probe)]} {load(probe.level):>6} {asked.unit} for {probe.seconds:g} s"
    return f"{first}{what[probe.purpose]}: {', '.join(measured)}"


def load(level: float | None) -> str:
    """A load for people: whole where it is large, `–` if there is none."""
    if level is None:
        return "–"
    return f"{level:,.0f}" if level >= 100 or float(level).is_integer() else f"{level:.3g}"


def backlog_words(value: float | None) -> str:
    """Seconds of latency that each second added."""
    if value is None:
        return "–"
    return "never" if math.isinf(value) else f"{round(value, 2) + 0.0:+.2f} s/s"


def cores(value: float | None) -> str:
    """Cores in use."""
    return "–" if value is None else f"{value:.2f}"


def finite(values: Iterable[float | None]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
