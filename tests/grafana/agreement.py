"""Checks each figure of the panels against the verdict: quantiles within their bucket, counts equal.

A test fails if a panel is missing from the table. `make panels` prints the table with the values found.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from chatswarm.backend.metrics.metrics import LATENCY

from .asked import asked
from .prometheus import Sample
from .watched import RUNS, Evidence, Run, Seen, Watched

_LAG_EDGES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Prometheus extrapolates to the edges of the window: by half a scrape at each end, of at least a dozen scrapes.
_EXTRAPOLATED = 0.1


@dataclass(frozen=True)
class Agreement:
    """Prometheus' value, its required relation to the verdict's, and whether it holds."""

    said: str
    relation: str
    verdict: str
    holds: bool


Expectation = Callable[[Seen, Watched], Agreement]
Figure = Callable[[dict[str, Any]], float | None]


def of(path: str) -> Figure:
    """A figure of the verdict, by its path, such as `latency.visible.p99`."""

    def figure(verdict: dict[str, Any]) -> float | None:
        found: Any = verdict
        for key in path.split("."):
            found = found[key]
        return None if found is None else float(found)

    return figure


def evidence(fault: str, key: str) -> Figure:
    """A number from a fault's evidence."""
    return lambda verdict: next(float(one["evidence"][key]) for one in verdict["faults"] if one["name"] == fault)


def in_bucket(figure: Figure) -> Expectation:
    """A quantile must be in the same bucket as the exact one. If the exact one is infinite, because of lost deliveries,
    it must be the histogram's last edge, which stands for infinity.
    """

    def check(seen: Seen, watched: Watched) -> Agreement:
        exact, said = figure(watched.verdict), seen.last
        if exact is None:
            return Agreement(_text(said), "stands for", "∞", said == LATENCY[-1])
        upper, width = _edge(exact, LATENCY), _width(exact, LATENCY)
        # One sample more or less may move it slightly across the edge.
        fine = said is not None and upper - 1.1 * width <= said <= upper + 0.1 * width
        return Agreement(_text(said), f"{upper - width:g}–{upper:g}", _text(exact), fine)

    return check


def near(figure: Figure, edges: tuple[float, ...] = LATENCY) -> Expectation:
    """A quantile of nearly the same population as the verdict's must be within one bucket's width of it. It may lack
    the lost deliveries, so where the exact one is infinite, any number is fine.
    """

    def check(seen: Seen, watched: Watched) -> Agreement:
        exact, said = figure(watched.verdict), seen.last
        if exact is None:
            return Agreement(_text(said), "<", "∞", said is not None)
        width = _width(exact, edges)
        return Agreement(_text(said), f"± {width:g}", _text(exact), said is not None and abs(said - exact) <= width)

    return check


def times(factor: float, expect: Expectation) -> Expectation:
    """The panel shows a share, which is multiplied by `factor` before it is checked."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        end = [Sample(sample.labels, sample.value * factor) for sample in seen.end]
        return expect(replace(seen, end=end), watched)

    return check


def equal(figure: Figure) -> Expectation:
    """Exactly equal at the end of the run."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        exact = figure(watched.verdict)
        return Agreement(_text(seen.last), "=", _text(exact), exact is not None and seen.last == exact)

    return check


def peaks_at(figure: Figure) -> Expectation:
    """Exactly equal at its peak, for figures that drop before the end of the run."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        exact = figure(watched.verdict)
        return Agreement(f"{_text(seen.peak)} at its peak", "=", _text(exact), exact is not None and seen.peak == exact)

    return check


def peaks_between(figure: Figure, more: Figure) -> Expectation:
    """Equal at its peak, or above it by at most `more`, for short-lived extras."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        low = figure(watched.verdict) or 0.0
        high = low + (more(watched.verdict) or 0.0)
        fine = seen.peak is not None and low <= seen.peak <= high
        return Agreement(f"{_text(seen.peak)} at its peak", f"{low:g}–{high:g}", _text(low), fine)

    return check


def at_most(figure: Figure) -> Expectation:
    """A part of what the verdict measured: at most the edge of its bucket, or anything if that is infinite."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        exact, said = figure(watched.verdict), seen.last
        limit = math.inf if exact is None else _edge(exact, LATENCY)
        return Agreement(_text(said), "≤", _text(exact, "∞"), said is not None and said <= limit)

    return check


def at_least(figure: Figure) -> Expectation:
    """The counter grew by at least this much: it also counts other clients."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        exact = figure(watched.verdict) or 0.0
        grown = sum(sample.value for sample in seen.end) * watched.window
        return Agreement(f"{grown:.1f}", "≥", _text(exact), grown >= exact * (1 - _EXTRAPOLATED))

    return check


def counted(figure: Figure, *, per_second: bool = True) -> Expectation:
    """The counter grew by this much over the run, within Prometheus' extrapolation."""
    return counted_by("", lambda verdict: {"": figure(verdict)}, per_second=per_second)


def counted_by(
    label: str, figures: Callable[[dict[str, Any]], Mapping[str, float | None]], *, per_second: bool = True
) -> Expectation:
    """Like `counted`, for each value of a label; values that the verdict does not have must be 0."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        grown = {_label(sample, label): sample.value * (watched.window if per_second else 1) for sample in seen.end}
        exact = {key: value or 0.0 for key, value in figures(watched.verdict).items()}
        fine = bool(grown) and all(
            abs(grown.get(key, 0.0) - exact.get(key, 0.0)) <= max(0.5, _EXTRAPOLATED * exact.get(key, 0.0))
            for key in {*grown, *exact}
        )
        shown = {key: grown.get(key, 0.0) for key in {*grown, *exact} if grown.get(key) or exact.get(key)}
        return Agreement(_texts(shown), "≈", _texts({key: exact.get(key, 0.0) for key in shown}), fine)

    return check


def cumulated(count: Figure, median: Figure) -> Expectation:
    """A histogram's buckets: the last must have the total count, and half of it must be reached near the median."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        exact, middle = count(watched.verdict), median(watched.verdict)
        assert exact is not None
        assert middle is not None
        buckets = sorted((float(sample.labels["le"]), sample.value) for sample in seen.end)
        said = buckets[-1][1] if buckets else 0.0
        holder = next((edge for edge, many in buckets if many >= said / 2), math.inf)
        close = abs(holder - _edge(middle, LATENCY)) <= _width(middle, LATENCY)
        shown = f"{said:.4g}, half of them up to {holder:g}"
        fine = close and abs(said - exact) <= _EXTRAPOLATED * exact
        return Agreement(shown, "≈", f"{exact:g}, half of them up to {middle:.4g}", fine)

    return check


def as_sound(seen: Seen, watched: Watched) -> Agreement:
    """1 if the rig was not sound, else 0; either if the lag and its limit are in the same bucket."""
    rig = watched.verdict["rig"]
    limit = 0.1 * _update_target(watched.verdict)
    unclear = _edge(rig["lag_p99"], _LAG_EDGES) == _edge(limit, _LAG_EDGES)
    fine = seen.last == float(not rig["sound"]) or (unclear and seen.last in (0, 1))
    return Agreement(_text(seen.last), "=", "sound" if rig["sound"] else "starved", fine)


def happened(seen: Seen, _: Watched) -> Agreement:
    """Not in the verdict, but it was above 0 at some time."""
    return Agreement(f"{_text(seen.peak)} at its peak", ">", "0", bool(seen.peak))


def drawn(seen: Seen, _: Watched) -> Agreement:
    """Not in the verdict, but there is data."""
    return Agreement(f"{_text(seen.peak)} at its peak", "is", "there", seen.peak is not None)


def evaluated(seen: Seen, _: Watched) -> Agreement:
    """An alert that may or may not fire."""
    return Agreement("fired" if seen.drawn else "silent", "", "", holds=True)


def shown_for(label: str, figures: Callable[[dict[str, Any]], set[str]]) -> Expectation:
    """Each of these values of a label occurred at some time."""

    def check(seen: Seen, watched: Watched) -> Agreement:
        names, exact = {_label(sample, label) for sample in seen.drawn}, figures(watched.verdict)
        return Agreement(", ".join(sorted(names)), "⊇", ", ".join(sorted(exact)), bool(exact) and names >= exact)

    return check


def _stage(panel: str, name: str, held: Callable[[Figure], Expectation]) -> dict[str, tuple[Run, Expectation]]:
    return {f"{panel}: {q}": ("lossy", held(of(f"latency.{name}.{q}"))) for q in ("p50", "p95", "p99", "max")}


def _inside(panel: str, expect: Callable[[str], Expectation]) -> dict[str, tuple[Run, Expectation]]:
    return {f"{panel}: {q}": ("faulty", expect(q)) for q in ("p50", "p95", "p99", "max")}


def _update_target(_: dict[str, Any]) -> float:
    return 2.0


EXPECTED: Final[dict[str, tuple[Run, Expectation]]] = {
    # is it holding?
    "Phase: {{phase}}": (
        "lossy",
        shown_for("phase", lambda _: {"measuring", "draining"}),
    ),
    "Update p99 so far ÷ target: p99 ÷ target": (
        "lossy",
        times(_update_target({}), in_bucket(of("latency.visible.p99"))),
    ),
    "Missing now: missing": ("lossy", equal(of("deliveries.lost"))),
    "Late so far: late": ("faulty", equal(of("deliveries.late"))),
    "Dashboards away: away": ("faulty", peaks_at(of("dashboards"))),
    "Rig: starved": ("lossy", as_sound),
    **_stage("Update latency", "visible", in_bucket),
    "Update latency: target": ("lossy", equal(_update_target)),
    "Accepted against delivered: due": ("lossy", counted(of("deliveries.expected"))),
    "Accepted against delivered: visible": ("lossy", counted(of("deliveries.visible"))),
    "Losses: on the way": ("lossy", equal(of("deliveries.lost"))),
    "Losses: missing": ("faulty", happened),
    "Losses: late": ("faulty", counted(of("deliveries.late"), per_second=False)),
    "Sends: intended": ("faulty", counted(of("messages.intended"))),
    "Sends: {{outcome}}": (
        "faulty",
        counted_by(
            "outcome",
            lambda verdict: {
                key: verdict["messages"][key] for key in ("accepted", "rejected", "unknown", "rig_failed")
            },
        ),
    ),
    "Dashboards connected: planned": ("lossy", equal(of("dashboards"))),
    "Dashboards connected: subscribed": ("lossy", peaks_at(of("dashboards"))),
    "Dashboards connected: lost": ("faulty", counted(of("connections.closed"), per_second=False)),
    "Rig: loop lag: p50": ("lossy", drawn),
    "Rig: loop lag: p99": ("lossy", near(of("rig.lag_p99"), _LAG_EDGES)),
    "Rig: loop lag: target": ("lossy", equal(lambda verdict: 0.1 * _update_target(verdict))),
    "Rig: CPU: {{process}}": ("lossy", happened),
    "Alerts: {{alertname}}": ("faulty", happened),
    "Annotation Faults: {{name}}": (
        "faulty",
        shown_for("name", lambda verdict: {fault["name"] for fault in verdict["faults"]}),
    ),
    # where does the time go?
    "All stages, p99: accepted": ("lossy", in_bucket(of("latency.accepted.p99"))),
    "All stages, p99: notified": ("lossy", near(of("latency.notified.p99"))),
    "All stages, p99: refetch": ("lossy", near(of("latency.refetch.p99"))),
    "All stages, p99: visible": ("lossy", in_bucket(of("latency.visible.p99"))),
    "All stages, p99: last dashboard": ("lossy", near(of("latency.last_dashboard.p99"))),
    "All stages, p99: target": ("lossy", equal(_update_target)),
    "Every delivery: {{le}}": ("lossy", cumulated(of("deliveries.visible"), of("latency.visible.p50"))),
    **_stage("Accepted", "accepted", in_bucket),
    **_stage("Notified", "notified", near),
    **_stage("Refetch", "refetch", near),
    **_stage("Last dashboard", "last_dashboard", near),
    **_stage("Connect", "connect", near),
    "Connections lost, by code: {{code}}": (
        "faulty",
        counted_by("code", lambda verdict: verdict["connections"]["codes"], per_second=False),
    ),
    **_inside("Commit", lambda q: at_most(of(f"latency.accepted.{q}"))),
    **_inside("Broadcast", lambda q: at_most(of(f"latency.notified.{q}"))),
    **_inside("Delivery", lambda q: at_most(of(f"latency.notified.{q}"))),
    "Unsent bytes: unsent": ("faulty", happened),
    **_inside("Backend: loop lag", lambda _: drawn),
    **_inside("Backend: refetch", lambda q: at_most(of(f"latency.refetch.{q}"))),
    "Writes per commit: writes": ("faulty", happened),
    "Dashboards per broadcast: dashboards": ("faulty", happened),
    "Refetches: {{outcome}}": ("faulty", at_least(of("latency.refetch.count"))),
    "Close codes: {{code}}": ("faulty", happened),
    "Cut off: {{reason}}": ("faulty", happened),
    "Sends refused: {{reason}}": (
        "faulty",
        counted_by("reason", lambda verdict: {"unavailable": verdict["messages"]["rejected"]}, per_second=False),
    ),
    "Backend: dashboards: connected": ("faulty", happened),
    "Backend: dashboards: subscribed": ("faulty", peaks_between(of("dashboards"), evidence("reader", "readers"))),
    "Backend: CPU: cores": ("faulty", happened),
    "Backend: memory: resident": ("faulty", happened),
    "Backend: memory: write-ahead log": ("faulty", drawn),
}
"""By panel and legend: the run to check, and the expectation."""

RULES: Final[dict[str, tuple[Run, Expectation]]] = {
    "chatswarm:update_seconds:p99_10s": ("lossy", happened),
    "chatswarm:rig_lag_seconds:p99_10s": ("lossy", drawn),
    "chatswarm:rig_late_sends:ratio": (
        "lossy",
        equal(lambda verdict: verdict["rig"]["late_sends"] / verdict["messages"]["sent"]),
    ),
    "chatswarm:deliveries_on_the_way:sum": ("lossy", equal(of("deliveries.lost"))),
    "chatswarm:deliveries_expected:rate10s": ("lossy", happened),
    "chat:unsent_bytes:sum": ("faulty", happened),
    "chat:dashboards_cut:increase1m": (
        "faulty",
        counted_by("reason", lambda verdict: {"age": evidence("reader", "cut_off")(verdict)}, per_second=False),
    ),
    "UpdateTargetMissed": ("faulty", happened),
    "DeliveriesMissing": ("lossy", equal(of("deliveries.lost"))),
    "DashboardCutOff": ("faulty", happened),
    # These runs need not trigger them: promtool's tests do.
    "BacklogGrows": ("faulty", evaluated),
    "UnsentBytesGrow": ("faulty", evaluated),
    "RigStarved": ("lossy", evaluated),
    "BackendUnreachable": ("faulty", evaluated),
}
"""The same by rule. For an alert, the value is that it fired."""


@dataclass(frozen=True)
class Compared:
    """A panel's figure or a rule, its run, and its agreement with the verdict."""

    name: str
    run: Run
    query: str
    agreement: Agreement


def panels(found: Evidence) -> list[Compared]:
    """Every figure of every panel, compared."""
    return [
        _held(one.name, EXPECTED[one.name], found, {run: found.runs[run].panels[one] for run in RUNS})
        for one in asked()
    ]


def rules(found: Evidence) -> list[Compared]:
    """Every rule that Prometheus evaluates, compared."""
    names = found.runs["lossy"].rules
    return [_held(name, RULES[name], found, {run: found.runs[run].rules[name] for run in RUNS}) for name in names]


def _held(name: str, expected: tuple[Run, Expectation], found: Evidence, seen: Mapping[Run, Seen]) -> Compared:
    run, expect = expected
    agreement = expect(seen[run], found.runs[run])
    if name in found.broken:
        agreement = Agreement(found.broken[name], "is no", "value", holds=False)
    return Compared(name, run, seen[run].query, agreement)


def _width(value: float, edges: tuple[float, ...]) -> float:
    edge = _edge(value, edges)
    return edge - max((lower for lower, upper in pairwise((0.0, *edges)) if upper == edge), default=0.0)


def _edge(value: float, edges: tuple[float, ...]) -> float:
    """The upper edge of a value's bucket; infinite above the last."""
    index = bisect_left(edges, value)
    return edges[index] if index < len(edges) else math.inf


def _label(sample: Sample, label: str) -> str:
    return sample.labels.get(label, "")


def _text(value: float | None, nothing: str = "–") -> str:
    return nothing if value is None else f"{value:.4g}"


def _texts(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {value:.4g}".strip() for key, value in sorted(values.items())) or "0"
