"""The nemesis: begins and heals faults on schedule and on every way out, and records everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatswarm.loadtests.faults import nemesis
from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import Fault, FaultContext
from chatswarm.loadtests.faults.nemesis import Nemesis
from chatswarm.loadtests.faults.toxiproxy import Toxiproxy
from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import NEMESIS, PROXY, history_file
from chatswarm.loadtests.judge.ledger.faults import FaultRow, FaultSpan, faults_of
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from .harness import Proxied
from .victims import until


class Recorded(Fault):
    """Records the calls to it."""

    places = ("here",)
    done: list[str]
    released: threading.Event

    def begin(self) -> None:
        self.done.append(f"begin {self.plan.name} {self.number}")

    def heal(self) -> Evidence:
        self.done.append(f"heal {self.plan.name} {self.number}")
        return {"deeds": 1}


class Idle(Recorded):
    def heal(self) -> Evidence:
        super().heal()
        return {"deeds": 0, "said": ""}


class CannotBegin(Recorded):
    def begin(self) -> None:
        super().begin()
        raise FaultError("expected a moon, got none")

    def heal(self) -> Evidence:
        super().heal()
        return {}


class CannotHeal(Recorded):
    def heal(self) -> Evidence:
        super().heal()
        raise OSError("no way back")


class Stuck(Recorded):
    """Does not return from healing until it is released."""

    def heal(self) -> Evidence:
        self.released.wait(60)
        self.done.append("released")
        raise FaultError("too late")


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    kinds = {"noted": Recorded, "idle": Idle, "cannot begin": CannotBegin, "cannot heal": CannotHeal, "stuck": Stuck}
    monkeypatch.setattr(nemesis, "KINDS", kinds)
    Recorded.done, Recorded.released = [], threading.Event()
    yield Recorded.done
    Recorded.released.set()


def planned(kind: str, at: float = 0, length: float = 0, every: float | None = None, name: str = "") -> FaultPlan:
    return FaultPlan(name=name or kind, kind=kind, at=at, length=length, every=every, on="here")


class RunningNemesis:
    """A nemesis that has begun, and the history that it wrote."""

    def __init__(self, context: FaultContext, *plans: FaultPlan, duration: float = 60) -> None:
        self.context = context
        self.said: list[str] = []
        self.nemesis = Nemesis(plans, duration, context, context.folder, self.said.append)
        self.nemesis.begin("run", time.monotonic())

    def end(self) -> RunningNemesis:
        self.nemesis.end()
        return self

    @property
    def judged(self) -> tuple[list[FaultSpan], list[str]]:
        """The faults as the judge sees them, and what it says of them."""
        table = read(history_file(self.context.folder, NEMESIS)).tables["fault"]
        rows = zip(*(table[key] for key in FaultRow._fields), strict=True)
        return faults_of([FaultRow(*row) for row in rows], 0)

    @property
    def troubles(self) -> list[str]:
        return list(read(history_file(self.context.folder, NEMESIS)).tables["trouble"]["detail"])

    @property
    def whole(self) -> bool:
        return read(history_file(self.context.folder, NEMESIS)).cut is None


def test_a_fault_begins_lasts_and_is_healed(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("noted", at=0.1, length=0.2))
    until(lambda: len(noted) == 2)
    ((span,), problems) = acted.end().judged
    assert noted == ["begin noted 0", "heal noted 0"]
    assert span.stop - span.start >= 0.2
    assert (span.evidence, problems, acted.troubles, acted.whole) == ({"deeds": 1}, [], [], True)
    assert acted.said == ["fault noted begins", "fault noted is over"]


def test_faults_may_overlap(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("noted", 0, 0.6, name="long"), planned("noted", 0.2, 0.1, name="short"))
    until(lambda: len(noted) == 4)
    assert noted == ["begin long 0", "begin short 0", "heal short 0", "heal long 0"]
    spans, problems = acted.end().judged
    assert [span.name for span in spans] == ["long", "short"]
    assert spans[0].stop > spans[1].stop
    assert problems == []


def test_a_fault_recurs(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("noted", 0, 0.05, every=0.2), duration=0.5)
    until(lambda: len(noted) == 6)
    assert noted == [f"{what} noted {number}" for number in range(3) for what in ("begin", "heal")]
    assert len(acted.end().judged[0]) == 3


def test_a_fault_that_cannot_begin_is_healed_and_reported(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("cannot begin", length=30), planned("noted", 0.1, 0.1))
    until(lambda: len(noted) == 4)
    assert noted[:2] == ["begin cannot begin 0", "heal cannot begin 0"]
    _, problems = acted.end().judged
    assert acted.troubles == ["the fault cannot begin could not begin: expected a moon, got none"]
    assert acted.troubles[0].removeprefix("the ") in acted.said
    (problem,) = problems
    assert "the fault cannot begin" in problem
    assert "left no evidence" in problem


def test_a_fault_that_cannot_be_healed_is_reported_as_never_healed(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("cannot heal"), planned("noted", 0.1, 0.1))
    until(lambda: len(noted) == 4)
    spans, problems = acted.end().judged
    assert acted.troubles == ["the fault cannot heal could not be healed: OSError: no way back"]
    assert spans[0].stop == float("inf")
    assert "was never healed" in problems[0]
    assert "fault noted is over" in acted.said
    assert "fault cannot heal is over" not in acted.said


def test_a_fault_that_did_nothing_proves_nothing(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("idle"))
    until(lambda: len(noted) == 2)
    assert "left no evidence that it did anything" in "\n".join(acted.end().judged[1])


def test_giving_up_heals_at_once_and_begins_no_more_faults(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("noted", 0, 50), planned("noted", 50, 5, name="later"))
    until(lambda: noted)
    began = time.monotonic()
    acted.nemesis.give_up()
    until(lambda: len(noted) == 2)
    spans, problems = acted.end().judged
    assert time.monotonic() - began < 20
    assert noted == ["begin noted 0", "heal noted 0"]
    assert [span.name for span in spans] == ["noted"]
    assert problems == []


def test_end_waits_until_all_are_healed_and_may_be_called_twice(context: FaultContext, noted: list[str]) -> None:
    acted = RunningNemesis(context, planned("stuck"))
    until(lambda: noted)
    threading.Timer(0.5, Recorded.released.set).start()
    acted.end()
    assert noted[-1] == "released"
    assert acted.troubles == ["the fault stuck could not be healed: too late"]
    acted.end()


def test_rows_after_the_end_are_dropped(
    context: FaultContext, noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nemesis, "_HEALING", 0.3)
    acted = RunningNemesis(context, planned("stuck"))
    until(lambda: noted)
    acted.end()
    size = history_file(context.folder, NEMESIS).stat().st_size
    assert acted.troubles == ["the faults were not healed within 0.3 s"]
    Recorded.released.set()
    for thread in acted.nemesis._threads:
        thread.join(20)
    assert noted[-1] == "released"
    assert "fault stuck could not be healed: too late" in acted.said
    assert (history_file(context.folder, NEMESIS).stat().st_size, acted.whole) == (size, True)


def test_a_nemesis_that_did_not_begin_writes_no_history(context: FaultContext) -> None:
    Nemesis([planned("noted")], 60, context, context.folder, print).end()
    assert not history_file(context.folder, NEMESIS).exists()


def test_the_proxys_lag_is_recorded(context: FaultContext, sockets: Proxied) -> None:
    acted = RunningNemesis(context, planned("noted", 0, 1))
    until(lambda: len(Recorded.done) == 2)
    acted.end()
    history = read(history_file(context.folder, PROXY))
    assert history.cut is None
    assert len(history.tables["lag"]["lag"]) > 10
    assert len(history.tables["cpu"]["cpu"]) >= 2


def test_a_real_toxiproxy_is_not_asked_for_its_lag(context: FaultContext, sockets: Proxied) -> None:
    assert isinstance(context.toxiproxy, Toxiproxy)
    context.toxiproxy.has_evidence = False
    acted = RunningNemesis(context, planned("noted"))
    until(lambda: len(Recorded.done) == 2)
    acted.end()
    assert len(read(history_file(context.folder, PROXY)).tables["lag"]["lag"]) == 0


def test_the_lag_of_a_broker_proxy_is_not_recorded(context: FaultContext, sockets: Proxied) -> None:
    context.proxies = {"broker": sockets.name}
    acted = RunningNemesis(context, planned("noted"))
    until(lambda: len(Recorded.done) == 2)
    acted.end()
    assert not Path(history_file(context.folder, PROXY)).exists()
