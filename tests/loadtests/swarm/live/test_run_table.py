"""The table on Locust's page: what the run is at, and what has become of each fault."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chatswarm.loadtests.history.faults import NOT_BEGUN, NOT_HEALED, FaultWriter
from chatswarm.loadtests.history.manifest import NEMESIS, history_file
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.swarm.live.active_faults import ActiveFaults, FaultKey, FaultRecord
from chatswarm.loadtests.swarm.live.run_table import RunView, run_rows

SWARM = {"dashboards": 4, "widgets": 3, "rate": 1, "duration": "30s"}
CUT = {"name": "cut", "kind": "down", "at": "20s", "for": "2s"}
PAUSE = {"name": "gc", "kind": "pause", "at": "5s", "for": "1s", "every": "10s"}
PLAN = scenario.parse({"swarm": SWARM, "fault": [CUT, PAUSE]}, "some", "some")
KEYS: list[FaultKey] = [("cut", "down"), ("gc", "pause")]


def view(faults: Mapping[FaultKey, FaultRecord] | None = None, phase: str = "measuring", now: float = 107.0) -> RunView:
    known = {key: FaultRecord() for key in KEYS} | dict(faults or {})
    return RunView(PLAN, "http://chat", "/runs/1", phase, now, 100.0, 4, 3, known)


def states(of: RunView) -> dict[str, str]:
    return {row.what: row.state for row in run_rows(of)}


def state(record: FaultRecord, phase: str = "measuring", void: str | None = None) -> str:
    """Of the fault that occurs once."""
    return states(replace(view({("cut", "down"): record}, phase), void=void))["cut"]


def test_the_run_comes_first_and_then_faults_as_they_are_due() -> None:
    rows = [(row.what, row.kind, row.on, row.due) for row in run_rows(view())]
    assert rows == [
        ("some", "scenario", "http://chat", ""),
        ("gc", "pause", "target", "at 5 s, for 1 s, again every 10 s"),
        ("cut", "down", "dashboards", "at 20 s, for 2 s"),
    ]


def test_what_the_run_is_at() -> None:
    def said(of: RunView) -> str:
        return run_rows(of)[0].state

    connecting = replace(view(phase="connecting"), start=None, dashboards=1, widgets=2)
    assert said(connecting) == "connecting, 1 of 4 dashboards and 2 of 3 widgets are ready"
    assert said(view()) == "measuring, 7 s of 30 s"
    assert said(view(now=99.8)) == "measuring, 0 s of 30 s"
    assert said(replace(view(), scenario=scenario.load("smoke"))).endswith(", without faults")
    assert said(view(phase="draining")) == "draining"
    assert said(view(phase="closed")) == "over; the verdict is in /runs/1"
    stopped = replace(view(phase="closed"), cut_short="ended after 3 s of 30 s")
    assert said(stopped) == "over, ended after 3 s of 30 s; the verdict is in /runs/1"
    assert said(replace(stopped, void="the testbed died:\nKilled")).endswith("can be trusted: the testbed died")


def test_what_has_become_of_a_fault() -> None:
    begun = FaultRecord([120.04])
    assert state(FaultRecord()) == "waiting until 20 s"
    assert state(begun) == "in force, since 20.0 s"
    assert state(begun, "draining") == "is being healed, since 20.0 s"
    assert state(begun, "closed") == "could not be healed in time"
    assert state(FaultRecord([120.0], [122.1]), "draining") == "over, from 20.0 s to 22.1 s"
    assert state(FaultRecord(), "draining") == "did not begin: the run ended before"
    assert state(FaultRecord([120.0], [120.1], ["no such file"])) == "could not begin: no such file"
    assert state(FaultRecord([120.0], [], [], ["it is gone"]), "closed") == "could not be healed: it is gone"
    assert state(begun, "closed", "the testbed died").startswith("nobody knows: ")
    assert states(replace(view(), faults=None))["cut"].startswith("nobody knows: ")


def test_a_fault_that_occurs_again() -> None:
    def said(begun: list[float], healed: list[float], phase: str = "measuring") -> str:
        return states(view({("gc", "pause"): FaultRecord(begun, healed)}, phase))["gc"]

    assert said([], []) == "waiting until 5 s; 0 of 3 over"
    assert said([105.0], []) == "in force, since 5.0 s; 0 of 3 over"
    assert said([105.0], [106.0]) == "waiting until 15 s; 1 of 3 over"
    assert said([105.0], [106.0], "closed") == "over, the last from 5.0 s to 6.0 s; 1 of 3 over"
    assert said([105.0, 115.0], [106.0, 116.0], "closed") == "over, the last from 15.0 s to 16.0 s; 2 of 3 over"


def test_why_a_fault_failed_is_read_back_from_what_the_nemesis_wrote(tmp_path: Path) -> None:
    faults = ActiveFaults(PLAN.faults, history_file(tmp_path, NEMESIS))
    writer = FaultWriter(tmp_path, "abc")
    for name, kind in KEYS:
        writer.start(name, kind, 1.0)
    writer.failed(1.5, "cut", NOT_HEALED, "it is gone")
    writer.failed(1.5, "gc", NOT_BEGUN, "nobody: there")
    writer.stop("gc", "pause", 2.0)
    assert faults.records() == {
        ("cut", "down"): FaultRecord([1.0], [], [], ["it is gone"]),
        ("gc", "pause"): FaultRecord([1.0], [2.0], ["nobody: there"], []),
    }
    assert faults.active() == {("cut", "down"): True, ("gc", "pause"): False}
    writer.close()
