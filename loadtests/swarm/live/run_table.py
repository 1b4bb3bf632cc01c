"""The run as a table for people: a row for what the run is at, and one per fault for what has become of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatswarm.loadtests.scenario.fault_kinds import FaultPlan
from chatswarm.loadtests.scenario.scenario import Scenario

from .active_faults import FaultKey, FaultRecord


@dataclass(frozen=True, slots=True)
class RunRow:
    """Texts for the cells of a row."""

    what: str
    kind: str
    on: str
    due: str
    state: str


@dataclass(frozen=True, slots=True)
class RunView:
    """What is known of a run at the moment `now`. Moments are monotonic seconds."""

    scenario: Scenario
    target: str
    folder: str
    phase: str  # connecting, measuring, draining or closed
    now: float
    start: float | None  # of the measured part
    dashboards: int  # that have subscribed
    widgets: int  # that are ready
    faults: Mapping[FaultKey, FaultRecord] | None  # None: it cannot be read
    cut_short: str | None = None
    void: str | None = None  # why nothing that was measured can be trusted

    @property
    def over(self) -> bool:
        """Whether no fault begins any more."""
        return self.phase in ("draining", "closed")


def run_rows(view: RunView) -> list[RunRow]:
    """The run first, then its faults in the order in which they are due."""
    plans: dict[FaultKey, list[FaultPlan]] = {}
    for plan in sorted(view.scenario.faults, key=lambda plan: plan.at):
        plans.setdefault((plan.name, plan.kind), []).append(plan)
    run = RunRow(view.scenario.name, "scenario", view.target, "", _state_of_run(view))
    return [run, *(_fault_row(view, key, same) for key, same in plans.items())]


def _state_of_run(view: RunView) -> str:
    scenario = view.scenario
    if view.void is not None:
        # Its other lines are the end of a log.
        return f"nothing that it measured can be trusted: {view.void.splitlines()[0].rstrip(':')}"
    match view.phase:
        case "connecting":
            dashboards, widgets = scenario.stages[0].dashboards, scenario.widgets
            there = f"{view.dashboards} of {dashboards} dashboards and {view.widgets} of {widgets} widgets"
            return f"connecting, {there} are ready"
        case "measuring":
            measured = min(max(0.0, view.now - (view.start or view.now)), scenario.duration)
            without = "" if scenario.faults else ", without faults"
            return f"measuring, {measured:.0f} s of {scenario.duration:g} s{without}"
        case "draining":
            return f"draining{_why(view.cut_short)}"
        case _:
            return f"over{_why(view.cut_short)}; the verdict is in {view.folder}"


def _why(cut_short: str | None) -> str:
    return "" if cut_short is None else f", {cut_short}"


def _fault_row(view: RunView, key: FaultKey, plans: Sequence[FaultPlan]) -> RunRow:
    name, kind = key
    due = "; ".join(map(_due, plans))
    on = ", ".join(dict.fromkeys(plan.on for plan in plans))
    return RunRow(name, kind, on, due, _state_of_fault(view, key, plans))


def _due(plan: FaultPlan) -> str:
    lasting = f", for {plan.length:g} s" if plan.length else ""
    again = f", again every {plan.every:g} s" if plan.every is not None else ""
    return f"at {plan.at:g} s{lasting}{again}"


def _state_of_fault(view: RunView, key: FaultKey, plans: Sequence[FaultPlan]) -> str:
    if view.faults is None:
        return "nobody knows: what the testbed writes down cannot be read"
    record, start = view.faults[key], view.start or view.now
    due = sorted(at for plan in plans for at in plan.occurrences(view.scenario.duration))
    times = f"; {len(record.healed)} of {len(due)} over" if len(due) > 1 else ""
    if record.not_healed:
        return f"could not be healed: {record.not_healed[-1]}"
    if (since := record.in_force_since) is not None:
        if view.void is not None:
            return "nobody knows: the testbed is gone, and the healer undoes what it left"
        if view.phase == "closed":
            return "could not be healed in time"
        return f"{'is being healed' if view.over else 'in force'}, since {since - start:.1f} s{times}"
    if record.not_begun:
        return f"could not begin: {record.not_begun[-1]}"
    if len(record.begun) < len(due) and not view.over:
        return f"waiting until {due[len(record.begun)]:g} s{times}"
    if not record.begun:
        return "did not begin: the run ended before"
    last = "the last " if len(due) > 1 else ""
    return f"over, {last}from {record.begun[-1] - start:.1f} s to {record.healed[-1] - start:.1f} s{times}"
