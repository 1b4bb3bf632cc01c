"""The JSON files are current, and every panel has a unit, thresholds and a description."""

import json
import re
from pathlib import Path

import pytest

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.loadtests.swarm.live.prometheus import METRICS
from grafana.files import FILES, FOLDER

from .agreement import EXPECTED, RULES
from .asked import asked, panels_of


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_files_are_current(path: Path) -> None:
    stale = f"{path.name} is stale: run `make grafana`"
    assert path.read_text(encoding="utf-8") == FILES[path].json(), stale


def test_there_are_no_other_files() -> None:
    assert sorted((FOLDER / "dashboards").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_panel_has_unit_thresholds_and_description(path: Path) -> None:
    panels = panels_of(path)
    assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"], panel["title"]
        assert len(panel["description"]) > 40, panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_fill_their_rows_and_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels_of(path):
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len(taken) % 24 == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_variable_is_declared_and_used(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    declared = {variable["name"] for variable in content["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)\}?", json.dumps(content["panels"] + content["annotations"]["list"])))
    assert used <= declared
    assert {"source", "run", "swarm", "window"} <= used


def test_all_files_use_the_provisioned_data_source() -> None:
    text = (FOLDER / "provisioning" / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
    assert "type: prometheus" in text
    assert all('"type": "prometheus"' in path.read_text(encoding="utf-8") for path in FILES)


def test_every_queried_metric_is_exported() -> None:
    exported = {sample.name for metric in BackendMetrics().registry.collect() for sample in metric.samples}
    for name, spec in METRICS.items():
        exported |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if spec.kind == "histogram" else {name}
    rules = [(FOLDER / "prometheus" / name).read_text(encoding="utf-8") for name in ("recording.yml", "alerts.yml")]
    wanted = set(re.findall(r"\bchat(?:swarm)?_\w+", "\n".join([*rules, *(one.query for one in asked())])))
    assert wanted
    assert wanted <= exported


def test_every_figure_is_compared_with_the_verdict() -> None:
    names = {one.name for one in asked()}
    assert names == set(EXPECTED)


def test_every_rule_is_compared_with_the_verdict() -> None:
    rules = [(FOLDER / "prometheus" / name).read_text(encoding="utf-8") for name in ("recording.yml", "alerts.yml")]
    assert set(re.findall(r"- (?:record|alert): (\S+)", "".join(rules))) == set(RULES)
