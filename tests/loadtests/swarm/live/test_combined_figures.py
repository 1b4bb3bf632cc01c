"""Live figures: histograms, figures combined over processes, and the metrics for Prometheus."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.history.faults import FaultWriter
from chatswarm.loadtests.history.manifest import NEMESIS, history_file
from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.ledger.audience import online
from chatswarm.loadtests.judge.ledger.deliveries import to_everybody
from chatswarm.loadtests.judge.rig import filled_in
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.rooms import of_rows
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.swarm.live.active_faults import ActiveFaults
from chatswarm.loadtests.swarm.live.buckets import LAG, LATENCY, DeliveryCounts, LatencyHistogram, rows_of
from chatswarm.loadtests.swarm.live.combined_figures import CombinedFigures
from chatswarm.loadtests.swarm.live.increment import RIG_FAILED, Increment, Send, Spread
from chatswarm.loadtests.swarm.live.live_audience import LiveAudience
from chatswarm.loadtests.swarm.live.prometheus import METRICS, PHASES, Snapshot, exposition
from chatswarm.loadtests.swarm.plan import ProcessProgress

ACCEPTED, REJECTED, UNKNOWN = SendOutcome


def planned(*stages: tuple[str, int], dashboards: int = 3, target: str = "2s") -> Scenario:
    swarm = {"dashboards": dashboards, "widgets": 2, "update_target": target, "drain": "9s"}
    rows = [{"for": length, "rate": 1, "dashboards": count} for length, count in stages]
    table: dict[str, object] = {"swarm": swarm, "stage": rows} if rows else {"swarm": swarm}
    return scenario.parse(table, "some", "some")


def row(widget: int, n: int, *latencies: float, target: float = 2.0) -> DeliveryCounts:
    (made,) = rows_of([(widget, n)], np.zeros(len(latencies), np.int64), np.array(latencies), target)
    return made


def figures(of: Scenario | None = None) -> CombinedFigures:
    return CombinedFigures(of or planned(), [[0.0, 1.0, 2.0], [0.5]], "abc", "http://chat")


def sent(widget: int, n: int, outcome: int, done: float) -> Send:
    return Send(widget, n, outcome, done, -1)


def test_an_edge_belongs_to_the_bucket_below_it() -> None:
    histogram = LatencyHistogram.empty(LATENCY)
    histogram.take(np.array([0.005, 0.0051, 2.0, 10.0, 11.0, 0.0]))
    histogram.observe(2.0)
    counts = dict(histogram.cumulative())
    assert (counts["0.005"], counts["0.01"], counts["1.75"], counts["2.0"], counts["10.0"], counts["+Inf"]) == (
        2, 3, 3, 5, 6, 7,
    )  # fmt: skip
    assert histogram.seconds == pytest.approx(25.0101)


def test_the_edges_are_as_agreed() -> None:
    assert list(LATENCY) == [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 5, 10]
    assert list(LAG) == [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]


def test_deliveries_by_message() -> None:
    message, latency = np.array([4, 2, 4, 4]), np.array([0.1, 3.0, 2.0, 2.1])
    two, four = rows_of([(9, n) for n in range(5)], message, latency, target=2.0)
    assert (two.widget, two.n, two.most, two.late, sum(two.counts)) == (9, 2, 3.0, 1, 1)
    assert (four.widget, four.n, four.most, four.late, sum(four.counts)) == (9, 4, 2.1, 1, 3)
    assert four.seconds == pytest.approx(4.2)
    assert [four.counts[LATENCY.index(edge)] for edge in (0.1, 2.0, 2.5)] == [1, 1, 1]


def test_the_last_dashboard_is_the_slowest_of_all_processes_once_all_have_the_message() -> None:
    of = figures()
    of.take("swarm-0", Increment(sends=[sent(0, 1, ACCEPTED, 1.25)], visible=[row(0, 1, 0.7, 2.5)]))
    assert (of.expected, of.delivered, of.last_dashboard.count, of.late) == (3, 2, 0, 1)
    assert of.accepted.seconds == 0.25
    of.take("swarm-1", Increment(visible=[row(0, 1, 0.3)]))
    assert (of.delivered, of.last_dashboard.count, of.last_dashboard.seconds, of.late) == (3, 1, 2.5, 1)
    assert of.missing(1000.0) == 0


def test_deliveries_that_arrive_before_the_outcome_are_held() -> None:
    of = figures()
    of.take("swarm-1", Increment(visible=[row(0, 0, 0.1, 0.1)], notified=[row(0, 0, 0.05)]))
    assert (of.delivered, of.visible.count, of.notified.count) == (0, 0, 0)
    of.take("swarm-0", Increment(sends=[sent(0, 0, ACCEPTED, 0.2)]))
    assert (of.delivered, of.visible.count, of.notified.count) == (2, 2, 1)


@pytest.mark.parametrize("outcome", [REJECTED, UNKNOWN, RIG_FAILED])
def test_messages_that_were_not_accepted_are_no_deliveries(outcome: int) -> None:
    of = figures()
    of.take("swarm-0", Increment(visible=[row(0, 0, 0.1)]))
    of.take("swarm-0", Increment(sends=[sent(0, 0, outcome, 0.2)], notified=[row(0, 0, 0.1)]))
    of.take("swarm-0", Increment(visible=[row(0, 0, 0.1)]))
    assert (of.expected, of.delivered, of.visible.count, of.notified.count, of.accepted.count) == (0, 0, 0, 0, 0)
    assert of.outcomes == {**dict.fromkeys((*SendOutcome, RIG_FAILED), 0), outcome: 1}


def test_a_delivery_is_missing_once_its_message_was_accepted_longer_ago_than_the_target() -> None:
    of = figures()
    of.take("swarm-0", Increment(sends=[sent(0, 0, ACCEPTED, 1.0)], visible=[row(0, 0, 0.1)]))
    assert (of.missing(2.9), of.missing(3.1)) == (0, 2)


def test_histograms_and_counts_are_summed_over_processes_but_cpu_is_not() -> None:
    of = figures()
    ones = Spread([1] * (len(LATENCY) + 1), 3.0)
    for process, cpu in (("swarm-0", 0.25), ("swarm-1", 0.5), ("swarm-1", None), ("swarm-0", 0.75)):
        of.take(process, Increment(refetch=ones, connect=ones, lost={"1006": 2, "other": 1}, late_sends=3, cpu=cpu))
    assert (of.refetch.count, of.refetch.seconds, of.connect.count) == (4 * 17, 12.0, 4 * 17)
    assert (of.lost["1006"], of.lost["other"], of.lost["1000"], of.late_sends) == (8, 4, 0, 12)
    assert of.cpu == {"swarm-0": 0.75, "swarm-1": 0.5}


def test_with_rooms_a_message_is_expected_on_the_members_of_its_room_and_no_others() -> None:
    table = {"swarm": {"dashboards": 6, "widgets": 2}, "rooms": {"count": 2, "members": 4}}
    plan = scenario.parse(table, "some", "some")
    audience = LiveAudience(plan, Promises(visible="frame", has_rooms=True, has_members=True))
    of = CombinedFigures(plan, [[0.0, 1.0], [0.5]], "abc", "http://chat", audience)
    of.take("swarm-0", Increment(sends=[sent(0, 1, ACCEPTED, 1.2)], visible=[row(0, 1, 0.1, 0.2, 0.3)]))
    assert (of.expected, of.delivered, of.missing(9.0), of.last_dashboard.count) == (4, 3, 1, 0)
    of.take("swarm-1", Increment(visible=[row(0, 1, 0.4)]))
    assert (of.expected, of.delivered, of.missing(9.0), of.last_dashboard.seconds) == (4, 4, 0, 0.4)


def test_a_message_that_nobody_must_show_is_expected_nowhere() -> None:
    table = {"swarm": {"dashboards": 3, "widgets": 2}, "rooms": {"count": 1, "senders": "members"}}
    plan = scenario.parse(table, "some", "some")
    audience = LiveAudience(plan, Promises(has_rooms=True), of_rows(1, []))
    of = CombinedFigures(plan, [[0.0], [0.5]], "abc", "http://chat", audience)
    of.take("swarm-0", Increment(sends=[sent(0, 0, ACCEPTED, 0.2)]))
    assert (of.accepted.count, of.expected, of.missing(9.0), of.last_dashboard.count) == (1, 0, 0, 0)


def test_only_ids_of_accepted_messages_are_passed_on() -> None:
    sends = [Send(0, 0, ACCEPTED, 0.1, 71), Send(0, 1, ACCEPTED, 1.1, -1), Send(1, 0, UNKNOWN, 0.6, 72)]
    assert figures().take("swarm-0", Increment(sends=sends)) == [(71, 0, 0)]


def test_messages_intended_and_users_planned_by_now() -> None:
    of = figures(planned(("1s", 3), ("1s", 1), ("1s", 2)))
    assert [of.intended(now) for now in (float("-inf"), -0.1, 0.0, 0.5, 99.0)] == [0, 0, 1, 2, 4]
    assert [of.users(now)["dashboard"] for now in (float("-inf"), 0.5, 1.5, 2.5, 99.0)] == [3, 3, 1, 2, 2]
    assert of.users(0)["widget"] == 2


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 4).map("{}s".format), st.integers(1, 5)), min_size=1, max_size=4),
    st.integers(0, 16),
)
def test_eligible_dashboards_are_those_of_the_judge(stages: list[tuple[str, int]], quarters: int) -> None:
    of = planned(*stages, target="1s")
    at = min(quarters / 4, of.duration)
    planned_for = online(to_everybody(1, of.dashboards), np.array([at]), of)
    assert [dashboard < of.eligible(at) for dashboard in range(of.dashboards)] == planned_for.tolist()


def test_a_blocked_loop_counts_for_each_time_that_it_should_have_woken() -> None:
    assert filled_in(np.array([0.002, 0.03])) == pytest.approx([0.002, 0.03, 0.02, 0.01])


# The exposition.


def lines(snapshot: Snapshot) -> list[str]:
    return exposition(snapshot).decode().splitlines()


def whole() -> Snapshot:
    """A snapshot in which everything was measured."""
    of = figures()
    report = Increment(
        sends=[sent(0, 0, ACCEPTED, 0.2)], visible=[row(0, 0, 0.1)], notified=[row(0, 0, 0.05)],
        lag=Spread([1] + [0] * len(LAG), 0.0), cpu=0.5,
    )  # fmt: skip
    of.take("swarm-0", report)
    of.progressed(ProcessProgress(sent=2, subscribed=3))
    return Snapshot("measuring", 9.0, float("inf"), of, {("gone", "kill"): True})


def test_without_a_run_only_the_phase_is_exposed() -> None:
    samples = [line for line in lines(Snapshot()) if not line.startswith("#")]
    assert samples == [f'chatswarm_phase{{phase="{phase}"}} {float(phase == "idle")}' for phase in PHASES]


def test_what_was_not_measured_is_absent_not_0() -> None:
    text = "\n".join(lines(Snapshot("connecting", figures=figures())))
    for name in ("notified_seconds", "rig_lag", "rig_cpu", "fault_active"):
        assert f"chatswarm_{name}" not in text
    assert "chatswarm_messages_sent_total 0.0" in text


def test_samples() -> None:
    assert {
        'chatswarm_run_info{run="abc",scenario="some",target="http://chat"} 1.0',
        "chatswarm_update_target_seconds 2.0",
        "chatswarm_dashboards_subscribed 3.0",
        "chatswarm_messages_intended_total 4.0",
        "chatswarm_messages_sent_total 2.0",
        'chatswarm_messages_total{outcome="accepted"} 1.0',
        "chatswarm_deliveries_expected_total 3.0",
        "chatswarm_deliveries_visible_total 1.0",
        "chatswarm_deliveries_missing 2.0",
        'chatswarm_visible_seconds_bucket{le="0.05"} 0.0',
        'chatswarm_visible_seconds_bucket{le="0.1"} 1.0',
        'chatswarm_visible_seconds_bucket{le="+Inf"} 1.0',
        'chatswarm_rig_cpu_cores{process="swarm-0"} 0.5',
        'chatswarm_fault_active{kind="kill",name="gone"} 1.0',
    } <= {re.sub(r'\{name="gone",kind="kill"\}', '{kind="kill",name="gone"}', line) for line in lines(whole())}


def test_exactly_the_listed_metrics_are_exposed_with_their_kind_and_help() -> None:
    said = lines(whole())
    kinds = dict(line.split(" ")[2:] for line in said if line.startswith("# TYPE"))
    helps = dict(line.split(" ", 3)[2:] for line in said if line.startswith("# HELP"))
    assert kinds == {name: spec.kind for name, spec in METRICS.items()}
    assert helps == {name: spec.help for name, spec in METRICS.items()}


def test_nothing_is_intended_after_a_run_is_cut_short() -> None:
    snapshot = whole()
    snapshot.until = 0.7
    assert "chatswarm_messages_intended_total 2.0" in lines(snapshot)


# Active faults, from the nemesis's history.


def test_faults_are_active_from_their_start_to_their_stop(tmp_path: Path) -> None:
    plans = scenario.load("kill").faults
    ((name, kind),) = keys = [(plan.name, plan.kind) for plan in plans]
    faults = ActiveFaults(plans, history_file(tmp_path, NEMESIS))
    assert faults.active() == dict.fromkeys(keys, False), "no fault has begun"
    writer = FaultWriter(tmp_path, "abc")
    assert faults.active() == {(name, kind): False}
    writer.start(name, kind, 1.0)
    writer.start(name, kind, 2.0)
    assert faults.active() == {(name, kind): True}
    writer.stop(name, kind, 3.0)
    assert faults.active() == {(name, kind): True}, "the second one is still active"
    writer.stop(name, kind, 4.0)
    assert faults.active() == {(name, kind): False}
    writer.close()
    assert faults.active() == {(name, kind): False}


def test_active_faults_are_not_known_if_the_history_cannot_be_read(tmp_path: Path) -> None:
    faults = ActiveFaults(scenario.load("kill").faults, tmp_path / "nemesis.cs1")
    (tmp_path / "nemesis.cs1").write_bytes(b"something else")
    assert faults.active() is None
