"""The nemesis: faults begin and end as planned, are healed on every way out, and all of it is written down."""

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
from chatswarm.loadtests.judge.ledger.faults import FaultSpan, faults_of
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from .harness import Proxied
from .victims import until


class Noted(Fault):
    """Notes what was done with it."""

    places = ("here",)
    done: list[str]
    left: threading.Event

    def begin(self) -> None:
        self.done.append(f"begin {self.plan.name} {self.number}")

    def heal(self) -> Evidence:
        self.done.append(f"heal {self.plan.name} {self.number}")
        return {"deeds": 1}


class Idle(Noted):
    def heal(self) -> Evidence:
        super().heal()
        return {"deeds": 0, "said": ""}


class CannotBegin(Noted):
    def begin(self) -> None:
        super().begin()
        raise FaultError("expected a moon, got none")

    def heal(self) -> Evidence:
        super().heal()
        return {}


class CannotHeal(Noted):
    def heal(self) -> Evidence:
        super().heal()
        raise OSError("no way back")


class Stuck(Noted):
    """Does not come back from healing until it is let go."""

    def heal(self) -> Evidence:
        self.left.wait(60)
        self.done.append("let go")
        raise FaultError("too late")


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    kinds = {"noted": Noted, "idle": Idle, "cannot begin": CannotBegin, "cannot heal": CannotHeal, "stuck": Stuck}
    monkeypatch.setattr(nemesis, "KINDS", kinds)
    Noted.done, Noted.left = [], threading.Event()
    yield Noted.done
    Noted.left.set()


def planned(kind: str, at: float = 0, length: float = 0, every: float | None = None, name: str = "") -> FaultPlan:
    return FaultPlan(name or kind, kind, at, length, every, "here")


class Acted:
    """A nemesis at work, and what it wrote."""

    def __init__(self, world: FaultContext, *plans: FaultPlan, duration: float = 60) -> None:
        self.world = world
        self.said: list[str] = []
        self.nemesis = Nemesis(plans, duration, world, world.folder, self.said.append)
        self.nemesis.begin("run", time.monotonic())

    def end(self) -> Acted:
        self.nemesis.end()
        return self

    @property
    def judged(self) -> tuple[list[FaultSpan], list[str]]:
        """The faults as the judge sees them, and what it says of them."""
        table = read(history_file(self.world.folder, NEMESIS)).tables["fault"]
        return faults_of(
            list(zip(*(table[key] for key in ("name", "kind", "event", "time", "evidence")), strict=True)), 0
        )

    @property
    def troubles(self) -> list[str]:
        return list(read(history_file(self.world.folder, NEMESIS)).tables["trouble"]["detail"])

    @property
    def whole(self) -> bool:
        return read(history_file(self.world.folder, NEMESIS)).cut is None


def test_one_begins_waits_and_is_healed(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("noted", at=0.1, length=0.2))
    until(lambda: len(noted) == 2)
    ((span,), problems) = acted.end().judged
    assert noted == ["begin noted 0", "heal noted 0"]
    assert span.stop - span.start >= 0.2
    assert (span.evidence, problems, acted.troubles, acted.whole) == ({"deeds": 1}, [], [], True)
    assert acted.said == ["fault noted begins", "fault noted is over"]


def test_they_overlap(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("noted", 0, 0.6, name="long"), planned("noted", 0.2, 0.1, name="short"))
    until(lambda: len(noted) == 4)
    assert noted == ["begin long 0", "begin short 0", "heal short 0", "heal long 0"]
    spans, problems = acted.end().judged
    assert [span.name for span in spans] == ["long", "short"]
    assert spans[0].stop > spans[1].stop
    assert problems == []


def test_one_occurs_again_and_again(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("noted", 0, 0.05, every=0.2), duration=0.5)
    until(lambda: len(noted) == 6)
    assert noted == [f"{what} noted {number}" for number in range(3) for what in ("begin", "heal")]
    assert len(acted.end().judged[0]) == 3


def test_one_that_cannot_begin_is_healed_and_said(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("cannot begin", length=30), planned("noted", 0.1, 0.1))
    until(lambda: len(noted) == 4)
    assert noted[:2] == ["begin cannot begin 0", "heal cannot begin 0"]
    _, problems = acted.end().judged
    assert acted.troubles == ["the fault cannot begin could not begin: expected a moon, got none"]
    assert acted.troubles[0].removeprefix("the ") in acted.said
    (problem,) = problems
    assert "the fault cannot begin" in problem
    assert "left no evidence" in problem


def test_one_that_cannot_be_healed_is_said_and_was_never_healed(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("cannot heal"), planned("noted", 0.1, 0.1))
    until(lambda: len(noted) == 4)
    spans, problems = acted.end().judged
    assert acted.troubles == ["the fault cannot heal could not be healed: OSError: no way back"]
    assert spans[0].stop == float("inf")
    assert "was never healed" in problems[0]
    assert "fault noted is over" in acted.said
    assert "fault cannot heal is over" not in acted.said


def test_one_that_did_nothing_proves_nothing(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("idle"))
    until(lambda: len(noted) == 2)
    assert "left no evidence that it did anything" in "\n".join(acted.end().judged[1])


def test_giving_up_heals_at_once_and_begins_nothing_more(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("noted", 0, 50), planned("noted", 50, 5, name="later"))
    until(lambda: noted)
    began = time.monotonic()
    acted.nemesis.give_up()
    until(lambda: len(noted) == 2)
    spans, problems = acted.end().judged
    assert time.monotonic() - began < 20
    assert noted == ["begin noted 0", "heal noted 0"]
    assert [span.name for span in spans] == ["noted"]
    assert problems == []


def test_the_end_waits_until_all_are_healed_and_may_come_twice(world: FaultContext, noted: list[str]) -> None:
    acted = Acted(world, planned("stuck"))
    until(lambda: noted)
    threading.Timer(0.5, Noted.left.set).start()
    acted.end()
    assert noted[-1] == "let go"
    assert acted.troubles == ["the fault stuck could not be healed: too late"]
    acted.end()


def test_what_comes_after_the_end_is_dropped(
    world: FaultContext, noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nemesis, "_HEALING", 0.3)
    acted = Acted(world, planned("stuck"))
    until(lambda: noted)
    acted.end()
    size = history_file(world.folder, NEMESIS).stat().st_size
    assert acted.troubles == ["the faults were not healed within 0.3 s"]
    Noted.left.set()
    for thread in acted.nemesis._threads:
        thread.join(20)
    assert noted[-1] == "let go"
    assert "fault stuck could not be healed: too late" in acted.said
    assert (history_file(world.folder, NEMESIS).stat().st_size, acted.whole) == (size, True)


def test_one_that_never_began_ends_without_a_history(world: FaultContext) -> None:
    Nemesis([planned("noted")], 60, world, world.folder, print).end()
    assert not history_file(world.folder, NEMESIS).exists()


def test_how_the_proxy_keeps_up_is_written_down(world: FaultContext, sockets: Proxied) -> None:
    acted = Acted(world, planned("noted", 0, 1))
    until(lambda: len(Noted.done) == 2)
    acted.end()
    history = read(history_file(world.folder, PROXY))
    assert history.cut is None
    assert len(history.tables["lag"]["lag"]) > 10
    assert len(history.tables["cpu"]["cpu"]) >= 2


def test_one_that_counts_nothing_is_not_asked(world: FaultContext, sockets: Proxied) -> None:
    assert isinstance(world.toxiproxy, Toxiproxy)
    world.toxiproxy.has_evidence = False
    acted = Acted(world, planned("noted"))
    until(lambda: len(Noted.done) == 2)
    acted.end()
    assert len(read(history_file(world.folder, PROXY)).tables["lag"]["lag"]) == 0


def test_a_proxy_in_front_of_the_broker_is_on_nobodys_way(world: FaultContext, sockets: Proxied) -> None:
    world.proxies = {"broker": sockets.name}
    acted = Acted(world, planned("noted"))
    until(lambda: len(Noted.done) == 2)
    acted.end()
    assert not Path(history_file(world.folder, PROXY)).exists()
