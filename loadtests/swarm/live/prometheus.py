"""The live figures as Prometheus metrics: each metric's kind, help and labels, and the text exposition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from chatswarm.loadtests.history.tables import SendOutcome

from .buckets import LatencyHistogram
from .combined_figures import CombinedFigures
from .increment import RIG_FAILED
from .process_figures import CODES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PHASES = ("connecting", "measuring", "draining", "idle")
OUTCOMES = {**{int(outcome): outcome.name.lower() for outcome in SendOutcome}, RIG_FAILED: "rig_failed"}

Kind = Literal["counter", "gauge", "histogram"]
Labels = dict[str, Sequence[str] | str]
"""By name: all its values, or a phrase that says what bounds them."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A metric's kind, help text and labels."""

    kind: Kind
    help: str
    labels: Labels


_RUN = "one at a time"
_FAULT = "those of the scenario"
_LIVE = "For watching: the verdict comes from the history."
_SEEN = "Messages that only a chat's count showed, not its last texts, are identified by the order of sending."

METRICS: dict[str, Spec] = {
    "chatswarm_run_info": Spec(
        "gauge", "The run that these figures belong to.", {"run": _RUN, "scenario": _RUN, "target": _RUN}
    ),
    "chatswarm_phase": Spec("gauge", "1 for the run's current phase. Idle: not begun, or over.", {"phase": PHASES}),
    "chatswarm_update_target_seconds": Spec("gauge", "The update latency above which a delivery is late.", {}),
    "chatswarm_users": Spec(
        "gauge", "Users that the scenario plans for now.", {"kind": ("dashboard", "widget")}
    ),
    "chatswarm_dashboards_subscribed": Spec("gauge", "Dashboards that are subscribed now.", {}),
    "chatswarm_messages_intended_total": Spec("counter", "Messages that the schedule intended by now.", {}),
    "chatswarm_messages_sent_total": Spec("counter", "Messages that the swarm began to send.", {}),
    "chatswarm_messages_total": Spec(
        "counter",
        "Messages by outcome: accepted, rejected (certainly not stored), unknown, or the rig itself failed.",
        {"outcome": tuple(OUTCOMES.values())},
    ),
    "chatswarm_deliveries_expected_total": Spec(
        "counter", "Accepted messages, each times the dashboards that must show it (with rooms: the members).", {}
    ),
    "chatswarm_deliveries_visible_total": Spec("counter", f"Expected deliveries that are visible. {_SEEN} {_LIVE}", {}),
    "chatswarm_deliveries_late_total": Spec("counter", f"Visible deliveries above the update target. {_LIVE}", {}),
    "chatswarm_deliveries_missing": Spec(
        "gauge",
        "Expected deliveries that are not visible, of messages accepted longer ago than the update target. Includes "
        f"messages that fell out of a list of only the newest chats. {_SEEN} {_LIVE}",
        {},
    ),
    "chatswarm_accepted_seconds": Spec("histogram", f"Per accepted message: from intended to accepted. {_LIVE}", {}),
    "chatswarm_notified_seconds": Spec(
        "histogram",
        "Per delivery: from intended to the first frame that names the message. Absent if frames have neither message "
        f"ids nor texts. {_LIVE}",
        {},
    ),
    "chatswarm_visible_seconds": Spec(
        "histogram",
        "Per delivery: from intended to shown, by a refetch or by a frame with the text. Missing deliveries are not "
        f"counted. {_SEEN} {_LIVE}",
        {},
    ),
    "chatswarm_last_dashboard_seconds": Spec(
        "histogram",
        f"Per message that is visible on all its dashboards: from intended to shown on the last. {_SEEN} {_LIVE}",
        {},
    ),
    "chatswarm_refetch_seconds": Spec(
        "histogram", f"Per successful refetch of the measured part: from its start to its end. {_LIVE}", {}
    ),
    "chatswarm_connect_seconds": Spec(
        "histogram", f"Per dashboard connection that was subscribed: from its opening to subscribed. {_LIVE}", {}
    ),
    "chatswarm_connections_lost_total": Spec(
        "counter", "Subscribed dashboard connections that ended unplanned, by close code.", {"code": CODES}
    ),
    "chatswarm_rig_lag_seconds": Spec(
        "histogram",
        "How late a task woke that should wake every 10 ms, in all processes with users. A blocked loop counts each "
        f"time that it should have woken. {_LIVE}",
        {},
    ),
    "chatswarm_rig_cpu_cores": Spec(
        "gauge", "CPU that a process with users used over its last second.", {"process": "those of the swarm"}
    ),
    "chatswarm_rig_late_sends_total": Spec(
        "counter", "Sends that the rig handed over late, by more than a tenth of the tightest limit.", {}
    ),
    "chatswarm_fault_active": Spec(
        "gauge", "1 while the fault is active.", {"name": _FAULT, "kind": _FAULT}
    ),
}  # fmt: skip
"""All metrics of the swarm. The histograms' edges are in `buckets.py`; names in `_seconds` are in seconds."""


@dataclass(slots=True)
class Snapshot:
    """What a scrape sees. `figures` is None if no run has begun."""

    phase: str = "idle"
    now: float = float("-inf")  # seconds after T0
    until: float = float("inf")  # end of the measured part, when the schedule is over, in seconds after T0
    figures: CombinedFigures | None = None
    faults: Mapping[tuple[str, str], bool] | None = None  # whether each is active, by name and kind; None: not known


Values = Mapping[tuple[str, ...], float]


def exposition(snapshot: Snapshot) -> bytes:
    """All metrics in Prometheus' text format. What was not measured is absent."""
    registry = CollectorRegistry()
    registry.register(_Collector(snapshot))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield _family("chatswarm_phase", {(phase,): float(phase == snapshot.phase) for phase in PHASES})
        if snapshot.figures is not None:
            values = _values(snapshot, snapshot.figures)
            for name, value in values.items():
                if isinstance(value, LatencyHistogram):
                    yield _histogram(name, value)
                elif isinstance(value, Mapping):
                    yield _family(name, value)
                else:
                    yield _family(name, {(): float(value)})


def _values(snapshot: Snapshot, figures: CombinedFigures) -> dict[str, float | Values | LatencyHistogram]:
    now = snapshot.now
    values: dict[str, float | Values | LatencyHistogram] = {
        "chatswarm_run_info": {(figures.run, figures.scenario.name, figures.target): 1.0},
        "chatswarm_update_target_seconds": figures.scenario.update_target,
        "chatswarm_users": {(kind,): float(count) for kind, count in figures.users(now).items()},
        "chatswarm_dashboards_subscribed": figures.subscribed,
        "chatswarm_messages_intended_total": figures.intended(min(now, snapshot.until)),
        "chatswarm_messages_sent_total": figures.sent,
        "chatswarm_messages_total": {(OUTCOMES[outcome],): float(n) for outcome, n in figures.outcomes.items()},
        "chatswarm_deliveries_expected_total": figures.expected,
        "chatswarm_deliveries_visible_total": figures.delivered,
        "chatswarm_deliveries_late_total": figures.late,
        "chatswarm_deliveries_missing": figures.missing(now),
        "chatswarm_accepted_seconds": figures.accepted,
        "chatswarm_visible_seconds": figures.visible,
        "chatswarm_last_dashboard_seconds": figures.last_dashboard,
        "chatswarm_refetch_seconds": figures.refetch,
        "chatswarm_connect_seconds": figures.connect,
        "chatswarm_connections_lost_total": {(code,): float(count) for code, count in figures.lost.items()},
        "chatswarm_rig_late_sends_total": figures.late_sends,
    }
    if figures.notified.count:
        values["chatswarm_notified_seconds"] = figures.notified
    if figures.lag.count:
        values["chatswarm_rig_lag_seconds"] = figures.lag
    if figures.cpu:
        values["chatswarm_rig_cpu_cores"] = {(process,): cores for process, cores in figures.cpu.items()}
    if snapshot.faults:
        values["chatswarm_fault_active"] = {key: float(active) for key, active in snapshot.faults.items()}
    return values


def _family(name: str, values: Values) -> Metric:
    spec = METRICS[name]
    make = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    family = make(name, spec.help, labels=list(spec.labels))
    for labels, value in values.items():
        family.add_metric(list(labels), value)
    return family


def _histogram(name: str, histogram: LatencyHistogram) -> Metric:
    return HistogramMetricFamily(name, METRICS[name].help, histogram.cumulative(), histogram.seconds)
