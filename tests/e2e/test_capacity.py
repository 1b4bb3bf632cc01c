"""Real searches: a planted limit is found, also if the search is interrupted and goes on; and in pytest."""

import json
import signal
from pathlib import Path

import pytest

from chatswarm.loadtests.plugin.fixture import Swarm
from chatswarm.loadtests.plugin.result import NotRunError, UndecidedError
from chatswarm.loadtests.system.children import free_port
from tests.plants import serving
from tests.plants.limits import TellsSoManyDashboards

from .command import CHATSWARM, chatswarm, running, scenario, until

SHORT = """
[swarm]
dashboards = 2
widgets = 3
rate = 10
ramp = "0.3s"
update_target = "3s"
drain = "5s"
"""


def test_a_planted_limit_is_found_also_if_the_search_is_interrupted(tmp_path: Path) -> None:
    quick, out = scenario(tmp_path, SHORT, ("visible.p99 <= 3s", "lost == 0")), tmp_path / "out"
    with serving(TellsSoManyDashboards(ids=True, most=2)) as url:
        args = ["capacity", quick, "--target", url, "--by", "dashboards", "--from", "2", "--to", "3", "--probe", "5s"]
        args += ["--out", str(out), "--html", str(tmp_path / "page.html"), "--json"]
        with running([*CHATSWARM, *args], tmp_path / "first") as first:
            until((out / "02-3").exists, 60)
            first.process.send_signal(signal.SIGINT)
            first.process.send_signal(signal.SIGINT)
            stopped = first.result()
        assert stopped.code == 3, stopped.err
        assert json.loads(stopped.out)["result"]["kind"] == "stopped"
        kept = json.loads((out / "capacity.json").read_text(encoding="utf-8"))
        assert [(probe["level"], probe["held"]) for probe in kept["probes"]] == [(2, True)]
        assert kept["result"] is None
        again = chatswarm(*args, folder=tmp_path / "second", timeout=180)
    found = json.loads(again.out)
    assert found["probes"][0] == kept["probes"][0]
    own = [(probe["level"], probe["held"]) for probe in found["probes"] if probe["purpose"] == "search"]
    assert own == [(2, True), (3, False), (3, False), (2, True), (2, True), (2, True)]
    result = found["result"]
    assert (result["kind"], result["limit"], result["failed"]) == ("found", 2, 3)
    assert result["low"] <= 2
    # What else runs on this machine decides whether it can be shown that it was the target.
    assert again.code == (0 if result["gave_out"] == "target" else 3), again.err
    assert result["seconds"] <= found["told"]
    for probe in found["probes"]:
        assert (out / probe["folder"] / "verdict.json").exists()
    assert "goes on after 1 probe of before" in again.err
    assert "Update latency by load" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_in_pytest(tmp_path: Path) -> None:
    quick = scenario(tmp_path, SHORT, ("lost == 0",))
    swarm = Swarm(target=None, folders=tmp_path / "runs")
    with pytest.raises(NotRunError, match="expected a load to start from"):
        swarm.capacity(quick, start=20, to=10)
    with pytest.raises(NotRunError, match="expected an HTTP answer from"):
        swarm.capacity(quick, start=10, to=20, target=f"http://127.0.0.1:{free_port()}")
    with serving(TellsSoManyDashboards(ids=True, most=1)) as url:
        # Two of two dashboards have to show each message: nothing holds.
        try:
            found = swarm.capacity(quick, start=10, to=1000, at_least=900, probe=5, target=url)
        except UndecidedError as undecided:
            # This machine was busy, so it may not have been the target.
            assert "no load was shown to hold" in str(undecided)  # noqa: PT017
        else:
            assert not found.shown
            assert found.gave_out == "target"
            with pytest.raises(UndecidedError, match="limit was not shown"):
                _ = found.limit
