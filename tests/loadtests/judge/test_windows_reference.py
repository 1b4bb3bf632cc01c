"""Windows, recovery and fan-out against slow ones that are obviously right, on generated histories."""

import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.latency import Latencies, fan_out
from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.judge.ledger.deliveries import to_everybody
from chatswarm.loadtests.judge.ledger.faults import FaultSpan
from chatswarm.loadtests.judge.metrics import MetricValues
from chatswarm.loadtests.judge.recovery import Bounds, TargetMisses, recoveries_of, recovery_bounds, target_misses_of
from chatswarm.loadtests.judge.windows import Window, window_of
from chatswarm.loadtests.scenario.slo import Kind

from .test_ledger_reference import EXAMPLES, World, acted, ledger_of, worlds

KINDS: list[Kind] = ["before", "during", "after", "outside"]
slowly = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
eighths = st.integers(0, 200).map(lambda number: number / 8)
"""Moments that add and subtract without rounding."""


@st.composite
def faults(draw: st.DrawFn) -> list[FaultSpan]:
    spans = []
    for name in draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=4)):
        start = draw(eighths)
        stop = start + draw(eighths) if draw(st.integers(0, 5)) else math.inf
        spans.append(FaultSpan(name, "k", start, stop, {"did": 1.0}))
    return spans


# Windows


def slow_in_window(kind: Kind, spans: list[tuple[float, float, float]], starts: float, ends: float) -> bool:
    """`spans` are starts, stops and when all was whole again."""
    if kind == "before":
        return all(ends < start for start, _, _ in spans)
    if kind == "after":
        return all(starts > stop for _, stop, _ in spans)
    if kind == "during":
        return any(starts <= stop and start <= ends for start, stop, _ in spans)
    return not any(starts <= max(stop, whole) and start <= ends for start, stop, whole in spans)


@slowly
@given(faults(), st.lists(st.tuples(eighths, eighths), max_size=20), st.lists(eighths, min_size=4, max_size=4))
def test_windows(spans: list[FaultSpan], moments: list[tuple[float, float]], took: list[float]) -> None:
    whole = [span.stop + more if more else math.nan for span, more in zip(spans, took, strict=False)]
    starts = np.array([start for start, _ in moments])
    ends = starts + np.array([length for _, length in moments])
    mine = [(span.start, span.stop, end) for span, end in zip(spans, whole, strict=True) if span.name == "a"]
    for kind in KINDS:
        window = window_of(kind, "a", spans, whole)
        if isinstance(window, str):
            assert not mine or (kind == "outside" and not all(math.isfinite(end) for _, _, end in mine))
            continue
        expected = [slow_in_window(kind, mine, *span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
        assert window.holds(starts, ends).tolist() == expected


# Recovery


def slow_recovery_bounds(misses: TargetMisses, stop: float, end: float) -> Bounds:
    """Tries every eighth of a second in turn."""

    def inside(at: float, until: float) -> list[int]:
        return [row for row, time in enumerate(misses.intended.tolist()) if at < time <= until]

    low = high = math.inf
    at = stop
    while at <= max(end, stop):
        calm = inside(at, at + 3)
        if low == math.inf and not misses.certain[calm].any():
            low = at
        if at + 3 <= end and len(calm) >= 10 and not misses.possible[calm].any():
            high = at
            break
        at += 1 / 8
    return Bounds(low, high)


@slowly
@given(
    st.lists(st.tuples(st.integers(0, 160), st.sampled_from(["met"] * 12 + ["missed", "unknown"])), max_size=120),
    st.integers(0, 170).map(lambda number: number / 8),
)
def test_recovery(messages: list[tuple[int, str]], stop: float) -> None:
    messages.sort()
    missed = np.array([kind == "missed" for _, kind in messages], bool)
    possibly_missed = np.array([kind != "met" for _, kind in messages], bool)
    misses = TargetMisses(np.array([at / 8 for at, _ in messages]), missed, possibly_missed)
    assert recovery_bounds(misses, stop, 20.0) == slow_recovery_bounds(misses, stop, 20.0)


@st.composite
def troubled(draw: st.DrawFn) -> tuple[World, list[FaultSpan]]:
    """A world and its faults. A fault's times never meet those of the world exactly."""
    world = draw(worlds())
    spans = []
    for name in draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=3)):
        start = draw(st.integers(0, 90)) / 10 + 0.05
        spans.append(FaultSpan(name, "k", start, start + draw(st.integers(0, 40)) / 10, {"did": 1.0}))
    return world, spans


def faulty_ledger(world: World, spans: list[FaultSpan], folder: str) -> Ledger:
    play = acted(world, Path(folder))
    for span in spans:
        play.fault(span.name, span.start, span.stop, evidence=dict(span.evidence))
    return ledger_of(play)


@slowly
@given(troubled())
def test_which_messages_missed_the_target(given: tuple[World, list[FaultSpan]]) -> None:
    world, spans = given
    with tempfile.TemporaryDirectory() as folder:
        ledger = faulty_ledger(world, spans, folder)
        misses = target_misses_of(ledger)
        slow = []
        messages = ledger.messages
        for row in range(len(messages)):
            outcome, intended = int(messages.outcome[row]), float(messages.intended[row])
            missed = unknown = False
            for delivery in ledger.deliveries.of(np.array([row])).tolist():
                in_time = float(ledger.visible[delivery]) <= intended + 2
                missed |= not in_time and not ledger.unproven[delivery]
                unknown |= not in_time and bool(ledger.unproven[delivery])
            if outcome == SendOutcome.REJECTED:
                missed = True
            slow.append((intended, missed, missed or unknown))
        fast = zip(misses.intended.tolist(), misses.certain.tolist(), misses.possible.tolist(), strict=True)
        assert sorted(fast) == sorted(slow)


@slowly
@given(troubled())
def test_the_parts_of_a_recovery(given: tuple[World, list[FaultSpan]]) -> None:
    world, spans = given
    with tempfile.TemporaryDirectory() as folder:
        ledger = faulty_ledger(world, spans, folder)
        for recovery, fault in zip(recoveries_of(ledger), ledger.observations.faults, strict=True):
            first, caught = math.inf, []
            for row in range(len(ledger.messages)):
                intended = float(ledger.messages.intended[row])
                for delivery in ledger.deliveries.of(np.array([row])).tolist():
                    seen = float(ledger.visible[delivery])
                    if intended > fault.stop:
                        first = min(first, seen)
                    elif ledger.expected[delivery] and min(seen, intended + 2) >= fault.start:
                        caught.append(seen)
            assert recovery.first_delivery == (round(first - fault.stop, 6) if first < math.inf else None)
            gone = max(caught, default=math.inf)
            assert recovery.backlog_gone == (round(max(0.0, gone - fault.stop), 6) if gone < math.inf else None)


# Latencies and counts in windows


def slow_sample(ledger: Ledger, window: Window, name: str) -> list[float]:
    """Straight from the definitions, message by message. NaN stands for what is not known."""
    target = ledger.scenario.update_target
    spans: list[tuple[float, float]] = []
    messages = ledger.messages
    for row in range(len(messages)):
        intended = float(messages.intended[row])
        if name == "accepted":
            done = float(messages.done[row])
            spans.append((intended, done if messages.outcome[row] == SendOutcome.ACCEPTED else math.inf))
            continue
        seen = [
            math.nan if ledger.unproven[d] else float(ledger.visible[d])
            for d in ledger.deliveries.of(np.array([row])).tolist()
            if ledger.expected[d] and not ledger.excused[d]
        ]
        if name == "visible":
            spans += [(intended, end) for end in seen]
        elif seen:
            ordered = sorted(end - intended for end in seen if not math.isnan(end))
            if len(ordered) < len(seen):
                spans.append((intended, math.nan))
                continue
            which = {"first_dashboard": 0, "median_dashboard": (len(ordered) - 1) // 2, "last_dashboard": -1}[name]
            spans.append((intended, intended + ordered[which]))
    inside = []
    for start, end in spans:
        settled = end if math.isfinite(end) else start + target
        if bool(window.holds(np.array([start]), np.array([settled]))[0]):
            inside.append(end - start)
    return sorted(inside, key=lambda value: math.inf if math.isnan(value) else value)


@slowly
@given(troubled(), st.sampled_from(KINDS))
def test_latencies_in_windows(given: tuple[World, list[FaultSpan]], kind: Kind) -> None:
    world, spans = given
    with tempfile.TemporaryDirectory() as folder:
        ledger = faulty_ledger(world, spans, folder)
        latencies = Latencies(ledger, [])
        found = ledger.observations.faults
        window = window_of(kind, found[0].name, found, [fault.stop + 1 for fault in found])
        assert isinstance(window, Window)
        for name in ("visible", "accepted", "first_dashboard", "median_dashboard", "last_dashboard"):
            expected = slow_sample(ledger, window, name)
            sample = latencies.sample(name, window)
            known = sorted(value for value in expected if not math.isnan(value))
            assert sample.open == len(expected) - len(known)
            assert np.allclose(sample.values, known, rtol=0, atol=1e-9)


@slowly
@given(
    st.integers(1, 5).flatmap(
        lambda dashboards: st.lists(
            st.lists(
                st.tuples(st.sampled_from([0.5, 1.0, 1.5, 2.0, math.inf, math.nan]), st.booleans()),
                min_size=dashboards,
                max_size=dashboards,
            ),
            min_size=1,
            max_size=4,
        )
    )
)
def test_fan_out(rows: list[list[tuple[float, bool]]]) -> None:
    latency = np.array([value for row in rows for value, _ in row])
    counted = np.array([counts for row in rows for _, counts in row])
    deliveries = to_everybody(len(rows), len(rows[0]))
    found = fan_out(lambda messages: latency[deliveries.of(messages)], counted, deliveries)
    for number, (first, median, last) in enumerate(zip(*found, strict=True)):
        values = [value for value, counts in rows[number] if counts]
        if not values or any(math.isnan(value) for value in values):
            assert math.isnan(first) and math.isnan(median) and math.isnan(last)  # noqa: PT018 - together or not at all
            continue
        values.sort()
        assert (first, median, last) == (values[0], values[math.ceil(len(values) / 2) - 1], values[-1])


@slowly
@given(troubled(), st.sampled_from(KINDS))
def test_counts_in_windows(given: tuple[World, list[FaultSpan]], kind: Kind) -> None:
    world, spans = given
    with tempfile.TemporaryDirectory() as folder:
        ledger = faulty_ledger(world, spans, folder)
        found = ledger.observations.faults
        window = window_of(kind, found[0].name, found, [fault.stop + 1 for fault in found])
        assert isinstance(window, Window)
        slow = dict.fromkeys(("sent", "accepted", "rejected", "unknown", "expected", "visible", "lost", "late"), 0)
        for row in range(len(ledger.messages)):
            intended, done = float(ledger.messages.intended[row]), float(ledger.messages.done[row])
            if window.holds(np.array([intended]), np.array([done]))[0]:
                slow["sent"] += 1
                slow[SendOutcome(int(ledger.messages.outcome[row])).name.lower()] += 1
            for delivery in ledger.deliveries.of(np.array([row])).tolist():
                seen = float(ledger.visible[delivery])
                decided = min(seen, intended + 2)
                if ledger.expected[delivery] and window.holds(np.array([intended]), np.array([decided]))[0]:
                    slow["expected"] += 1
                    slow["visible"] += seen < math.inf
                    slow["late"] += 2 < seen - intended < math.inf
                    slow["lost"] += seen == math.inf and not ledger.unproven[delivery]
        metrics = MetricValues({}, ledger, {})  # in a window, all is counted
        lookup = metrics.lookup(Latencies(ledger, []), "low", window)
        for name, count in slow.items():
            base = slow["sent" if name in ("accepted", "rejected", "unknown") else "expected"]
            empty = not base and name not in ("sent", "expected")
            assert lookup(name) == (None if empty else count), name
