"""The swarm's `/metrics`: at the end of a real run it agrees with the verdict, within its buckets."""

import json
import math
import re
import socket
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatswarm.loadtests.scenario.metric_names import QUANTILES
from chatswarm.loadtests.system.children import free_port
from tests.plants import LosesEveryTenth, serving

from .command import CHATSWARM, LOCUST, QUICK, Command, running, scenario, until
from .given import fault

SHORT = QUICK.replace('"5s"', '"2s"').replace('"7s"', '"4s"').replace('"2s"\nramp', '"4s"\nramp')
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Scrape:
    """The contents of one scrape."""

    text: str
    values: Values = field(init=False)
    kinds: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.values = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                self.values[sample.name, frozenset(sample.labels.items())] = sample.value
                self.kinds[sample.name] = family.type

    def __call__(self, name: str, /, **labels: str) -> float:
        return self.values[f"chatswarm_{name}", frozenset(labels.items())]

    def bucket(self, name: str, rank: int) -> tuple[float, float]:
        """The edges of the bucket with the sample of that rank, from 1; infinite beyond the last sample."""
        lower = 0.0
        for (sample, labels), count in self.values.items():
            if sample == f"chatswarm_{name}_seconds_bucket":
                edge = float(dict(labels)["le"])
                if count >= rank:
                    return lower, edge
                lower = edge
        return math.inf, math.inf


def scrape(url: str) -> Scrape | None:
    """One scrape; None if the connection fails."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return Scrape(response.read().decode())
    except OSError:
        return None


def scraped(command: Command) -> list[Scrape]:
    """All scrapes until the command ends, from the URL that it prints."""
    scrapes: list[Scrape] = []
    until(lambda: re.search(r"metrics at \S+", command.said()), what="it printed no URL of metrics")
    url = command.said().partition("metrics at ")[2].split()[0]

    def ended() -> bool:
        if (found := scrape(url)) is not None:
            scrapes.append(found)
        time.sleep(0.05)
        return command.process.poll() is not None

    until(ended, 60, "the command did not end")
    return scrapes


def assert_agrees(last: Scrape, verdict: Mapping[str, Any]) -> None:
    """Asserts equal counts, and that the exact quantiles are in the buckets of the live ones."""
    messages, deliveries = verdict["messages"], verdict["deliveries"]
    assert last("messages_intended_total") == messages["intended"] > 0
    assert last("messages_sent_total") == messages["sent"] > 0
    for outcome in ("accepted", "rejected", "unknown", "rig_failed"):
        assert last("messages_total", outcome=outcome) == messages[outcome]
    assert last("deliveries_expected_total") == deliveries["expected"] > 0
    assert last("deliveries_visible_total") == deliveries["visible"] > 0
    assert last("deliveries_missing") == deliveries["lost"]
    assert last("deliveries_late_total") == deliveries["late"]
    assert last("rig_late_sends_total") == verdict["rig"]["late_sends"]
    for code, count in verdict["connections"]["codes"].items():
        assert last("connections_lost_total", code=code) == count
    for name in ("accepted", "visible", "notified", "last_dashboard", "refetch", "connect"):
        exact = verdict["latency"][name]
        assert 0 < last(f"{name}_seconds_count") <= exact["count"]
        for key, share in QUANTILES.items():
            lower, upper = last.bucket(name, max(1, math.ceil(share * exact["count"] - 1e-9)))
            found = math.inf if exact[key] is None else exact[key]
            assert lower <= found <= upper, (name, key, found, lower, upper)


def assert_counters_only_grow(scrapes: list[Scrape]) -> None:
    known: Values = {}
    for found in scrapes:
        for key, value in found.values.items():
            if found.kinds[key[0]] in ("counter", "histogram"):
                assert value >= known.get(key, 0), key
                known[key] = value


def test_the_last_scrape_agrees_with_the_verdict_of_a_run_with_a_fault(tmp_path: Path) -> None:
    path = scenario(tmp_path, SHORT + fault("kill", "1s", "1s", name="gone"))
    args = ["run", path, "--out", "out", "--metrics-port", "0"]
    with running([*CHATSWARM, *args], tmp_path) as command:
        scrapes = scraped(command)
        said = command.said()
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    last = scrapes[-1]
    assert_agrees(last, verdict)
    assert_counters_only_grow(scrapes)
    assert verdict["connections"]["closed"] >= 4, said
    lower, _ = last.bucket("rig_lag", math.ceil(0.97 * last("rig_lag_seconds_count")))
    _, upper = last.bucket("rig_lag", int(last("rig_lag_seconds_count")))
    assert lower <= verdict["rig"]["lag_p99"] <= upper
    at = {"name": "gone", "kind": "kill"}
    active = [found("fault_active", **at) for found in scrapes if "chatswarm_fault_active" in found.text]
    assert (active[0], max(active), active[-1]) == (0, 1, 0)
    phases = [
        dict(key[1])["phase"] for found in scrapes for key, at in found.values.items() if "phase" in key[0] and at
    ]
    assert [phase for phase in dict.fromkeys(phases) if phase != "idle"] == ["connecting", "measuring", "draining"]
    assert last("users", kind="dashboard") == 4
    assert last("users", kind="widget") == 3
    assert last("update_target_seconds") == 2
    assert 0 < last("rig_cpu_cores", process="swarm-0") < 3


def test_metrics_of_two_locust_processes_and_a_chat_that_loses_messages(tmp_path: Path) -> None:
    port = free_port()
    with serving(LosesEveryTenth(ids=True)) as target:
        args = ["--headless", "--host", target, "--scenario", scenario(tmp_path, SHORT), "--out", "out"]
        args += ["--processes", "2", "--master-bind-port", str(port), "--master-port", str(port)]
        with running([*LOCUST, *args], tmp_path, {"CHATSWARM_METRICS_PORT": "0"}, group=True) as command:
            scrapes = scraped(command)
            assert command.process.returncode == 1, command.said()
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["deliveries"]["lost"] > 0
    assert_agrees(scrapes[-1], verdict)
    assert_counters_only_grow(scrapes)
    for process in ("swarm-0", "swarm-1"):
        assert scrapes[-1]("rig_cpu_cores", process=process) > 0
    assert "fault_active" not in scrapes[-1].text


@pytest.mark.parametrize("with_locust", [False, True], ids=["run", "locust"])
def test_a_taken_port_is_refused_before_any_load(tmp_path: Path, with_locust: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = [*LOCUST, "--headless", "--host", f"http://127.0.0.1:{port}", "--scenario", "smoke"]
        command = own if with_locust else [*CHATSWARM, "run", "smoke"]
        with running([*command, "--out", "out", "--metrics-port", str(port)], tmp_path) as refused:
            result = refused.result()
    assert result.code == 2
    assert f"--metrics-port: expected a free port of 127.0.0.1, got {port}: " in result.err
    assert not (tmp_path / "out").exists()
