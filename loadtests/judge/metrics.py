"""The metrics that SLOs name, over the whole measured part or in a window. `windows.py` defines the windows.

If something was not measured, a metric lies between a lower and an upper bound.
"""

from collections.abc import Callable, Mapping
from functools import cached_property

import msgspec
import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.scenario.metric_names import CLOSED, EVIDENCE, QUANTILES
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.scenario.slo import Lookup

from .checks import CheckResult
from .checks.frames import visible_without_frame
from .checks.late import late_without
from .connections import Closings, closings_of
from .latency import Latencies, Side
from .ledger import Ledger
from .ledger.arrays import Bools, Floats
from .rig import Delays
from .verdict import Deliveries, Messages
from .windows import Window

_WHOLE_RUN = ("absent", "dashboards", "widgets")
_NOTIFIED = "notified"
_LATE = "late"
_DELIVERIES: dict[str, Callable[[Ledger], Bools]] = {
    "expected": lambda ledger: ledger.expected,
    "visible": lambda ledger: ledger.delivered,
    "lost": lambda ledger: ledger.lost,
    "excused": lambda ledger: ledger.excused,
    "unproven": lambda ledger: ledger.unproven,
    "seen_as_text": lambda ledger: ledger.delivered & ledger.visibility.as_text,
    "unnotified": visible_without_frame,
    "gap": lambda ledger: np.zeros(1, bool) if ledger.gap is None else ledger.gap,
}
"""Which deliveries each metric counts."""
_OUTCOMES = {
    "accepted": SendOutcome.ACCEPTED,
    "rejected": SendOutcome.REJECTED,
    "unknown": SendOutcome.UNKNOWN,
}


Totals = Mapping[str, float | None]
"""The counts of the whole run by name; None: not measured."""


def totals_of(scenario: Scenario, *parts: msgspec.Struct) -> Totals:
    """The verdict's messages, deliveries and counts in one mapping, with the numbers of users."""
    counts = {name: value for part in parts for name, value in msgspec.structs.asdict(part).items()}
    return {**counts, "dashboards": scenario.dashboards, "widgets": scenario.widgets}


class MetricValues:
    """The metrics of one run by name. If `delays` are given, the rig's own delays make nothing late."""

    def __init__(
        self, totals: Totals, ledger: Ledger, results: Mapping[str, CheckResult], delays: Delays | None = None
    ) -> None:
        self._totals, self._ledger, self._results, self._delays = totals, ledger, results, delays
        self._windows: dict[Window | None, _Counts] = {}

    def lookup(self, latencies: Latencies, side: Side, window: Window | None = None) -> Lookup:
        """The value of each metric; infinite for a quantile among the lost; None without samples."""

        def value(name: str) -> float | None:
            kind, dot, key = name.partition(".")
            if kind == EVIDENCE:
                return self._evidence(key, window)
            if kind == CLOSED:
                return float(self._closings.counted(int(key) if key else None, window))
            if dot:
                sample = latencies.sample(kind, window)
                return sample.quantile(QUANTILES[key], side) if key in QUANTILES else float(len(sample.values))
            recounted = name == _NOTIFIED or (name == _LATE and self._delays is not None)
            if name in _WHOLE_RUN or (window is None and not recounted):
                total = self._totals[name]
                return None if total is None else float(total)
            if window not in self._windows:
                self._windows[window] = _Counts(self._ledger, self._results, window, self._late)
            return self._windows[window].value(name, side)

        return value

    @cached_property
    def _late(self) -> Bools:
        return self._ledger.late if self._delays is None else late_without(self._ledger, self._delays.seen)

    @cached_property
    def _closings(self) -> Closings:
        return closings_of(self._ledger)

    def _evidence(self, key: str, window: Window | None) -> float | None:
        """The sum of this evidence over the window's faults; None if one of them lacks it."""
        named = [fault.evidence for fault in self._ledger.observations.faults if window and fault.name == window.name]
        values = [evidence.get(key) for evidence in named]
        numbers = [float(value) for value in values if isinstance(value, (int, float))]
        return sum(numbers) if numbers and len(numbers) == len(values) else None


class _Counts:
    """The counts in one window, or in the whole measured part."""

    def __init__(self, ledger: Ledger, results: Mapping[str, CheckResult], window: Window | None, late: Bools) -> None:
        self._ledger, self._results, self._window, self._late = ledger, results, window, late
        self._known: dict[tuple[str, Side], float | None] = {}

    def value(self, name: str, side: Side) -> float | None:
        """None if there was nothing to count, or if the check could not tell."""
        if (name, side) not in self._known:
            self._known[name, side] = self._value(name, side)
        return self._known[name, side]

    def _value(self, name: str, side: Side) -> float | None:
        if name in Messages.__struct_fields__:
            return self._messages(name)
        if name in Deliveries.__struct_fields__:
            return self._deliveries_of(name, side)
        found = self._results[name]
        if found.count is None or not self._sends.any():
            return None
        dated = int(self._holds(found.starts, found.ends).sum())
        return float(dated if side == "low" else dated + found.undated)

    def _messages(self, name: str) -> float | None:
        if name == "intended":
            return float(self._holds(self._ledger.schedule, self._ledger.schedule).sum())
        if name == "sent":
            return float(self._sends.sum())
        if not self._sends.any():
            return None
        messages = self._ledger.messages
        if name == "rig_failed":
            return float((self._sends & messages.rig_failed).sum())
        return float((self._sends & (messages.outcome == _OUTCOMES[name]) & ~messages.rig_failed).sum())

    def _deliveries_of(self, name: str, side: Side) -> float | None:
        expected = int((self._ledger.expected & self._deliveries).sum())
        if name == "expected":
            return float(expected)
        if not expected and self._window is not None:
            return None
        if name == _NOTIFIED:
            return self._notified(side)
        unmeasured = {"unnotified": not self._ledger.announcements.measures_missed, "gap": self._ledger.gap is None}
        if unmeasured.get(name):
            return None
        if name == "unnotified" and not self._ledger.announcements.exact:
            # Found by counting, so it is unknown which deliveries they were.
            return 0.0 if side == "low" else float(self._results[name].undated)
        found = self._late if name == _LATE else _DELIVERIES[name](self._ledger)
        return float((found & self._deliveries).sum())

    def _notified(self, side: Side) -> float:
        """Where frames are indistinguishable: the lowest number that is certain, or the highest that is possible."""
        announced, expected = self._ledger.announcements, self._ledger.expected
        here = announced.notified[expected & self._deliveries]
        known, unmeasured = int(np.isfinite(here).sum()), int(np.isnan(here).sum())
        if side == "low" or not unmeasured:
            return float(known)
        everywhere = int(np.isnan(announced.notified[expected]).sum())
        return float(known + min(unmeasured, everywhere - announced.not_notified))

    @cached_property
    def _sends(self) -> Bools:
        return self._holds(self._ledger.messages.intended, self._ledger.answered)

    @cached_property
    def _deliveries(self) -> Bools:
        if self._window is None:
            return np.ones(1, bool)
        return self._holds(self._ledger.deliveries.over(self._ledger.messages.intended), self._ledger.decided)

    def _holds(self, starts: Floats, ends: Floats) -> Bools:
        return np.ones(len(starts), bool) if self._window is None else self._window.holds(starts, ends)
