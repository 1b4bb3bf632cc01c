"""`verdict.json` to the letter of the design: each of these keys is there, under this name and of this kind."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from chatswarm.loadtests.judge.verdict import Counts, Deliveries, Latency, Messages, Quantiles
from chatswarm.loadtests.scenario import metric_names
from tests.loadtests.report.runs import passing

from .play import Plant, Play

NUMBER, INTEGER, TEXT, BOOL = (int, float), int, str, bool
QUANTILES = {
    "p50": NUMBER, "p95": NUMBER, "p99": NUMBER, "p999": NUMBER, "max": NUMBER, "count": INTEGER,
}  # fmt: skip
SHAPE: dict[str, Any] = {
    "verdict": TEXT, "exit_code": INTEGER, "scenario": TEXT, "target": TEXT, "seed": INTEGER, "started": TEXT,
    "seconds": NUMBER,
    "messages": {"intended": INTEGER, "sent": INTEGER, "accepted": INTEGER, "rejected": INTEGER, "unknown": INTEGER,
                 "rig_failed": INTEGER},
    "deliveries": {
        "expected": INTEGER, "visible": INTEGER, "lost": INTEGER, "excused": INTEGER, "notified": INTEGER,
        "unnotified": INTEGER, "late": INTEGER,
    },
    "counts": {
        "store_lost": INTEGER, "duplicated": INTEGER, "reordered": INTEGER, "phantom": INTEGER, "vanished": INTEGER,
        "corrupted": INTEGER, "misplaced": INTEGER, "silent_socket": INTEGER, "refused": INTEGER, "absent": INTEGER,
        "recovered": INTEGER,
    },
    "latency": {
        "visible": QUANTILES, "notified": QUANTILES, "accepted": QUANTILES, "refetch": QUANTILES,
        "last_dashboard": QUANTILES, "connect": QUANTILES, "recovery": QUANTILES,
        # Beyond the design: the fan-out of each message.
        "first_dashboard": QUANTILES, "median_dashboard": QUANTILES,
    },
    "slos": [{"expect": TEXT, "actual": NUMBER, "outcome": TEXT, "cause": TEXT}],
    "rig": {"lag_p99": NUMBER, "cpu": NUMBER, "late_sends": INTEGER, "sound": BOOL, "reasons": [TEXT]},
    "faults": [{"name": TEXT, "kind": TEXT, "start": NUMBER, "stop": NUMBER, "evidence": {}, "clock_bound": NUMBER}],
    "findings": [{"check": TEXT, "outcome": TEXT, "count": INTEGER, "examples": [{}], "cause": TEXT}],
    # Beyond the design.
    "recoveries": [{
        "name": TEXT, "start": NUMBER, "stop": NUMBER, "whole_again": NUMBER, "at_least": NUMBER, "detected": NUMBER,
        "reconnected": NUMBER, "first_delivery": NUMBER, "backlog_gone": NUMBER, "dashboards_lost": INTEGER,
        "dashboards_back": INTEGER, "reason": TEXT,
    }],
    "reasons": [TEXT],
    "target_processes": [{"name": TEXT, "pid": INTEGER, "cpu": NUMBER, "memory": INTEGER}],
}  # fmt: skip
MACHINE = {"cpu": NUMBER, "cores": INTEGER, "cpu_pressure": NUMBER, "io_pressure": NUMBER, "memory_pressure": NUMBER}
"""None may stand for every number: nothing was measured."""


def wrong(shape: Any, value: object, place: str = "verdict") -> list[str]:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{place}: expected an object, got {value!r}"]
        missing = [f"{place}.{key}: missing" for key in shape.keys() - value.keys()]
        known = [(key, value[key]) for key in shape if key in value]
        return missing + [problem for key, item in known for problem in wrong(shape[key], item, f"{place}.{key}")]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{place}: expected a list, got {value!r}"]
        return [problem for item in value for problem in wrong(shape[0], item, f"{place}[]")]
    if value is None and shape in (NUMBER, INTEGER):
        return []
    right = isinstance(value, shape) and (shape is BOOL or not isinstance(value, bool))
    return [] if right else [f"{place}: expected {shape}, got {value!r}"]


def test_the_shape_of_a_failed_run_with_a_fault(tmp_path: Path) -> None:
    play = Play(tmp_path, rate=4, seconds=12, plants={(0, 2): Plant(unseen_by={1})}).perform()
    play.fault("slow-net", 4, 6)
    verdict = json.loads(play.judge(["visible.p99 <= 2s", "recovery.max <= 1s after slow-net"]).json())
    assert wrong(SHAPE, verdict) == []
    assert verdict["faults"][0] == {
        "name": "slow-net", "kind": "latency", "start": 4.0, "stop": 6.0, "evidence": {"bytes_delayed": 5.0},
        "clock_bound": 0.0,
    }  # fmt: skip
    assert verdict["slos"] == [
        {"expect": "visible.p99 <= 2s", "actual": None, "outcome": "fail", "cause": ""},
        {"expect": "recovery.max <= 1s after slow-net", "actual": 0.0, "outcome": "pass", "cause": ""},
    ]
    assert verdict["findings"][0]["examples"][0]["uid"] == "testrun234.0.2"
    assert [verdict["verdict"], verdict["exit_code"]] == ["fail", 1]


def test_the_shape_of_what_was_used(tmp_path: Path) -> None:
    verdict = json.loads(passing(tmp_path).perform().judge().json())
    assert wrong({**SHAPE, "rig": {**SHAPE["rig"], "machine": MACHINE}}, verdict) == []
    assert verdict["target_processes"][0] == {"name": "chat", "pid": 70, "cpu": 0.5, "memory": 60_000_000}


def test_the_shape_of_a_run_in_which_nothing_was_measured(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.manifest.start = play.manifest.end = None
    verdict = json.loads(play.judge(["visible.p99 <= 2s"]).json())
    assert wrong(SHAPE, verdict) == []
    assert verdict["latency"]["visible"] == {**dict.fromkeys(("p50", "p95", "p99", "p999", "max")), "count": 0}
    assert verdict["counts"]["phantom"] is None
    assert (verdict["rig"]["machine"], verdict["target_processes"]) == (None, [])


def test_the_command_prints_the_verdict_alone(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    done = subprocess.run(
        [sys.executable, "-m", "chatswarm.loadtests.entry", "judge", str(tmp_path), "--json"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert wrong(SHAPE, json.loads(done.stdout)) == []
    assert done.returncode == 0
    assert (tmp_path / "verdict.json").read_bytes() == done.stdout


def test_every_figure_that_slos_may_name_is_there() -> None:
    assert Latency.__struct_fields__ == metric_names.LATENCIES
    assert Quantiles.__struct_fields__ == (*metric_names.QUANTILES, metric_names.SAMPLES)
    assert Messages.__struct_fields__ == metric_names.MESSAGES
    assert Deliveries.__struct_fields__ == metric_names.DELIVERIES
    assert Counts.__struct_fields__ == metric_names.COUNTS
