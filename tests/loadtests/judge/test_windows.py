"""Windows around a fault: what belongs to them, for latencies and for counts."""

from pathlib import Path

import numpy as np
import pytest

from chatswarm.loadtests.judge.ledger.faults import FaultSpan
from chatswarm.loadtests.judge.verdict import SloResult, Verdict
from chatswarm.loadtests.judge.windows import Window, window_of
from chatswarm.loadtests.scenario.metric_names import METRICS
from chatswarm.loadtests.scenario.slo import Kind

from .play import DAMAGED, FOREIGN, REJECTED, T0, UNKNOWN, Plant, Play, Stored, finding, found


def slo(verdict: Verdict) -> list[tuple[str, float | None]]:
    return [(result.outcome, result.actual) for result in verdict.slos]


def values(play: Play, *expressions: str) -> list[float | None]:
    """What the left sides come to."""
    results: list[SloResult] = play.judge(
        [f"{expression.replace(' in ', ' >= 0 ')}" for expression in expressions]
    ).slos
    return [result.actual for result in results]


@pytest.mark.parametrize(
    ("kind", "spans"),
    [
        ("before", [(1, 4.9)]),
        ("during", [(1, 5), (1, 20), (5, 5), (6, 7), (8, 8), (8, 9)]),
        ("after", [(8.1, 8.2), (9, 30), (11, 12)]),
        ("outside", [(1, 4.9), (11, 12)]),
    ],
)
def test_a_span_belongs_to_one_of_before_during_and_after(kind: Kind, spans: list[tuple[float, float]]) -> None:
    every = [(1, 4.9), (1, 5), (1, 20), (5, 5), (6, 7), (8, 8), (8, 9), (8.1, 8.2), (9, 30), (11, 12)]
    # The fault from 5 to 8; all was whole again at 10.
    window = window_of(kind, "a", [FaultSpan("a", "k", 5, 8), FaultSpan("b", "k", 0, 99)], [10.0, 100.0])
    assert isinstance(window, Window)
    held = window.holds(np.array([starts for starts, _ in every]), np.array([ends for _, ends in every]))
    assert [span for span, inside in zip(every, held.tolist(), strict=True) if inside] == spans


@pytest.mark.parametrize(
    ("kind", "inside"),
    [("before", [1]), ("during", [3, 7]), ("after", [9]), ("outside", [1, 5.5, 9])],
)
def test_a_name_with_two_faults(kind: Kind, inside: list[float]) -> None:
    window = window_of(kind, "a", [FaultSpan("a", "k", 2, 4), FaultSpan("a", "k", 6, 8)], [5.0, 8.0])
    assert isinstance(window, Window)
    moments = np.array([1, 3, 4.5, 5.5, 7, 9])
    assert moments[window.holds(moments, moments)].tolist() == inside


def test_a_fault_that_was_not_healed_lasts_for_ever() -> None:
    faults = [FaultSpan("a", "k", 2, float("inf"))]
    for kind, expected in (("before", True), ("during", False), ("after", False)):
        window = window_of(kind, "a", faults, [float("nan")])  # type: ignore[arg-type]
        assert isinstance(window, Window)
        assert window.holds(np.array([1.0]), np.array([1.5])).tolist() == [expected]
    assert isinstance(window_of("outside", "a", faults, [float("nan")]), str)


def play_with_fault(folder: Path, plants: dict[tuple[int, int], Plant] | None = None) -> Play:
    """Messages every 250 ms for 12 s, from 0.125 s on; a fault from 4 to 6 s."""
    play = Play(folder, rate=4, seconds=12, plants=plants or {}).perform()
    play.fault("slow-net", 4, 6)
    return play


def test_counts_in_windows_add_up_to_the_whole(tmp_path: Path) -> None:
    plants = {
        (0, 1): Plant(unseen_by={0}), (0, 9): Plant(unseen_by={1}), (1, 20): Plant(unseen_by={1}),
        (1, 3): Plant(outcome=REJECTED, stored=0), (1, 10): Plant(outcome=UNKNOWN, stored=0),
    }  # fmt: skip
    play = play_with_fault(tmp_path, plants)
    names = ("intended", "sent", "accepted", "rejected", "unknown", "expected", "visible", "lost", "notified")
    for name in names:
        whole, *parts = values(
            play, *(f"{name} in {place}" for place in ("", "before slow-net", "during slow-net", "after slow-net"))
        )
        assert whole == sum(part or 0 for part in parts), name
    assert values(play, "lost in before slow-net", "lost in during slow-net", "lost in after slow-net") == [1, 1, 1]
    assert values(play, "rejected in before slow-net", "unknown in during slow-net") == [1, 1]
    assert values(play, "refused in before slow-net", "refused in during slow-net") == [1, 0]
    # From 0.125 to 3.875; then 4.125 to 5.875 or on their way then; then from 6.125 on.
    assert values(play, "intended in before slow-net", "intended in during slow-net") == [16, 8]
    assert values(play, "expected in during slow-net", "expected in after slow-net") == [14, 48]


def test_latencies_in_windows(tmp_path: Path) -> None:
    plants = {(0, n): Plant(slow=1.0) for n in (8, 9, 10)} | {(0, 20): Plant(slow=0.1)}
    play = play_with_fault(tmp_path, plants)
    before, during, after, outside = values(
        play, *(f"visible.max in {kind} slow-net" for kind in ("before", "during", "after", "outside"))
    )
    assert before == pytest.approx(0.05)
    # The refetch for the next message, 250 ms later, shows the slow ones, too.
    assert during == pytest.approx(0.3)
    assert after == pytest.approx(0.15)
    assert outside == pytest.approx(0.15)
    verdict = play.judge(["visible.p99 <= 200ms before slow-net", "last_dashboard.max <= 200ms outside slow-net"])
    assert [outcome for outcome, _ in slo(verdict)] == ["pass", "pass"]


@pytest.mark.parametrize("metric", [name for name in METRICS if not name.startswith(("recovery.", "gap", "leaked"))])
@pytest.mark.parametrize("kind", ["before", "during", "after", "outside"])
def test_every_metric_has_a_value_in_every_window(tmp_path: Path, metric: str, kind: str) -> None:
    play = Play(tmp_path, rate=8, seconds=8)
    play.perform()
    play.fault("slow-net", 1, 2)
    for dashboard in range(2):  # a connect in every window
        for number, at in enumerate((0.1, 1.5, 6.5)):
            play.connect(10 + 2 * number + dashboard, dashboard, T0 + at)
            play.event(10 + 2 * number + dashboard, dashboard, 4, T0 + at + 0.2)  # type: ignore[arg-type]
    (result,) = play.judge([f"{metric} >= 0 {kind} slow-net"]).slos
    assert (result.outcome, result.actual is not None) == ("pass", True)


def test_a_lost_message_belongs_to_when_it_was_missed(tmp_path: Path) -> None:
    # Due by 2.375 s and by 4.875 s; the fault begins at 4.
    play = play_with_fault(tmp_path, {(1, 0): Plant(unseen_by={0}), (1, 5): Plant(unseen_by={0})})
    verdict = play.judge(["lost == 0 outside slow-net", "lost == 0 before slow-net", "lost == 1 during slow-net"])
    assert [outcome for outcome, _ in slo(verdict)] == ["fail", "fail", "pass"]
    verdict = play.judge(["visible.max <= 2s before slow-net", "visible.count == 31 before slow-net"])
    assert [outcome for outcome, _ in slo(verdict)] == ["fail", "pass"]


def test_what_was_late_before_a_fault_is_counted_before_it(tmp_path: Path) -> None:
    # Intended at 1.125 s, and visible in the fault.
    play = Play(tmp_path, rate=4, seconds=12, dashboards=1, widgets=1, tail=0, plants={(0, 0): Plant(slow=4.0)})
    play.perform()
    play.rows["worker0"] = [
        (table, values) for table, values in play.rows["worker0"]
        if not (table == "refetch" and T0 < float(str(values[2])) < T0 + 4.1 and values[1] != -1)
    ]  # fmt: skip
    play.fault("slow-net", 4, 6)
    verdict = play.judge(["late == 0 outside slow-net", "visible.max <= 2s before slow-net"])
    # As a count it is before; its latency, as the judgement of windows has it, is during.
    assert slo(verdict)[0][0] == "fail"
    assert slo(verdict)[1][0] == "undecided"


def test_a_window_without_anything_in_it_is_undecided(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 7, 8)
    verdict = play.judge(
        ["lost == 0 after slow-net", "visible.p99 <= 2s after slow-net", "refused == 0 after slow-net"]
    )
    assert [outcome for outcome, _ in slo(verdict)] == ["undecided"] * 3
    assert "lost was not measured after slow-net" in "\n".join(verdict.reasons)


def test_an_outside_whose_recovery_was_not_measured_is_undecided(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()  # 2 messages a second: too few
    play.fault("slow-net", 1, 2)
    verdict = play.judge(["lost == 0 outside slow-net"])
    assert slo(verdict) == [("undecided", None)]
    assert "when all was whole again after the fault slow-net was not measured" in "\n".join(verdict.reasons)


def test_events_without_a_time_may_be_in_any_window(tmp_path: Path) -> None:
    def make_up(play: Play) -> None:
        play.store[1].insert(0, Stored(-1, -1, FOREIGN, id=777))

    play = Play(tmp_path, rate=4, before_final=make_up).perform()
    play.fault("slow-net", 1, 2)
    verdict = play.judge(["phantom == 0 during slow-net", "phantom <= 1 during slow-net", "phantom == 0"])
    assert [outcome for outcome, _ in slo(verdict)] == ["undecided", "pass", "fail"]


def test_findings_about_messages_are_dated_by_their_sends(tmp_path: Path) -> None:
    plants = {(0, 1): Plant(stored=2), (0, 9): Plant(condition=DAMAGED), (0, 20): Plant(stored=0)}
    play = play_with_fault(tmp_path, plants)
    verdict = play.judge([
        "duplicated == 1 before slow-net", "corrupted == 1 during slow-net", "store_lost == 1 after slow-net",
        "duplicated == 0 outside slow-net", "lost <= 2",
    ])  # fmt: skip
    assert [outcome for outcome, _ in slo(verdict)] == ["pass", "pass", "pass", "fail", "pass"]
    assert finding(verdict, "corrupted").outcome == "pass"
    assert finding(verdict, "duplicated").outcome == "fail"


def test_a_silence_is_in_the_window_that_it_overlaps(tmp_path: Path) -> None:
    plants = {(w, n): Plant(no_frame_on={1}) for w in range(2) for n in range(8, 24)}
    play = play_with_fault(tmp_path, plants)
    silent = (
        "silent_socket == 1 during slow-net",
        "silent_socket == 0 before slow-net",
        "silent_socket == 0 after slow-net",
    )
    assert [outcome for outcome, _ in slo(play.judge(list(silent)))] == ["pass"] * 3


def test_unnotified_in_a_window_by_ids_and_by_counts(tmp_path: Path) -> None:
    for ids in (True, False):
        play = Play(tmp_path / str(ids), rate=4, seconds=12, ids=ids, plants={(0, 9): Plant(no_frame_on={1})}).perform()
        play.fault("slow-net", 4, 6)
        expected = ["pass", "pass"] if ids else ["undecided", "undecided"]
        verdict = play.judge(["unnotified == 1 during slow-net", "unnotified == 0 after slow-net"])
        assert [outcome for outcome, _ in slo(verdict)] == expected


def test_notified_in_a_window_lies_between_its_bounds_where_frames_have_no_ids(tmp_path: Path) -> None:
    plants = {(0, 9): Plant(outcome=UNKNOWN, stored=0)}
    play = Play(tmp_path, rate=4, seconds=12, ids=False, plants=plants).perform()
    play.fault("slow-net", 4, 6)
    play.frame(0, 0, -1, T0 + 4.7)
    verdict = play.judge(["notified == expected after slow-net", "notified <= expected after slow-net"])
    assert [outcome for outcome, _ in slo(verdict)] == ["undecided", "pass"]


def test_absent_dashboards_are_absent_in_every_window(tmp_path: Path) -> None:
    play = Play(tmp_path, rate=4, seconds=12, never_connected={1}).perform()
    play.fault("slow-net", 4, 6)
    verdict = play.judge(
        ["absent == 1 before slow-net", "absent == 1 after slow-net", "dashboards == 2 during slow-net"]
    )
    assert [outcome for outcome, _ in slo(verdict)] == ["pass"] * 3


def test_a_finding_is_decided_by_the_slo_of_its_window(tmp_path: Path) -> None:
    plants = {(0, 9): Plant(slow=2.5), (1, 9): Plant(slow=2.5)}
    play = Play(tmp_path, rate=4, seconds=12, widgets=2, dashboards=1, tail=0, plants=plants)
    play.perform()
    play.rows["worker0"] = [
        (table, values) for table, values in play.rows["worker0"]
        if not (table == "refetch" and T0 + 4.6 < float(str(values[2])) < T0 + 7 and values[1] != -1)
    ]  # fmt: skip
    play.fault("slow-net", 4, 7)
    assert "late" in found(play.judge())
    assert play.judge(["late == 0 outside slow-net"]).verdict == "pass"
    assert play.judge(["late == 0 during slow-net"]).verdict == "fail"


def test_the_message_that_ends_a_recovery_is_not_outside(tmp_path: Path) -> None:
    # Intended at 7 1/12 s: a little later than that in microseconds.
    play = Play(tmp_path, rate=6, seconds=16, plants={(0, 21): Plant(unseen_by={1})}).perform()
    play.fault("slow-net", 4, 6)
    verdict = play.judge(["lost == 0 outside slow-net"])
    assert verdict.recoveries[0].whole_again == 1.083333
    assert slo(verdict)[0][0] == "pass"


def test_a_failed_latency_in_a_window_that_the_rig_explains_is_undecided(tmp_path: Path) -> None:
    plants = {(0, 10): Plant(handed_late=1.0, slow=0.3), (0, 11): Plant(handed_late=1.0)}
    play = play_with_fault(tmp_path, plants)
    verdict = play.judge(["visible.max <= 1s during slow-net", "visible.max <= 10ms during slow-net"])
    assert [outcome for outcome, _ in slo(verdict)] == ["undecided", "fail"]
